package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// jwt is a token with these rules, which nobody verifies here.
func jwt(psn string) []byte {
	return []byte("e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"psn":`+psn+`}`)) + ".x")
}

// serve answers calls as the contract says: the pseudonym of x is <x>, and a value that
// begins with ! is bad. spoil, if not nil, may answer in its place.
func serve(t *testing.T, spoil func(n int64, w http.ResponseWriter, data []string) bool) (string, *atomic.Int64) {
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		var in struct{ Data []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Method != http.MethodPost {
			t.Errorf("%s: %v", r.Method, err)
		}
		if spoil != nil && spoil(n, w, in.Data) {
			return
		}
		back := r.URL.Path == "/base/api/request-psn-rev"
		if !back && r.URL.Path != "/base/api/request-psn" {
			t.Errorf("path %s", r.URL.Path)
		}
		var out struct {
			Data   []string         `json:"data,omitempty"`
			Code   string           `json:"code,omitempty"`
			Errors []map[string]any `json:"errors,omitempty"`
		}
		for i, v := range in.Data {
			if strings.HasPrefix(v, "!") {
				out.Errors = append(out.Errors, map[string]any{"index": i, "code": "VALUE_LENGTH"})
			}
			if back {
				out.Data = append(out.Data, strings.Trim(v, "<>"))
			} else {
				out.Data = append(out.Data, "<"+v+">")
			}
		}
		if len(out.Errors) > 0 {
			out.Data, out.Code = nil, "UNPROCESSABLE_VALUES"
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/base", &calls
}

func open(t *testing.T, c Config) *Client {
	t.Helper()
	if c.Token == nil {
		c.Token = []byte("opaque")
	}
	if c.Pause == 0 {
		c.Pause = time.Microsecond
	}
	cl, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// TestStrings: results stand where the values stood, whatever the batches and whatever
// fails now and then, and the way back gives the values.
func TestStrings(t *testing.T) {
	url, calls := serve(t, func(n int64, w http.ResponseWriter, _ []string) bool {
		switch n % 6 {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		case 3:
			w.WriteHeader([]int{502, 503, 504}[n%3])
		case 5:
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte(`{"data":["`))
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	})
	var values, want []string
	for i := range 500 {
		v := fmt.Sprintf("%d \"é\"\n\\", i)
		if i%9 == 0 {
			v = ""
		}
		values = append(values, v)
		if v != "" {
			v = "<" + v + ">"
		}
		want = append(want, v)
	}
	for _, c := range []Config{{BatchValues: 7}, {BatchBytes: 40, Concurrency: 1}, {Token: jwt(`{"lim":{"req":9}}`)}, {}} {
		c.URL, c.Attempts = url, 100
		cl := open(t, c)
		got, err := cl.Pseudonymise(t.Context(), values)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%+v: %v", c, err)
		}
		got, err = cl.Reverse(t.Context(), got)
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("%+v: back: %v", c, err)
		}
	}
	if calls.Load() < 100 {
		t.Errorf("%d calls: nothing was divided", calls.Load())
	}
	got, err := open(t, Config{URL: url}).Secondary(t.Context(), nil)
	if err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

// TestBadValues: all or nothing, with the indexes of the caller; or beside the results
// where the token says so.
func TestBadValues(t *testing.T) {
	values := []string{"a", "b", "!CANARY", "c", "\xffCANARY"}
	url, _ := serve(t, nil)
	for batch, want := range map[int][]ValueError{0: {{2, "VALUE_LENGTH"}, {4, ValueNotText}}, 3: {{2, "VALUE_LENGTH"}}} {
		got, err := open(t, Config{URL: url, BatchValues: batch, Concurrency: 1}).Pseudonymise(t.Context(), values)
		var bad *ValuesError
		if got != nil || !errors.As(err, &bad) || !slices.Equal(bad.Errors, want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("batches of %d: %v, %v", batch, got, err)
		}
	}
	url, _ = serve(t, func(_ int64, w http.ResponseWriter, data []string) bool {
		io.WriteString(w, `{"data":["A",null,"C"],"errors":[{"index":1,"code":"VALUE_TOO_LONG"}],"error_count":1}`)
		return true
	})
	got, err := open(t, Config{URL: url, Token: jwt(`{"err":"item"}`)}).Pseudonymise(t.Context(), []string{"", "a", "b", "c"})
	var bad *ValuesError
	if !slices.Equal(got, []string{"", "A", "", "C"}) || !errors.As(err, &bad) || !slices.Equal(bad.Errors, []ValueError{{2, "VALUE_TOO_LONG"}}) {
		t.Errorf("item: %v, %v", got, err)
	}
}

// TestDocument: under policy document values are not divided.
func TestDocument(t *testing.T) {
	most := 100
	url, calls := serve(t, func(_ int64, w http.ResponseWriter, data []string) bool {
		if len(data) > most {
			w.WriteHeader(413)
		}
		return len(data) > most
	})
	values := slices.Repeat([]string{"a"}, 20)
	c := open(t, Config{URL: url, Token: jwt(`{"policy":"document"}`), BatchValues: 3})
	if got, err := c.Pseudonymise(t.Context(), values); err != nil || len(got) != 20 || calls.Load() != 1 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	if _, err := c.Reverse(t.Context(), values); err != nil || calls.Load() != 8 {
		t.Errorf("a reverse needs no document: %d calls, %v", calls.Load(), err)
	}
	most = 10
	if _, err := c.Pseudonymise(t.Context(), values); !errors.Is(err, ErrDivided) {
		t.Error(err)
	}
	c = open(t, Config{URL: url, Token: jwt(`{"policy":"document","lim":{"req":9}}`)})
	if _, err := c.Pseudonymise(t.Context(), values); !errors.Is(err, ErrDivided) {
		t.Error(err)
	}
}

// TestBudgets: with psn.lim.max only what cannot have been counted is asked again.
func TestBudgets(t *testing.T) {
	broken := map[string]func(w http.ResponseWriter){
		"502": func(w http.ResponseWriter) { w.WriteHeader(502) },
		"cut": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	}
	for name, fails := range broken {
		url, calls := serve(t, func(_ int64, w http.ResponseWriter, _ []string) bool { fails(w); return true })
		for token, want := range map[string]int64{`{"lim":{"max":9}}`: 1, `{}`: 3} {
			calls.Store(0)
			_, err := open(t, Config{URL: url, Token: jwt(token), Attempts: 3}).Pseudonymise(t.Context(), []string{"a"})
			if err == nil || calls.Load() != want {
				t.Errorf("%s, %s: %d calls, %v", name, token, calls.Load(), err)
			}
		}
		calls.Store(0)
		_, err := open(t, Config{URL: url, Token: jwt(`{"lim":{"max":9}}`), Attempts: 3, RepeatSpends: true}).Pseudonymise(t.Context(), []string{"a"})
		if err == nil || calls.Load() != 3 {
			t.Errorf("%s: %d calls, %v", name, calls.Load(), err)
		}
	}
	url, calls := serve(t, func(n int64, w http.ResponseWriter, _ []string) bool {
		if n < 3 {
			w.Header().Set("Retry-After", time.Now().Add(-time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		}
		return n < 3
	})
	if _, err := open(t, Config{URL: url, Token: jwt(`{"lim":{"max":9}}`)}).Pseudonymise(t.Context(), []string{"a"}); err != nil || calls.Load() != 3 {
		t.Errorf("a rate: %d calls, %v", calls.Load(), err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = open(t, Config{URL: "http://" + ln.Addr().String(), Token: jwt(`{"lim":{"max":9}}`), Attempts: 3}).Pseudonymise(t.Context(), []string{"a"})
	if err == nil || !strings.Contains(err.Error(), "given up after 3 attempts: connection refused") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestStatus: a refusal has the contract's code, and ends all requests of a call.
func TestStatus(t *testing.T) {
	url, calls := serve(t, func(_ int64, w http.ResponseWriter, _ []string) bool {
		w.WriteHeader(403)
		io.WriteString(w, `{"code":"RETENTION_EXPIRED","detail":"CANARY"}`)
		return true
	})
	c := open(t, Config{URL: url, BatchValues: 1, Concurrency: 1})
	_, err := c.Pseudonymise(t.Context(), []string{"a", "b", "c"})
	var status *StatusError
	var batch *BatchError
	if !errors.As(err, &status) || status.Code != "RETENTION_EXPIRED" || status.Status != 403 || !errors.As(err, &batch) || batch.First != 0 || calls.Load() != 1 || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	if ended, renewable := status.TokenEnded(); !ended || renewable {
		t.Error("a project that is over is taken for a token that can be renewed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Pseudonymise(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNew(t *testing.T) {
	for want, c := range map[error]Config{
		ErrURL:    {URL: "https://u:p@x", Token: []byte("t")},
		ErrToken:  {URL: "https://x", Token: []byte("two words")},
		ErrLimits: {URL: "https://x", Token: []byte("t"), Attempts: -1},
	} {
		if _, err := New(c); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	var path *PathError
	if _, err := New(Config{URL: "https://x/api/request-psn", Token: jwt(`{"op":"reverse"}`)}); !errors.As(err, &path) {
		t.Error(err)
	}
	if err := cause(&net.DNSError{Err: "no such host", Name: "psn.example"}); !strings.Contains(err.Error(), "DNS") {
		t.Error(err)
	}
}
