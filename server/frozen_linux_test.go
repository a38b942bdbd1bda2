package server

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/engine/token"
)

// freeze stops every process of the test's database server with SIGSTOP. They continue
// when thaw is called or the test ends.
func freeze(t *testing.T, address string) (thaw func()) {
	t.Helper()
	if pgtest.Data() == "" {
		t.Skip("the test did not start the database server and must not stop it")
	}
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.Query(t.Context(), "SELECT pid FROM pg_stat_activity")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(pgtest.Data(), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]int{postmaster}, pids...) // the postmaster first, since it restarts the others
	var frozen []int
	done := false
	thaw = func() {
		if done {
			return
		}
		done = true
		for _, pid := range frozen {
			_ = syscall.Kill(pid, syscall.SIGCONT) // it may be gone
		}
	}
	t.Cleanup(thaw)
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err == nil {
			frozen = append(frozen, pid)
		}
	}
	if len(frozen) < 2 {
		t.Fatalf("only %v of the processes %v could be stopped", frozen, all)
	}
	return thaw
}

// TestFrozenDatabase stops the processes of the database, whose connections stay open.
// Calls with any token must be answered 503 meanwhile, and with pseudonyms afterwards.
func TestFrozenDatabase(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t, "ENCODING 'UTF8'")
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(t.TempDir(), "master.key")
	must(keys.NewMasterKeyFile(key))
	mk, err := keys.LoadMasterKey(ctx, key)
	must(err)
	store, err := postgres.Create(ctx, address)
	must(err)
	ks, err := keys.New(ctx, store, mk)
	must(err)
	t.Cleanup(func() { ks.Close() })
	seed, err := ks.IssuerSeed(ctx)
	must(err)
	issuer, err := token.NewIssuer(seed, "velonym", "velonym")
	must(err)
	var verifier *token.Verifier
	r := newRig(t, func(c *Config) {
		verifier, err = token.NewVerifier(token.Config{Keystore: ks, Issuer: issuer, CallTimeout: time.Second, StoreTimeout: time.Second})
		must(err)
		c.Verifier, c.Keystore = verifier, ks
	})
	t.Cleanup(verifier.Close)
	r.ks, r.issuer = ks, issuer
	r.project("study", nil)
	known := r.token("pseudonymise", nil)
	limited := r.token("pseudonymise", func(q *token.Request) { q.Limits.Max = 100 })
	fresh := r.token("pseudonymise", nil)
	served := func(tok string) {
		t.Helper()
		r.await("an answer with values", func() bool { return r.post(forwardPath, tok, csvType, "a").status == 200 })
	}
	served(known)
	served(limited)

	thaw := freeze(t, address)
	answers := make(chan clientAnswer)
	toks := []string{fresh, limited, limited, limited}
	for _, tok := range toks {
		go func() { answers <- r.post(forwardPath, tok, csvType, "a,b,c") }()
	}
	for range toks {
		if a := <-answers; a.status != 200 { // a cached token is good for a second after the last poll
			a.problem(t, 503, "UNAVAILABLE")
		}
	}
	r.srv.probe(ctx)
	for _, tok := range []string{known, limited, fresh} {
		r.post(forwardPath, tok, csvType, "a").problem(t, 503, "UNAVAILABLE")
	}
	if a := r.send("GET", "/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "keystore") {
		t.Errorf("readyz with a frozen database: %d %s, want 503 and the reason", a.status, a.body)
	}
	thaw()
	r.await("the reading of changes", func() bool { return verifier.Sync(ctx) == nil })
	r.await("readiness", func() bool {
		r.srv.probe(ctx)
		return r.send("GET", "/readyz", nil).status == 200
	})
	served(known)
}
