package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/token"
)

// fillableDisk is an audit log that fails like one on a full disk while full is set.
type fillableDisk struct{ full atomic.Bool }

func (f *fillableDisk) Append(audit.Record) error { return f.Check() }

func (f *fillableDisk) Check() error {
	if f.full.Load() {
		return errors.New("audit: no space left on device")
	}
	return nil
}

// TestFullAuditDiskStopsAnswers checks that calls that cannot be recorded are refused
// unless Config.AuditContinue is set, and that the server recovers.
func TestFullAuditDiskStopsAnswers(t *testing.T) {
	t.Parallel()
	for _, goOn := range []bool{false, true} {
		disk := &fillableDisk{}
		r := newRig(t, func(c *Config) { c.Audit, c.AuditContinue = disk, goOn })
		fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
		psn := r.post(forwardPath, fwd, csvType, "a").strings(t)
		disk.full.Store(true)
		for _, c := range []struct{ path, tok, body string }{{forwardPath, fwd, "a"}, {reversePath, rev, psn[0]}} {
			a := r.post(c.path, c.tok, csvType, c.body)
			if goOn {
				a.strings(t)
				continue
			}
			a.problem(t, 503, "UNAVAILABLE")
			if a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "space") {
				t.Errorf("%v %s", a.header, a.body)
			}
		}
		ready := map[bool]int{true: 200, false: 503}
		if a := r.send("GET", "/readyz", nil); a.status != ready[goOn] {
			t.Errorf("readyz: status %d with AuditContinue %v, want %d", a.status, goOn, ready[goOn])
		}
		if !strings.Contains(r.log.String(), "audit log cannot be written") {
			t.Error("the log does not report that the audit log cannot be written")
		}
		disk.full.Store(false)
		r.srv.probe(context.Background())
		if a := r.send("GET", "/readyz", nil); a.status != 200 {
			t.Errorf("not ready after the disk was freed: %s", a.body)
		}
		r.post(forwardPath, fwd, csvType, "a").strings(t)
	}
}

// brokenStore is a keystore that cannot be read.
type brokenStore struct{ broken atomic.Bool }

func (b *brokenStore) Change(context.Context) (uint64, error) {
	if b.broken.Load() {
		return 0, errors.New("keys: disk on fire")
	}
	return 1, nil
}

// TestReadinessNeedsKeystore checks that a server without its keystore is alive but not
// ready.
func TestReadinessNeedsKeystore(t *testing.T) {
	t.Parallel()
	b := &brokenStore{}
	r := newRig(t, func(c *Config) { c.Keystore = b })
	if a := r.send("GET", "/readyz", nil); a.status != 200 {
		t.Fatalf("not ready: %s", a.body)
	}
	b.broken.Store(true)
	r.srv.probe(context.Background())
	if a := r.send("GET", "/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "keystore") {
		t.Errorf("readyz without the keystore: %d %s, want 503 and the reason", a.status, a.body)
	}
	if a := r.send("GET", "/healthz", nil); a.status != 200 {
		t.Errorf("healthz without the keystore: status %d, want 200", a.status)
	}
}

// unavailableVerifier is a verifier whose store cannot be read. Its error contains canary.
type unavailableVerifier struct{}

func (unavailableVerifier) Verify(context.Context, []byte, token.Ops) (*token.Grant, error) {
	return nil, fmt.Errorf("%w: %s", token.ErrUnavailable, canary)
}

// TestVerifierDown checks that the cause of a 503 is not in the answer.
func TestVerifierDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Verifier = unavailableVerifier{} })
	a := r.post(forwardPath, "x", csvType, "a")
	a.problem(t, 503, "UNAVAILABLE")
	if strings.Contains(string(a.body), canary) || a.header.Get("Retry-After") == "" {
		t.Errorf("%v %s", a.header, a.body)
	}
}

// panickingVerifier panics with the token.
type panickingVerifier struct{}

func (panickingVerifier) Verify(_ context.Context, raw []byte, _ token.Ops) (*token.Grant, error) {
	panic(fmt.Errorf("at %s", raw))
}

// TestPanicIsAnswered checks that a panic is answered with a 500 and logged with its place
// in the source, but without what it was called with.
func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Verifier = panickingVerifier{} })
	r.post(forwardPath, canary, csvType, canary).problem(t, 500, "INTERNAL")
	if l := r.log.String(); strings.Contains(l, canary) || !strings.Contains(l, "server.panickingVerifier.Verify (failure_test.go:") {
		t.Errorf("the log contains a value, or lacks the place of the panic: %s", l)
	}
	if a := r.send("GET", "/healthz", nil); a.status != 200 {
		t.Error("the server does not answer after the panic")
	}
}
