package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// TestNoValueLeaks sends a recognisable value through every kind of failure, and then
// searches answers, log, audit log and metrics for it.
func TestNoValueLeaks(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.AccessLog, c.MaxBody, c.LingerTimeout = true, 1<<20, time.Second })
	r.project("numbers", func(p *keys.Project) { p.Form = "digits" })
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	item := r.token("reverse", func(q *token.Request) { q.Err = "item" })
	digits := r.token("pseudonymise", func(q *token.Request) { q.Project = "numbers" })
	limited := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Req: 1} })
	enumerating := r.token("pseudonymise", nil)
	var answers bytes.Buffer
	for _, c := range []struct{ path, tok, ct, body string }{
		{forwardPath, fwd, jsonType, jsonOf(canary)},
		{forwardPath, fwd, csvType, canary + "," + canary},
		{reversePath, rev, jsonType, jsonOf(canary)},
		{reversePath, item, jsonType, jsonOf(canary)},
		{forwardPath, digits, jsonType, jsonOf(canary)},
		{forwardPath, fwd, jsonType, jsonOf(canary + "\n")},
		{forwardPath, fwd, jsonType, jsonOf(strings.Repeat(canary, 5000))},
		{forwardPath, fwd, jsonType, jsonOf(strings.Repeat(canary, 100_000))},
		{forwardPath, fwd, jsonType, `{"data":["` + canary + `",]}`},
		{forwardPath, fwd, jsonType, `{"data":["` + canary},
		{forwardPath, fwd, jsonType, `{"` + canary + `":1}`},
		{forwardPath, fwd, jsonType, `{"data":"` + canary + `"}`},
		{forwardPath, fwd, jsonType, "{\"data\":[\"" + canary + "\xff\"]}"},
		{forwardPath, fwd, csvType, `"` + canary},
		{forwardPath, fwd, csvType, canary + `"` + canary},
		{forwardPath, limited, csvType, canary + "," + canary},
		{forwardPath, canary, csvType, canary},
		{forwardPath, canary + "." + canary + "." + canary, csvType, canary},
		{forwardPath, rev, csvType, canary},
		{forwardPath, "", csvType, canary},
		{forwardPath, fwd, canary, canary},
		{"/" + canary, fwd, csvType, canary},
		{forwardPath + "?" + canary + "=" + canary, fwd, csvType, canary},
	} {
		a := r.post(c.path, c.tok, c.ct, c.body)
		answers.Write(a.body)
		for k, v := range a.header {
			fmt.Fprintln(&answers, k, v)
		}
	}
	a := r.post(forwardPath, fwd, csvType, canary, "Content-Encoding", canary)
	answers.Write(a.body)
	w := r.raw()
	w.write(canary + " " + canary + "\r\n" + canary + "\r\n\r\n")
	answers.Write(w.read().body)
	var numbers strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&numbers, "%d\n", 731900000000+i)
	}
	r.post(forwardPath, enumerating, csvType, numbers.String()).strings(t)
	if !strings.Contains(r.log.String(), "consecutive numbers") {
		t.Error("the log does not report consecutive numbers")
	}
	r.waitMemoryReleased()
	admin := httptest.NewServer(r.srv.Admin())
	defer admin.Close()
	res, err := http.Get(admin.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, _ := io.ReadAll(res.Body)
	res.Body.Close()
	for where, text := range map[string]string{"an answer": answers.String(), "the log": r.log.String(), "the audit log": r.records(), "the metrics": string(metrics)} {
		for _, secret := range []string{canary, strings.ToLower(canary), "73190000", fwd, strings.Split(fwd, ".")[2], strings.Split(fwd, ".")[1]} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s contains what was sent: …%q…", where, text[max(0, i-60):min(len(text), i+60)])
			}
		}
		if len(text) == 0 {
			t.Errorf("%s is empty", where)
		}
	}
	for _, want := range []string{`velonym_requests_total{code="OK",endpoint="request-psn"}`, `velonym_requests_total{code="BAD_REQUEST",endpoint="request-psn"}`,
		"velonym_values_total", "velonym_request_seconds_bucket", "velonym_request_values_bucket", "velonym_token_cache_hits_total",
		"velonym_in_flight_bytes 0", "velonym_key_memory_unlocked_bytes ", `velonym_build_info{commit="none"`, "velonym_ready 1", "velonym_token_number_walks_total 1"} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestNoCrossTalk runs many clients with values of their own through shared buffers. Each
// must get its own values back.
func TestNoCrossTalk(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 12 {
				values := make([]string, 1+(k*37+i*101)%3000)
				for j := range values {
					values[j] = fmt.Sprintf("c%d-%d-%d", k, i, j)
				}
				psn := r.post(forwardPath, fwd, jsonType, jsonOf(values...)).strings(t)
				a := r.post(reversePath, rev, csvType, strings.Join(psn, "\n"), "Accept", "text/csv")
				if string(a.body) != strings.Join(values, "\n") {
					t.Errorf("client %d got other values", k)
					return
				}
			}
		}()
	}
	wg.Wait()
}
