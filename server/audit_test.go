package server

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

// auditLines returns how many lines of the audit file contain all the texts. It does not
// flush the log first.
func (r *rig) auditLines(texts ...string) int {
	r.t.Helper()
	b, err := os.ReadFile(r.auditAt)
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
lines:
	for line := range bytes.Lines(b) {
		for _, text := range texts {
			if !bytes.Contains(line, []byte(text)) {
				continue lines
			}
		}
		n++
	}
	return n
}

// TestRefusedCallsAreOnDisk checks on both endpoints that the record of a refused or
// reversing call is in the file by the time the client has the answer.
func TestRefusedCallsAreOnDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	slow, err := audit.Open(path, audit.Options{Delay: time.Hour}) // does not write unless it must
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slow.Close() })
	r := newRig(t, func(c *Config) { c.MaxBody, c.Audit = 2000, slow })
	r.auditAt = path
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	few := func(op spec.Op) string {
		return r.token(op, func(q *token.Request) { q.Limits.Max = 1 })
	}
	old := func(op spec.Op) string {
		return r.token(op, func(q *token.Request) { q.TTL, q.Now = time.Second, r.now.Now().Add(-time.Hour) })
	}
	psn := *r.post(forwardPath, fwd, csvType, "a").data(t)[0]
	for _, e := range []struct {
		path        string
		mine        spec.Op
		other, good string
	}{
		{forwardPath, spec.Pseudonymise, rev, fwd}, {reversePath, spec.Reverse, fwd, rev},
	} {
		for _, c := range []struct {
			code             string
			status           int
			tok, ctype, body string
		}{
			{"MISSING_TOKEN", 401, "", csvType, "a"},
			{"INVALID_TOKEN", 401, "not.a.token", csvType, "a"},
			{"EXPIRED_TOKEN", 401, old(e.mine), csvType, "a"},
			{"FORBIDDEN_OPERATION", 403, e.other, csvType, "a"},
			{"BAD_REQUEST", 400, e.good, jsonType, `{"data":`},
			{"UNSUPPORTED_MEDIA_TYPE", 415, e.good, "text/plain", "a"},
			{"TOO_LARGE", 413, e.good, csvType, strings.Repeat("a", 3000)},
			{"UNPROCESSABLE_VALUES", 422, e.good, jsonType, `{"data":["\u0001"]}`},
			{"QUOTA_EXCEEDED", 429, few(e.mine), csvType, psn + "\n" + psn},
		} {
			id := "req-" + string(e.mine) + "-" + c.code
			r.post(e.path, c.tok, c.ctype, c.body, "X-Request-Id", id).problem(t, c.status, c.code)
			if n := r.auditLines(`"request":"`+id+`"`, `"outcome":"`+c.code+`"`); n != 1 {
				t.Errorf("%s %s: %d records on disk after the answer, want 1", e.path, c.code, n)
			}
		}
		a := r.send("GET", e.path, nil, "X-Request-Id", "req-get-"+string(e.mine))
		if n := r.auditLines("req-get-"+string(e.mine), "METHOD_NOT_ALLOWED"); a.status != http.StatusMethodNotAllowed || n != 1 {
			t.Errorf("GET %s: status %d and %d records, want 405 and 1", e.path, a.status, n)
		}
	}
	r.post(reversePath, rev, csvType, psn, "X-Request-Id", "req-reversed").data(t)
	if n := r.auditLines(`"request":"req-reversed"`, `"outcome":"OK"`); n != 1 {
		t.Errorf("a reversing call: %d records on disk after the answer, want 1", n)
	}
}

// TestCallsWithoutTokenAreRecordedOnce makes concurrent calls without a token. Their
// records share writes, and each must be in the file once.
func TestCallsWithoutTokenAreRecordedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const clients, calls = 16, 20
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range calls {
				r.post(forwardPath, "", csvType, "a").problem(t, 401, "MISSING_TOKEN")
			}
		})
	}
	wg.Wait()
	if n := r.auditLines("MISSING_TOKEN"); n != clients*calls {
		t.Errorf("%d records, want one for each of %d calls", n, clients*calls)
	}
}

// TestOnlyUnavailableWithoutAudit checks that a call that cannot be recorded gets a 503
// and nothing else: no other refusal, no challenge, no compressed answer.
func TestOnlyUnavailableWithoutAudit(t *testing.T) {
	t.Parallel()
	disk := &fillableDisk{}
	r := newRig(t, func(c *Config) { c.Audit = disk })
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	many := strings.Repeat("abc\n", 2000)
	psn := r.post(forwardPath, fwd, csvType, "a").strings(t)
	disk.full.Store(true)
	for _, c := range []struct{ path, tok, body string }{
		{forwardPath, "", "a"}, {reversePath, "x.y.z", "a"}, {reversePath, fwd, "a"}, {reversePath, rev, "forged"},
		{forwardPath, fwd, many}, {reversePath, rev, strings.Repeat(psn[0]+"\n", 2000)},
	} {
		a := r.post(c.path, c.tok, csvType, c.body, "Accept-Encoding", "gzip")
		a.problem(t, 503, "UNAVAILABLE")
		if a.header.Get("Content-Encoding") != "" || a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("the 503 has headers of another answer: %v", a.header)
		}
	}
}
