package bulk

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
)

// jwt is a token with the given payload, which nobody verifies here.
func jwt(payload string) []byte {
	e := base64.RawURLEncoding.EncodeToString
	return []byte(e([]byte(`{"alg":"EdDSA"}`)) + "." + e([]byte(payload)) + "." + e([]byte("sig")))
}

// TestRemoteTokenExhausted checks that the server is not asked again once it answers that a
// token has expired or has spent its budget. The part and the journal stay, and another token
// for the same work completes the output; a token for other work does not. If the token was
// revoked or the project's retention has ended, nothing stays. It is one function since all
// cases go through the same steps.
func TestRemoteTokenExhausted(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	const rules = `"psn":{"v":1,"op":"pseudonymise","dom":{"prj":"demo","org":""},"policy":"same"`
	first := jwt(`{"jti":"1","exp":10,` + rules + `,"lim":{"max":5000}}}`)
	fresh := jwt(`{"exp":99,"jti":"2",` + strings.Replace(rules, `"v":1,"op":"pseudonymise"`, `"op":"pseudonymise","v":1`, 1) + `}}`)
	other := jwt(`{"exp":99,"jti":"3",` + strings.Replace(rules, "demo", "else", 1) + `}}`)
	for _, c := range []struct {
		status int
		code   string
		kept   bool
	}{
		{401, "EXPIRED_TOKEN", true},
		{429, "QUOTA_EXCEEDED", true},
		{401, "REVOKED_TOKEN", false},
		{403, "RETENTION_EXPIRED", false},
	} {
		t.Run(c.code, func(t *testing.T) {
			var asked atomic.Int64 // with the first token
			inner, _ := contractServer(t, p, nil)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer "+string(first) && asked.Add(1) > 6 {
					w.Header().Set("Content-Type", "application/problem+json")
					w.WriteHeader(c.status)
					fmt.Fprintf(w, `{"code":%q}`, c.code)
					return
				}
				r.Header.Set("Authorization", "Bearer secret-token")
				inner.Config.Handler.ServeHTTP(w, r)
			}))
			t.Cleanup(s.Close)
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
			data := register(20_000, false)
			if err := os.WriteFile(in, data, 0o600); err != nil {
				t.Fatal(err)
			}
			job := func(token []byte) Job {
				return Job{Inputs: []string{in}, Output: out, Workers: 1, chunk: 4 << 10, checkpointEvery: time.Nanosecond,
					Columns: []Column{{Name: "id", Remote: &Remote{URL: s.URL, Token: token, Pause: time.Hour, Concurrency: 1}}}}
			}
			_, err := Run(t.Context(), job(first))
			if err == nil || !strings.Contains(err.Error(), c.code) || canResume(err) != c.kept {
				t.Fatalf("the run returned %v, want %s, resumable: %t", err, c.code, c.kept)
			}
			if n := asked.Load(); n != 7 {
				t.Errorf("%d requests with the first token, want 7", n)
			}
			for _, name := range hiddenNames[:2] {
				if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != c.kept {
					t.Errorf("%s: %v, want it kept: %t", name, err, c.kept)
				}
			}
			if !c.kept {
				return
			}
			again := job(other)
			again.Resume = true
			if _, err := Run(t.Context(), again); err == nil {
				t.Fatal("the run resumed with a token for another project")
			}
			again = job(fresh)
			again.Resume = true
			sum, err := Run(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			if sum.Rows != 20_000 {
				t.Errorf("the resumed run counts %d rows, want 20000", sum.Rows)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			want, _, err := runBytes(t, Job{Columns: []Column{{Name: "id", Plan: p}}}, data, false)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Error("the resumed output differs from that of an uninterrupted run")
			}
		})
	}
}
