package bulk

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// contractServer starts a small server of the HTTP contract that transforms with p. spoil, if
// set, may answer the n-th call itself, which it reports. The counter is that of the calls.
func contractServer(t testing.TB, p *suite.Plan, spoil func(n int64, w http.ResponseWriter) bool) (*httptest.Server, *atomic.Int64) {
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer secret-token" {
			http.Error(w, `{"code":"INVALID_TOKEN"}`, http.StatusUnauthorized)
			return
		}
		if spoil != nil && spoil(n, w) {
			return
		}
		var in struct{ Data []string }
		if err != nil || json.Unmarshal(body, &in) != nil || r.URL.Path != "/api/request-psn" {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		var out struct {
			Data   []string         `json:"data,omitempty"`
			Code   string           `json:"code,omitempty"`
			Errors []map[string]any `json:"errors,omitempty"`
		}
		for i, v := range in.Data {
			res := transformOne(p, v)
			if code, bad := strings.CutPrefix(res, "!"); bad {
				if len(out.Errors) < 3 { // a server lists the first ones only
					out.Errors = append(out.Errors, map[string]any{"index": i, "code": code})
				}
			}
			out.Data = append(out.Data, res)
		}
		if len(out.Errors) > 0 {
			out.Data, out.Code = nil, "UNPROCESSABLE_VALUES"
			w.WriteHeader(422)
		}
		json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	return s, &calls
}

// TestRemote checks that a run through a server that fails now and then gives the bytes of a
// run with the plan, for CSV and NDJSON.
func TestRemote(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	var in, ndjson bytes.Buffer
	in.WriteString("id,x,other\n")
	for i := range 3000 {
		id := fmt.Sprintf("%d \"é\"", i%700)
		if i%9 == 0 {
			id = ""
		}
		fmt.Fprintf(&in, "\"%s\",%d,v%d\n", strings.ReplaceAll(id, `"`, `""`), i, i)
		b, _ := json.Marshal(map[string]any{"id": id, "n": i})
		ndjson.Write(append(b, '\n'))
	}
	s, calls := contractServer(t, p, func(n int64, w http.ResponseWriter) bool {
		switch n % 7 {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		case 3:
			w.WriteHeader([]int{502, 503, 504}[n%3])
		case 5: // the connection is lost in the middle of an answer
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte(`{"data":["`))
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	})
	for _, c := range []struct {
		format  Format
		in      []byte
		columns []string
	}{{CSV, in.Bytes(), []string{"id", "other"}}, {NDJSON, ndjson.Bytes(), []string{"id"}}} {
		remote := &Remote{URL: s.URL, Token: []byte("secret-token"), BatchValues: 100, BatchBytes: 700, Pause: time.Millisecond, Concurrency: 3}
		far, near := Job{Format: c.format, chunk: 5000}, Job{Format: c.format, chunk: 5000}
		for _, name := range c.columns {
			far.Columns = append(far.Columns, Column{Name: name, Remote: remote})
			near.Columns = append(near.Columns, Column{Name: name, Plan: p})
		}
		for _, pipe := range []bool{false, true} {
			got, sum, err := runBytes(t, far, c.in, pipe)
			if err != nil {
				t.Fatal(err)
			}
			want, wantSum, err := runBytes(t, near, c.in, pipe)
			if err != nil || !bytes.Equal(got, want) || sum.Values != wantSum.Values {
				t.Fatalf("%s: the output differs from that of the plan: %v", c.format, err)
			}
		}
	}
	if calls.Load() < 50 {
		t.Fatalf("%d calls: too few to meet every failure", calls.Load())
	}
}

// TestRemoteRefusals checks which answers end a run and which are faults of single values.
func TestRemoteRefusals(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	in := []byte("id,x\na,1\n\x01,2\nb,3\n\xff,4\n\x02,5\n\x03,6\n\x04,7\n\x05,8\nc,9\n")
	good, calls := contractServer(t, p, nil)
	job := func(url string) Job {
		return Job{Columns: []Column{{Name: "id", Remote: &Remote{URL: url, Token: []byte("secret-token"), Pause: time.Millisecond, Attempts: 3}}}}
	}
	_, _, err := runBytes(t, job(good.URL), in, false)
	var e *Error
	if !errors.As(err, &e) || e.Line != 3 || e.Code != suite.ValueNotText {
		t.Errorf("a bad value: %v", err)
	}
	j := job(good.URL)
	j.OnError = Null
	got, sum, err := runBytes(t, j, in, false)
	want := "id,x\n" + transformOne(p, "a") + ",1\n,2\n" + transformOne(p, "b") + ",3\n,4\n,5\n,6\n,7\n,8\n" + transformOne(p, "c") + ",9\n"
	if err != nil || string(got) != want || sum.Errors != 6 {
		t.Errorf("bad values emptied: %q, %v, want %q", got, err, want)
	}
	j = job(good.URL)
	j.Columns[0].Remote.Token = []byte("wrong")
	before := calls.Load()
	if _, _, err := runBytes(t, j, in, false); err == nil || !strings.Contains(err.Error(), "401 INVALID_TOKEN") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a refused token: %v", err)
	}
	if n := calls.Load() - before; n != 1 {
		t.Errorf("a refused token was sent %d times", n)
	}
	for name, c := range map[string]struct{ answer, want string }{
		"too few values":  {`{"data":["x"]}`, "line 2: server: the batch of 8 values that starts here: the answer is not what the contract says: 1 values came back"},
		"no JSON":         {`hello`, "the answer is not what the contract says: json: byte 0"},
		"a page":          {`<html>`, "the answer is not what the contract says: it is a page"},
		"no data":         {`{"dat":[]}`, "the answer is not what the contract says"},
		"too many values": {`{"data":["x","x","x","x","x","x","x","x","x"]}`, "9 values came back"},
		"nothing":         {``, "the answer is not what the contract says"},
		"an empty value":  {`{"data":["x","x","x","","x","x","x","x"]}`, "an empty value came back"},
	} {
		s, _ := contractServer(t, p, func(_ int64, w http.ResponseWriter) bool { io.WriteString(w, c.answer); return true })
		if _, _, err := runBytes(t, job(s.URL), in, false); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	s, _ := contractServer(t, p, func(_ int64, w http.ResponseWriter) bool {
		io.WriteString(w, `{"data":["1973080520045","1973080520046"]}`)
		return true
	})
	if _, _, err := runBytes(t, job(s.URL), []byte("id\n1973080520045\n1973080520046\n"), false); err == nil || !strings.Contains(err.Error(), "came back as they were sent") {
		t.Errorf("a server that echoes: %v", err)
	}
	s, n := contractServer(t, p, func(_ int64, w http.ResponseWriter) bool { w.WriteHeader(503); return true })
	if _, _, err := runBytes(t, job(s.URL), in, false); err == nil || !strings.Contains(err.Error(), "given up after 3 attempts: answered 503") || n.Load() != 3 {
		t.Errorf("a server that is always busy: %v after %d calls", err, n.Load())
	}
	s, _ = contractServer(t, p, func(_ int64, w http.ResponseWriter) bool {
		w.Header().Set("Location", good.URL+"/api/request-psn")
		w.WriteHeader(307)
		return true
	})
	if _, _, err := runBytes(t, job(s.URL), in, false); err == nil || !strings.Contains(err.Error(), "answered 307") {
		t.Errorf("a redirect was followed: %v", err)
	}
	for _, bad := range []string{"", "ftp://x", "http://u:p@x", "x"} {
		if _, _, err := runBytes(t, job(bad), in, false); !errors.Is(err, ErrUsage) {
			t.Errorf("server %q: %v", bad, err)
		}
	}
}

// TestRemoteCautions checks the warnings and the endpoint that follow from a token's claims
// before values are sent.
func TestRemoteCautions(t *testing.T) {
	token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"psn":{"op":"reverse","policy":"different"}}`)) + ".x"
	r := &Remote{URL: "http://psn.example.org/", Token: []byte(token)}
	if err := r.prepare(); err != nil {
		t.Fatal(err)
	}
	if r.endpoint != "http://psn.example.org/api/request-psn-rev" {
		t.Error(r.endpoint)
	}
	if w := r.warnings(); len(w) != 2 || !strings.Contains(w[0], "policy different") || !strings.Contains(w[1], "plain http") {
		t.Error(w)
	}
}
