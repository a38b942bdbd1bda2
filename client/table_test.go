package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestTable sends tables to a server that fails twice before it answers, and checks the
// requests and the result of each kind of answer.
func TestTable(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, mediaType string
		columns         []string
		query           string
		status          int
		answerType      string
		answer          string
		header          string // X-Error-Count
		want            string // the table
		err             string // part of the error
	}{
		{name: "Arrow", mediaType: ArrowStream, status: 200, answerType: ArrowStream, answer: "replaced", want: "replaced"},
		{name: "columns", mediaType: ArrowStream, columns: []string{"id", "#3", "a&b"}, query: "column=id&column=%233&column=a%26b", status: 200, answerType: ArrowStream, answer: "r", want: "r"},
		{name: "CSV", mediaType: CSV + "; header=present", columns: []string{"id"}, query: "column=id", status: 200, answerType: CSV + "; charset=utf-8; header=present", answer: "r", want: "r"},
		{name: "psn.err item", mediaType: ArrowStream, status: 200, answerType: ArrowStream, answer: "r", header: "2", want: "r", err: "2 values cannot"},
		{name: "bad values", mediaType: ArrowStream, status: 422, answerType: "application/problem+json", answer: `{"errors":[{"index":7,"column":"id","code":"VALUE_LENGTH"}],"error_count":3}`, err: "3 values cannot be transformed; the first is in row 7, from 0: VALUE_LENGTH"},
		{name: "a bad value of two columns", mediaType: ArrowStream, columns: []string{"n", "id"}, query: "column=n&column=id", status: 422, answer: `{"errors":[{"index":7,"column":"id","code":"VALUE_LENGTH"},{"index":8,"column":"canary","code":"canary"}]}`, err: `2 values cannot be transformed; the first is in row 7, from 0, column "id": VALUE_LENGTH`},
		{name: "too large", mediaType: ArrowStream, status: 413, answer: `{"code":"TOO_LARGE"}`, err: "413 TOO_LARGE"},
		{name: "not taken", mediaType: ArrowStream, status: 415, answer: `{"code":"UNSUPPORTED_MEDIA_TYPE","detail":"canary"}`, err: "415 UNSUPPORTED_MEDIA_TYPE"},
		{name: "a page", mediaType: ArrowStream, status: 200, answerType: "text/html", answer: "<html>canary", err: "not what the contract says"},
		{name: "a 422 of somebody else", mediaType: ArrowStream, status: 422, answerType: "text/html", answer: "<html>canary", err: "422"},
	} {
		var calls atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) < 3 {
				w.WriteHeader(503)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != "table" || r.URL.RawQuery != x.query || r.Header.Get("Content-Type") != x.mediaType || r.Header.Get("Authorization") != "Bearer opaque" {
				t.Errorf("%s: the server got %q with query %s and header %v, want the table with %s; %v", x.name, body, r.URL.RawQuery, r.Header, x.query, err)
			}
			w.Header().Set("Content-Type", x.answerType)
			if x.header != "" {
				w.Header().Set("X-Error-Count", x.header)
			}
			w.WriteHeader(x.status)
			io.WriteString(w, x.answer)
		}))
		got, err := open(t, Config{URL: s.URL}).Table(t.Context(), x.mediaType, []byte("table"), x.columns...)
		s.Close()
		if string(got) != x.want || fmt.Sprint(err) != "<nil>" && x.err == "" || err == nil && x.err != "" || err != nil && !strings.Contains(err.Error(), x.err) {
			t.Errorf("%s: %q, %v, want %q and an error with %q", x.name, got, err, x.want, x.err)
		}
		if strings.Contains(fmt.Sprintf("%v %#v", err, err), "canary") {
			t.Errorf("%s: the error contains what the server sent: %v", x.name, err)
		}
		var cells *CellsError
		if errors.As(err, &cells) != (x.status == 422 && x.answerType != "text/html" || x.header != "") {
			t.Errorf("%s: %T", x.name, err)
		}
	}
	c := open(t, Config{URL: "http://127.0.0.1:1", Attempts: 1})
	for _, mediaType := range []string{"", CSV, "application/json", "a/b/c"} {
		if _, err := c.Table(t.Context(), mediaType, nil); err == nil || !strings.Contains(err.Error(), "a table is") {
			t.Errorf("%q: %v", mediaType, err)
		}
	}
}
