package client

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// Media types of Table.
const (
	ArrowStream = "application/vnd.apache.arrow.stream"
	CSV         = "text/csv"
)

// CellError is why the value of a column in a row, from 0 and without a header, has no
// result.
type CellError struct {
	Row    int
	Column string // as it was asked for; "" if several were, this one by its number, or none
	Code   string
}

// CellsError is the error of a table with values that cannot be transformed.
type CellsError struct {
	Cells []CellError // the first ones; nil if the server only counts them (psn.err item)
	Count int
}

func (e *CellsError) Error() string {
	s := fmt.Sprintf("server: %d values cannot be transformed", e.Count)
	if len(e.Cells) > 0 {
		first := e.Cells[0]
		s += fmt.Sprintf("; the first is in row %d, from 0", first.Row)
		if first.Column != "" {
			s += fmt.Sprintf(", column %q", first.Column)
		}
		s += ": " + first.Code
	}
	return s
}

// Table sends a whole Arrow IPC stream or a whole CSV in one request and returns it with
// the values of the columns replaced, and all else as it is. Columns are named, or # and
// their number from 1. Without columns the only column of strings of an Arrow stream is
// replaced; a CSV needs one. A CSV has to say whether its first row is the header, in its
// media type: "text/csv; header=present".
//
// It is all or nothing, as [Client.Pseudonymise] is: with an error there is no table,
// unless the token has psn.err item. Then Table returns the table together with a
// [*CellsError], and the values that it counts are null, or empty in a CSV.
func (c *Client) Table(ctx context.Context, mediaType string, table []byte, columns ...string) ([]byte, error) {
	want, _, err := mime.ParseMediaType(mediaType)
	if err != nil || want != ArrowStream && (want != CSV || len(columns) == 0) {
		return nil, fmt.Errorf("client: a table is %s, or %s with columns", ArrowStream, CSV)
	}
	endpoint := c.Endpoint()
	if len(columns) > 0 {
		endpoint += "?" + url.Values{"column": columns}.Encode()
	}
	r, err := c.ask(ctx, endpoint, mediaType, table)
	if err != nil {
		return nil, err
	}
	switch got, _, _ := mime.ParseMediaType(r.header.Get("Content-Type")); {
	case r.status == http.StatusUnprocessableEntity:
		return nil, cellsRefused(r, columns)
	case r.status != http.StatusOK:
		return nil, statusError(r.status, r.body, r.wait)
	case got != want:
		return nil, fmt.Errorf("%w: the answer is none of the type that was sent", ErrContract)
	}
	if n, err := strconv.Atoi(r.header.Get("X-Error-Count")); err == nil && n > 0 {
		return r.body, &CellsError{Count: n}
	}
	return r.body, nil
}

// cellsRefused returns the error of a 422 for a table of which these columns were asked for.
func cellsRefused(r *reply, columns []string) error {
	var p struct {
		Errors []struct {
			Index  int    `json:"index"`
			Column string `json:"column"`
			Code   string `json:"code"`
		} `json:"errors"`
		Count int `json:"error_count"`
	}
	if err := json.Unmarshal(r.body, &p); err != nil || len(p.Errors) == 0 {
		return statusError(r.status, r.body, r.wait)
	}
	e := &CellsError{Count: max(p.Count, len(p.Errors))}
	for _, x := range p.Errors {
		column := "" // any other text could be a value
		switch {
		case len(columns) == 1:
			column = columns[0]
		case slices.Contains(columns, x.Column):
			column = x.Column
		}
		e.Cells = append(e.Cells, CellError{x.Index, column, valueCode(x.Code)})
	}
	return e
}
