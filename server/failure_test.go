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

// fillableDisk is an audit log on a full disk.
type fillableDisk struct{ full atomic.Bool }

func (f *fillableDisk) Append(audit.Record) error { return f.Check() }

func (f *fillableDisk) Check() error {
	if f.full.Load() {
		return errors.New("audit: no space left on device")
	}
	return nil
}

func TestFullAuditDiskStopsAnswers(t *testing.T) {
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
			t.Errorf("ready: %d with continue %v", a.status, goOn)
		}
		if !strings.Contains(r.log.String(), "audit log cannot be written") {
			t.Error("the log does not say so")
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

func TestReadinessNeedsKeystore(t *testing.T) {
	b := &brokenStore{}
	r := newRig(t, func(c *Config) { c.Keystore = b })
	if a := r.send("GET", "/readyz", nil); a.status != 200 {
		t.Fatalf("not ready: %s", a.body)
	}
	b.broken.Store(true)
	r.srv.probe(context.Background())
	if a := r.send("GET", "/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "keystore") {
		t.Errorf("ready without keys: %d %s", a.status, a.body)
	}
	if a := r.send("GET", "/healthz", nil); a.status != 200 {
		t.Errorf("dead: %d", a.status)
	}
}

// unavailableVerifier is a verifier whose store cannot be read.
type unavailableVerifier struct{}

func (unavailableVerifier) Verify(context.Context, []byte, token.Ops) (*token.Grant, error) {
	return nil, fmt.Errorf("%w: %s", token.ErrUnavailable, canary)
}

func TestVerifierDown(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Verifier = unavailableVerifier{} })
	a := r.post(forwardPath, "x", csvType, "a")
	a.problem(t, 503, "UNAVAILABLE")
	if strings.Contains(string(a.body), canary) || a.header.Get("Retry-After") == "" {
		t.Errorf("%v %s", a.header, a.body)
	}
}

// panickingVerifier panics with a value.
type panickingVerifier struct{}

func (panickingVerifier) Verify(_ context.Context, raw []byte, _ token.Ops) (*token.Grant, error) {
	panic(fmt.Errorf("at %s", raw))
}

func TestPanicIsAnswered(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Verifier = panickingVerifier{} })
	r.post(forwardPath, canary, csvType, canary).problem(t, 500, "INTERNAL")
	if l := r.log.String(); strings.Contains(l, canary) || !strings.Contains(l, "server.panickingVerifier.Verify (failure_test.go:") {
		t.Errorf("log: %s", l)
	}
	if a := r.send("GET", "/healthz", nil); a.status != 200 {
		t.Error("the server is gone")
	}
}
