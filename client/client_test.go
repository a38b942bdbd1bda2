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

// jwt returns a token with these rules and an invalid signature.
func jwt(psn string) []byte {
	return []byte("e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"psn":`+psn+`}`)) + ".x")
}

// serve starts a server that answers calls as the contract says: the pseudonym of x is <x>,
// and a value that begins with ! is bad. spoil, if not nil, may answer call n instead, and
// then returns true. serve returns the server's URL and its number of calls.
func serve(t *testing.T, spoil func(n int64, w http.ResponseWriter, data []string) bool) (string, *atomic.Int64) {
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		var in struct{ Data []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Method != http.MethodPost {
			t.Errorf("method %s, want POST with a JSON body: %v", r.Method, err)
		}
		if spoil != nil && spoil(n, w, in.Data) {
			return
		}
		reverse := r.URL.Path == "/base/api/request-psn-rev"
		if !reverse && r.URL.Path != "/base/api/request-psn" {
			t.Errorf("path %s, want one of the contract below /base", r.URL.Path)
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
			if reverse {
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

// open returns a client with short pauses, and an opaque token if c has none.
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

// TestStrings pseudonymises and reverses values in batches of several sizes, with a server
// that fails now and then. Results must be in the order of the values.
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
			t.Fatalf("%+v: wrong pseudonyms, or %v", c, err)
		}
		got, err = cl.Reverse(t.Context(), got)
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("%+v: reversing does not give the values, or %v", c, err)
		}
	}
	if calls.Load() < 100 {
		t.Errorf("%d calls, want at least 100: the values were not divided", calls.Load())
	}
	got, err := open(t, Config{URL: url}).Secondary(t.Context(), nil)
	if err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

// TestBadValues checks that bad values are an error with their indexes and no results, or,
// with psn.err item, an error together with the results of the others.
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

// TestDocument checks that under policy document values are sent in one request, or refused
// with ErrDivided.
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
		t.Errorf("a reverse in batches of 3: %d calls in all, want 8; %v", calls.Load(), err)
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

// TestBudgets checks that with psn.lim.max a request is repeated only if the server cannot
// have counted its values, unless RepeatSpends is set.
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
				t.Errorf("%s, %s: %d calls, want %d and an error: %v", name, token, calls.Load(), want, err)
			}
		}
		calls.Store(0)
		_, err := open(t, Config{URL: url, Token: jwt(`{"lim":{"max":9}}`), Attempts: 3, RepeatSpends: true}).Pseudonymise(t.Context(), []string{"a"})
		if err == nil || calls.Load() != 3 {
			t.Errorf("%s with RepeatSpends: %d calls, want 3 and an error: %v", name, calls.Load(), err)
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
		t.Errorf("429 with Retry-After twice: %d calls, want 3 and no error: %v", calls.Load(), err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = open(t, Config{URL: "http://" + ln.Addr().String(), Token: jwt(`{"lim":{"max":9}}`), Attempts: 3}).Pseudonymise(t.Context(), []string{"a"})
	if err == nil || !strings.Contains(err.Error(), "given up after 3 attempts: connection refused") {
		t.Errorf("no server: %v, want an error after 3 attempts", err)
	}
}

// TestStatus checks that the error of a refusal has the contract's code and no text of the
// server, and ends all requests of a call.
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
		t.Error("RETENTION_EXPIRED: TokenEnded is not true, false: a new token would be refused too")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Pseudonymise(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestNew checks that New refuses invalid configurations, each with its error.
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
