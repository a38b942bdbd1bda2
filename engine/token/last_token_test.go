package token

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
)

// TestSeen sends tokens through one place: a verdict must be the same as
// without it, whatever came there before.
func TestSeen(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	good := []byte(compact(goodHeader, goodClaims().String()))
	other := goodClaims()
	other["jti"] = "another"
	second := []byte(compact(goodHeader, other.String()))
	var last LastToken
	try := func(raw []byte, ops Ops) error {
		t.Helper()
		g, err := r.VerifyAgain(ctx, raw, ops, &last)
		if err == nil {
			if want := sha256.Sum256(raw); g.sum != want {
				t.Error("the grant of another token")
			}
			g.Release()
			r.settle()
		}
		return err
	}
	for range 3 {
		for _, raw := range [][]byte{good, good, good, second, second, second} {
			if err := try(raw, OpsForward); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !equalConstantTime(last.raw, second) {
		t.Fatal("the last token is not remembered")
	}
	// Of three calls in a row the first is a miss or a hit of the cache, and keeps the
	// grant that the others are to find here.
	if n := r.lastTokenHits.Load(); n < 10 {
		t.Fatalf("%d of 18 calls found the grant of the connection's last token", n)
	}
	if err := try(second, OpsReverse); code(err) != ForbiddenOperation {
		t.Errorf("for another endpoint: %v", err)
	}
	for i := range second {
		forged := bytes.Clone(second)
		forged[i] ^= 1
		if err := try(forged, OpsForward); err == nil {
			t.Fatalf("byte %d changed, and accepted", i)
		}
	}
	if !equalConstantTime(last.raw, second) {
		t.Error("a refused token took the place of a valid one")
	}
	r.store.alter(func() { r.store.revoked["another"] = struct{}{} })
	if err := r.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := try(second, OpsForward); code(err) != RevokedToken {
		t.Errorf("revoked: %v", err)
	}
	if err := try(good, OpsForward); err != nil { // verified anew, found the next time
		t.Fatal(err)
	}
	if err := try(good, OpsForward); err != nil {
		t.Fatal(err)
	}
	sum, asked := sha256.Sum256(good), 0
	for range 256 {
		if last.again(&sum) == nil {
			asked++
		}
	}
	if asked == 0 || asked > 8 {
		t.Errorf("the cache is asked %d times in 256", asked)
	}
	g := last.grant
	r.cache.Clear() // with it goes the grant
	if g.retain() {
		t.Fatal("the place keeps a grant alive")
	}
	for range 3 {
		if err := try(good, OpsForward); err != nil {
			t.Fatal(err)
		}
	}
	last.Forget()
	if bytes.Contains(last.raw[:cap(last.raw)], second[:16]) {
		t.Error("not forgotten")
	}
	if err := try(good, OpsForward); err != nil {
		t.Error(err)
	}
}

func TestSame(t *testing.T) {
	for n := range 70 {
		a := bytes.Repeat([]byte{'x'}, n)
		if got := equalConstantTime(a, bytes.Clone(a)); got != (n > 0) {
			t.Errorf("%d bytes: %v", n, got)
		}
		for i := range n {
			b := bytes.Clone(a)
			b[i] ^= 0x80
			if equalConstantTime(a, b) {
				t.Errorf("%d bytes, byte %d differs", n, i)
			}
		}
		if equalConstantTime(a, append(bytes.Clone(a), 'x')) {
			t.Errorf("%d bytes: lengths differ", n)
		}
	}
}
