package server

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

// columnQuery is what a request with ?column= asks for: the columns of a CSV or of an Arrow
// stream whose values are replaced.
type columnQuery struct {
	columns []bulk.Column
	header  string // "present", "absent" or "": not declared
	comma   byte   // 0: ','
}

const (
	headerPresent = "present"
	headerAbsent  = "absent"
)

// columnQuery returns the columns that the request names, nil if it names none and may.
func (c *call) columnQuery(format bodyFormat) (*columnQuery, *problem) {
	if bytes.IndexByte(c.ctx.Request.Header.RequestURI(), '?') < 0 {
		if format == formatArrow {
			return &columnQuery{}, nil
		}
		return nil, nil
	}
	args := c.ctx.QueryArgs()
	names := args.PeekMulti("column")
	q := &columnQuery{}
	for _, name := range names {
		if p := q.addColumn(string(name)); p != nil {
			return nil, p
		}
	}
	switch {
	case format == formatArrow:
		if args.Has("header") || args.Has("delimiter") {
			return nil, newProblem(codeBadRequest, "header and delimiter are for text/csv; leave them out for Arrow")
		}
		return q, nil
	case len(names) == 0:
		return nil, nil
	case format != formatCSV:
		return nil, newProblem(codeBadRequest, "columns are for text/csv and Arrow; the body is JSON")
	}
	if p := q.readHeader(args.PeekMulti("header"), c.ctx.Request.Header.ContentType()); p != nil {
		return nil, p
	}
	return q, q.readDelimiter(args.PeekMulti("delimiter"))
}

// addColumn adds a column by its name, or by # and its number.
func (q *columnQuery) addColumn(name string) *problem {
	col := bulk.Column{Name: name}
	if number, ok := strings.CutPrefix(name, "#"); ok {
		if n, err := strconv.Atoi(number); err == nil {
			if n < 1 {
				return newProblem(codeBadRequest, "columns are counted from 1: column=%231 is the first")
			}
			col.Number = n
		}
	}
	if col.Name == "" {
		return newProblem(codeBadRequest, "a column needs a name, or # and its number from 1 (column=%231)")
	}
	q.columns = append(q.columns, col)
	return nil
}

// readHeader reads whether the first row is the header: from the query, or from the
// parameter of the media type (RFC 4180, section 3).
func (q *columnQuery) readHeader(inQuery [][]byte, mediaType []byte) *problem {
	said := inQuery
	for _, param := range bytes.Split(mediaType, []byte{';'})[1:] {
		name, value, _ := bytes.Cut(param, []byte{'='})
		if equalFold(bytes.TrimSpace(name), "header") {
			said = append(said, bytes.Trim(bytes.TrimSpace(value), `"`))
		}
	}
	for _, v := range said {
		choice := strings.ToLower(string(v))
		switch {
		case choice != headerPresent && choice != headerAbsent:
			return newProblem(codeBadRequest, "header is present or absent")
		case q.header != "" && q.header != choice:
			return newProblem(codeBadRequest, "header is declared twice, as present and as absent")
		}
		q.header = choice
	}
	return nil
}

// readDelimiter reads the delimiter: one byte, or the word tab.
func (q *columnQuery) readDelimiter(said [][]byte) *problem {
	if len(said) == 0 {
		return nil
	}
	d := said[0]
	if string(d) == "tab" {
		d = []byte{'\t'}
	}
	if len(said) > 1 || len(d) != 1 || d[0] >= 0x80 || d[0] == '"' || d[0] == '\r' || d[0] == '\n' || d[0] == 0 {
		return newProblem(codeBadRequest, `delimiter is one character of ASCII, such as delimiter=%3B for a semicolon, or the word tab; no quote and no line end`)
	}
	q.comma = d[0]
	return nil
}

// problem returns the problem of an error of package bulk about the body, with the remedy
// in the words of this contract. No error of bulk holds a value; names of the header are
// shown only if the client has declared one.
func (q *columnQuery) problem(err error) *problem {
	var (
		unknown   *bulk.UnknownColumnError
		firstRow  *bulk.FirstRowError
		separator *bulk.SeparatorError
	)
	const declare = "add header=present if it is the header, or header=absent if it is data"
	detail := strings.TrimPrefix(err.Error(), "run: ")
	switch {
	case errors.As(err, &unknown):
		detail = q.unknownColumn(unknown)
	case errors.As(err, &firstRow), err == bulk.ErrHeaderUnclear:
		detail += ": " + declare
	case errors.As(err, &separator):
		detail = fmt.Sprintf("the first line says that the delimiter is %q, and the request says %q: leave delimiter out", separator.Found, separator.Asked)
	case errors.Is(err, bulk.ErrHeaderAgain), errors.Is(err, bulk.ErrHeaderReordered):
		detail += "; send each file in a request of its own"
	}
	return newProblem(codeBadRequest, detail)
}

// maxNames is the most names of columns that an answer lists.
const maxNames = 50

// unknownColumn returns the detail of an unknown column.
func (q *columnQuery) unknownColumn(e *bulk.UnknownColumnError) string {
	columns := "columns"
	if e.Fields == 1 {
		columns = "column"
	}
	s := fmt.Sprintf("the body has no column %.80q; it has %d %s", e.Column, e.Fields, columns)
	if q.header != headerPresent {
		return s + ", whose names are shown only if the request declares a header: add header=present, or header=absent and columns by number"
	}
	for i, name := range e.Names {
		switch {
		case i == maxNames:
			return s + fmt.Sprintf(" and %d more", e.Fields-maxNames)
		case i == 0:
			s += ": "
		default:
			s += ", "
		}
		s += fmt.Sprintf("%.80q", name)
	}
	if e.Separator != "" {
		s += fmt.Sprintf("; if %q separates them, add delimiter", e.Separator)
	}
	return s
}

// processColumns is process for a CSV of which only some columns are replaced.
func (c *call) processColumns(grant *token.Grant, q *columnQuery) (p *problem, fault error) {
	for i := range q.columns {
		q.columns[i].Plan = grant.Plan
	}
	t, err := bulk.NewCSVRewriter(bulk.CSVOptions{Columns: q.columns, Header: q.header == headerPresent, NoHeader: q.header == headerAbsent, Comma: q.comma}, "the body", c.in)
	if err != nil {
		return q.problem(err), nil
	}
	if p := c.scanColumns(t, q); p != nil {
		return p, nil
	}
	c.values, c.empty = int64(len(c.columnSpans)/2), countEmpty(c.columnSpans)
	for i := range t.Parts() {
		c.empty += int64(grant.Plan.Blank(t.Part(i)))
	}
	if p, fault := c.spend(grant); p != nil {
		return p, fault
	}
	if grant.Op == spec.Pseudonymise {
		c.observeColumns(grant, t)
	}
	a := columnAnswer{c: c, grant: grant, t: t, item: grant.Claims.PSN.Err == token.ErrItem}
	if p, fault := a.build(); p != nil {
		return p, fault
	}
	mime := mimeCSV
	if q.header != "" {
		mime = append(append(mime[:len(mime):len(mime)], "; header="...), q.header...)
	}
	c.ctx.Response.Header.SetContentTypeBytes(mime)
	c.dropInputs()
	return c.compress(acceptCoding(c.ctx.Request.Header.PeekCanonical(hdrAcceptEncoding)), grant.Op != spec.Reverse), nil
}

// scanColumns finds the values of the columns, whose spans are then in c.columnSpans.
func (c *call) scanColumns(t *bulk.CSVRewriter, q *columnQuery) *problem {
	m := c.s.mem
	rows := bytes.Count(c.in, []byte{'\n'}) + 1
	need := 2*rows*max(t.Columns(), 1) + spansPadding
	room, ok := ownOrPooled(&m.words, c.spansOwn[:], need)
	if !ok {
		return c.overloaded(4 * int64(need))
	}
	err := t.Scan(room)
	if c.columnSpans, ok = m.words.adopt(room, t.Spans()); !ok {
		return c.overloaded(4 * int64(need))
	}
	if err != nil {
		return q.problem(err)
	}
	return nil
}

// observeColumns shows the values of each column to the enumeration guard.
func (c *call) observeColumns(grant *token.Grant, t *bulk.CSVRewriter) {
	var column []uint32
	for i := range t.Parts() {
		text, spans := t.Part(i)
		for k := range t.Columns() {
			if t.Columns() > 1 {
				column = column[:0]
				for v := 2 * k; v < len(spans); v += 2 * t.Columns() {
					column = append(column, spans[v], spans[v+1])
				}
				c.observe(grant, text, column)
				continue
			}
			c.observe(grant, text, spans)
		}
	}
}
