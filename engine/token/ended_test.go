package token

import (
	"context"
	"testing"

	"github.com/velonym/velonym/engine/keys"
)

// TestRevocation checks that a revoked token is refused, as is spending by a grant that was
// held, whose plan works until it is released.
func TestRevocation(t *testing.T) {
	r := newRig(t)
	raw := compact(goodHeader, goodClaims().String())
	ctx := context.Background()
	g, err := r.Verify(ctx, []byte(raw), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	r.settle()
	r.store.alter(func() { r.store.revoked[goodClaims()["jti"].(string)] = struct{}{} })
	if err := r.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if got := code(r.try(raw, OpsForward)); got != RevokedToken {
		t.Errorf("revoked token: got %q", got)
	}
	if got := code(g.Spend(ctx, 1)); got != RevokedToken {
		t.Errorf("a grant held from before: got %q", got)
	}
	if got := forward(g.Plan, "1"); len(got) != 32 {
		t.Errorf("the plan of a held grant makes %q, want the pseudonym of before", got)
	}
}

// TestSevering checks that tokens of a severed project are refused, also if it is the source.
func TestSevering(t *testing.T) {
	r := newRig(t)
	raw := compact(goodHeader, goodClaims().String())
	ctx := context.Background()
	g, err := r.Verify(ctx, []byte(raw), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	r.settle()
	r.store.alter(func() {
		p := r.store.projects["study"]
		p.Severed = true
		r.store.projects["study"] = p
	})
	if err := r.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if got := code(r.try(raw, OpsForward)); got != RetentionExpired {
		t.Errorf("got %q", got)
	}
	if got := code(g.Spend(ctx, 1)); got != RetentionExpired {
		t.Errorf("a grant held from before: got %q", got)
	}
	// Severing the source stops a secondary pseudonymisation too.
	o := goodClaims()
	o.psn()["op"], o.psn()["src"], o.psn()["dom"], o.psn()["tag"] = "secondary", object{"prj": "study", "org": "lab"}, object{"prj": "tagged", "org": ""}, 128
	if got := code(r.try(compact(goodHeader, o.String()), OpsForward)); got != RetentionExpired {
		t.Errorf("secondary: got %q", got)
	}
}

// TestRotation checks that after a rotation the same token makes pseudonyms of the new
// generation, and that the deactivated one only reverses.
func TestRotation(t *testing.T) {
	r := newRig(t)
	o := goodClaims()
	raw := compact(goodHeader, o.String())
	o.psn()["gen"] = 0
	pinned := compact(goodHeader, o.String())
	o.psn()["op"] = "reverse"
	back := compact(goodHeader, o.String())
	ctx := context.Background()
	one := func(raw string) string {
		g, err := r.Verify(ctx, []byte(raw), OpsAny)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Release()
		return forward(g.Plan, "1979010112345")
	}
	before := one(raw)
	if one(pinned) != before {
		t.Fatal("generation 0 is not the active one of a new project")
	}
	r.settle()
	d := keys.Domain{Prj: "study", Org: "clinic"}
	r.store.alter(func() {
		old := r.store.gens[d][0]
		old.State = keys.Deactivated
		r.store.gens[d] = []keys.Generation{old, {Gen: 1, State: keys.Active, Secret: [32]byte{9}}}
	})
	if err := r.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if one(raw) == before {
		t.Error("the old generation still makes pseudonyms")
	}
	if got := code(r.try(pinned, OpsForward)); got != ForbiddenOperation {
		t.Errorf("new pseudonyms of a deactivated generation: got %q", got)
	}
	g, err := r.Verify(ctx, []byte(back), OpsReverse)
	if err != nil {
		t.Fatalf("reverse with the deactivated generation: %v", err)
	}
	defer g.Release()
	if got := forward(g.Plan, before); got != "1979010112345" {
		t.Errorf("reverse with the deactivated generation: %q", got)
	}
}
