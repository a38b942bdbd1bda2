package bulk

import (
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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
)

// remoteJob returns a job for one column on a server, and a function that returns its
// warnings.
func remoteJob(url string, attempts int) (Job, func() string) {
	var mu sync.Mutex
	var said []string
	j := Job{Columns: []Column{{Name: "id", Remote: &Remote{URL: url, Token: []byte("secret-token"), Pause: time.Millisecond, Attempts: attempts}}},
		Warn: func(w error) { mu.Lock(); defer mu.Unlock(); said = append(said, w.Error()) }}
	return j, func() string { mu.Lock(); defer mu.Unlock(); return strings.Join(said, "\n") }
}

// TestRemoteWarnsOfFirstFailure checks that the first failed attempt gives one warning, which
// states how long the run will retry, and that an error that retries cannot mend is not
// retried.
func TestRemoteWarnsOfFirstFailure(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	ln.Close()
	plainServer := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plainServer.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	in := []byte("id\na\n")

	j, said := remoteJob("http://"+dead, 3)
	_, _, err = runBytes(t, j, in, false)
	if err == nil || !strings.Contains(err.Error(), "given up after 3 attempts: connection refused") {
		t.Error(err)
	}
	if s := said(); strings.Count(s, "connection refused; asking again, 2 times at the most, with pauses of up to") != 1 {
		t.Errorf("logged %q, want one line on the refused connection", s)
	}
	for _, c := range []struct{ url, want string }{
		{secure.URL, "TLS: its certificate is signed by an authority"},
		{"https://" + strings.TrimPrefix(plainServer.URL, "http://"), "TLS: it does not speak it"},
		{plainServer.URL, "answered 404 Not Found: is the URL that of the server"},
	} {
		j, said := remoteJob(c.url, 3)
		if _, _, err := runBytes(t, j, in, false); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "given up") {
			t.Errorf("%s: %v", c.want, err)
		}
		if s := said(); s != "" {
			t.Errorf("%s: said %q", c.want, s)
		}
	}
}

// TestRemoteBatchesShrinkAfter413 checks that an answer of 413 makes this and later batches
// smaller, down to one value, and that the token's limit for a request holds from the start.
func TestRemoteBatchesShrinkAfter413(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, most := range []int{1, 7, 100} {
		for _, refuse := range []string{"413", "422"} {
			var mu sync.Mutex
			var refused, answered int
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var in, out struct {
					Data []string `json:"data"`
				}
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if len(in.Data) > most {
					refused++
					w.WriteHeader(map[string]int{"413": 413, "422": 422}[refuse])
					io.WriteString(w, `{"code":"TOO_LARGE"}`)
					return
				}
				answered++
				for _, v := range in.Data {
					out.Data = append(out.Data, transformOne(p, v))
				}
				json.NewEncoder(w).Encode(out)
			}))
			var text strings.Builder
			text.WriteString("id\n")
			for i := range 300 {
				fmt.Fprintf(&text, "v%d\n", i)
			}
			far, _ := remoteJob(s.URL, 3)
			far.chunk = 200
			near := Job{Columns: []Column{{Name: "id", Plan: p}}, chunk: 200}
			got, _, err := runBytes(t, far, []byte(text.String()), false)
			want, _, _ := runBytes(t, near, []byte(text.String()), false)
			if err != nil || string(got) != string(want) {
				t.Errorf("at most %d, %s: %v", most, refuse, err)
			}
			if refused > 60 {
				t.Errorf("at most %d: %d requests were refused: later batches did not stay small", most, refused)
			}
			s.Close()
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(413) }))
	t.Cleanup(s.Close)
	j, _ := remoteJob(s.URL, 3)
	if _, _, err := runBytes(t, j, []byte("id\na\nb\nc\n"), false); err == nil || !strings.Contains(err.Error(), "answered 413") || !strings.Contains(err.Error(), "one value alone") {
		t.Error(err)
	}
	token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"psn":{"op":"pseudonymise","lim":{"req":50}}}`)) + ".x"
	r := &Remote{URL: s.URL, Token: []byte(token)}
	if err := r.prepare(); err != nil || r.BatchValues != 50 {
		t.Error(r.BatchValues, err)
	}
}

// TestRemoteURL checks that a URL may end in a path of the contract, or have a base path.
func TestRemoteURL(t *testing.T) {
	jwt := func(op string) []byte {
		return []byte("e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"psn":{"op":"`+op+`"}}`)) + ".x")
	}
	for _, c := range []struct{ url, op, want string }{
		{"https://x", "pseudonymise", "https://x/api/request-psn"},
		{"https://x/", "reverse", "https://x/api/request-psn-rev"},
		{"https://x/api/request-psn", "pseudonymise", "https://x/api/request-psn"},
		{"https://x/api/request-psn/", "secondary", "https://x/api/request-psn"},
		{"https://x/base/", "pseudonymise", "https://x/base/api/request-psn"},
		{"https://x:8443/base/api/request-psn-rev/", "reverse", "https://x:8443/base/api/request-psn-rev"},
		{"https://x/api/request-psn-rev", "", "https://x/api/request-psn-rev"},
		{"https://x/api/request-psn", "reverse", ""},
		{"https://x/api/request-psn-rev", "pseudonymise", ""},
		{"https://x/?a=1", "reverse", ""},
	} {
		r := &Remote{URL: c.url, Token: jwt(c.op)}
		err := r.prepare()
		if c.want == "" && !errors.Is(err, ErrUsage) || c.want != "" && (err != nil || r.endpoint != c.want) {
			t.Errorf("%s, %s: %q, %v", c.url, c.op, r.endpoint, err)
		}
	}
}

// TestRemoteErrorsHoldNoSecret checks that errors and warnings hold neither value nor token,
// whatever a server sends back, and that redirects send nothing to another server.
func TestRemoteErrorsHoldNoSecret(t *testing.T) {
	const value = "CANARYVALUE" // upper case, like a code
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, buf, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			buf.WriteString(strings.ReplaceAll(text, "TOKEN", r.Header.Get("Authorization")))
			buf.Flush()
			conn.Close()
		}
	}
	echo := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], strings.ReplaceAll(header[i+1], "TOKEN", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
			}
			w.WriteHeader(status)
			io.WriteString(w, strings.ReplaceAll(body, "TOKEN", r.Header.Get("Authorization")))
		}
	}
	servers := map[string]http.HandlerFunc{
		"status line":    raw("HTTP/1.1 " + value + " TOKEN\r\n\r\n"),
		"no HTTP":        raw(value + " TOKEN\r\n\r\n"),
		"header":         raw("HTTP/1.1 200 OK\r\n" + value + " TOKEN\r\n\r\n"),
		"length":         raw("HTTP/1.1 200 OK\r\nContent-Length: " + value + "TOKEN\r\n\r\n"),
		"encoding":       raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + value + "\r\n\r\n"),
		"reason":         raw("HTTP/1.1 499 " + value + " TOKEN\r\nContent-Length: 0\r\n\r\n"),
		"chunk":          raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + value + "\r\n"),
		"null and codes": echo(200, `{"data":[null],"errors":[{"index":0,"code":"`+value+`"}]}`),
		"HTML":           echo(200, "<html>"+value+" TOKEN</html>", "Content-Type", "text/html"),
		"text":           echo(200, value+" TOKEN"),
		"three values":   echo(200, `{"data":["`+value+`","TOKEN","x"]}`),
		"echo":           echo(200, `{"data":["`+value+strings.Repeat("x", 20)+`"]}`),
		"422":            echo(422, `{"code":"`+value+`","errors":[{"index":0,"code":"`+value+`"}]}`),
		"422 of index":   echo(422, `{"code":"`+value+`","errors":[{"index":9,"code":"TOKEN"}]}`),
	}
	for _, status := range []int{400, 401, 403, 404, 405, 413, 415, 429, 431, 500, 502, 503} {
		servers[fmt.Sprint(status)] = echo(status, `{"code":"`+value+`","title":"TOKEN","detail":"`+value+` TOKEN","type":"`+value+`"}`,
			"WWW-Authenticate", value+" TOKEN", "Retry-After", value, "Content-Type", "application/problem+json")
		servers[fmt.Sprint(status, " page")] = echo(status, "<html>"+value+" TOKEN")
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		servers[fmt.Sprint(status)] = echo(status, value, "Location", other.URL+"/"+value+"?t=TOKEN")
	}
	tried := 0
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range servers {
			if !yield(n) {
				return
			}
		}
	}) {
		s := httptest.NewServer(servers[name])
		j, said := remoteJob(s.URL, 2)
		j.Columns[0].Remote.Client = &http.Client{} // one that would follow redirects
		_, _, err := runBytes(t, j, []byte("id\n"+value+strings.Repeat("x", 20)+"\n"+value+"\n"), false)
		s.Close()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, secret := range []string{value, "secret-token", other.URL} {
			if text := err.Error() + said(); strings.Contains(text, secret) {
				t.Errorf("%s: %q holds the value or the token", name, text)
			}
		}
		tried++
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went to another server", n)
	}
	t.Logf("%d answers tried", tried)
}
