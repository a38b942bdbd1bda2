package token

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
)

// TestVerifyAgainMatchesVerify verifies many tokens with one LastToken: each verdict must be
// that of Verify, whatever token came before. It is one sequence, since it tests the state
// that earlier calls leave.
func TestVerifyAgainMatchesVerify(t *testing.T) {
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
	// The first of three calls in a row is a miss or a hit of the cache, and keeps the grant
	// for the other two.
	if n := r.lastTokenHits.Load(); n < 10 {
		t.Fatalf("%d of 18 calls used the grant of the last token, want at least 10", n)
	}
	if err := try(second, OpsReverse); code(err) != ForbiddenOperation {
		t.Errorf("for another endpoint: %v", err)
	}
	for i := range second {
		forged := bytes.Clone(second)
		forged[i] ^= 1
		if err := try(forged, OpsForward); err == nil {
			t.Fatalf("a token with byte %d changed was accepted", i)
		}
	}
	if !equalConstantTime(last.raw, second) {
		t.Error("a refused token replaced a valid one in the LastToken")
	}
	r.store.alter(func() { r.store.revoked["another"] = struct{}{} })
	if err := r.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if err := try(second, OpsForward); code(err) != RevokedToken {
		t.Errorf("revoked: %v", err)
	}
	if err := try(good, OpsForward); err != nil { // verified in full; the next call uses its grant
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
		t.Errorf("the cache was asked %d times in 256 calls, want about every 64th", asked)
	}
	g := last.grant
	r.cache.Clear() // releases the grant
	if g.retain() {
		t.Fatal("a LastToken keeps a grant alive")
	}
	for range 3 {
		if err := try(good, OpsForward); err != nil {
			t.Fatal(err)
		}
	}
	last.Forget()
	if bytes.Contains(last.raw[:cap(last.raw)], second[:16]) {
		t.Error("Forget did not wipe the token")
	}
	if err := try(good, OpsForward); err != nil {
		t.Error(err)
	}
}

// TestEqualConstantTime checks the result for equal texts, for any different byte and for
// different lengths.
func TestEqualConstantTime(t *testing.T) {
	for n := range 70 {
		a := bytes.Repeat([]byte{'x'}, n)
		if got := equalConstantTime(a, bytes.Clone(a)); got != (n > 0) {
			t.Errorf("equalConstantTime of %d equal bytes = %v, want %v", n, got, n > 0)
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
