package bulk

import (
	"context"
	"errors"

	"github.com/velonym/velonym/engine/bulk/internal/copybetween"
	"github.com/velonym/velonym/engine/suite"
)

// group is the columns that share a transform, and their values of one chunk.
type group struct {
	plan   *suite.Plan
	remote *Remote
	spend  func(context.Context, int) error
	batch  suite.Batch
	spans  []uint32 // the group's own; batch.Spans may be the selector's instead
	at     []uint32
	next   int // value of the group, while the chunk's values are walked in order

	pseudonyms bool // the values are, and not format-preserving

	// The length of a result by that of its value, where that is all it depends on
	// and no result ever needs quoting; else fixed is false.
	fixed  bool
	places bool // results are best written to their places; else one behind the other, and copied
	outLen copybetween.OutLen
}

func newGroup(c Column, doc *suite.Document, special []byte) *group {
	g := &group{plan: c.Plan, remote: c.Remote, spend: c.Spend}
	g.batch.Doc = doc
	g.pseudonyms = g.plan != nil && g.plan.ReadsPseudonyms()
	// Format-preserving results may hold any character of their alphabet.
	if g.plan == nil || doc != nil || !g.plan.KnowsLength() || g.plan.KeepsLength() {
		return g
	}
	for _, b := range special {
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '_' {
			return g
		}
	}
	for n := range g.outLen {
		g.outLen[n] = uint32(max(g.plan.OutLen(n), 0))
	}
	g.fixed = true
	g.places = g.plan.OutLen(1) > 0 // pseudonyms to pseudonyms are not that short
	return g
}

// resultLen returns the length of the result of an n-byte value; g is fixed.
func (g *group) resultLen(n uint32) uint32 {
	if n < uint32(len(g.outLen)) {
		return g.outLen[n]
	}
	return uint32(max(g.plan.OutLen(int(n)), 0))
}

// blank is how many values the plan leaves empty because they are White_Space alone. A
// server tells by its answer.
func (g *group) blank() (n int) {
	b := &g.batch
	if g.plan != nil {
		return g.plan.Blank(b.Src, b.Spans)
	}
	bad := b.Bad
	for i := 0; i < len(b.Spans)/2; i++ {
		if len(bad) > 0 && bad[0].Index == i {
			bad = bad[1:]
		} else if b.Spans[2*i+1] > 0 && b.Out[2*i+1] == 0 {
			n++
		}
	}
	return n
}

// cause says more of why a value of the batch is bad than its code does; only if
// asked, since it looks at the value.
func (g *group) cause(bad suite.ValueError, asked bool) string {
	if !asked {
		return ""
	}
	b := &g.batch
	return g.plan.Cause(b.Src[b.Spans[2*bad.Index]:][:b.Spans[2*bad.Index+1]], bad.Code)
}

// leave asks whether the values of the group's batch may be transformed.
func (g *group) leave(ctx context.Context) error {
	if g.spend == nil {
		return nil
	}
	n := 0
	for i := 1; i < len(g.batch.Spans); i += 2 {
		if g.batch.Spans[i] > 0 {
			n++
		}
	}
	return g.charge(ctx, n-g.blank())
}

// charge asks whether n values may be transformed.
func (g *group) charge(ctx context.Context, n int) error {
	if g.spend == nil {
		return nil
	}
	err := g.spend(ctx, n)
	if err == nil || errors.Is(err, ErrInterrupted) {
		return err
	}
	return &refusal{err}
}

// refusal is leave not given. What was written so far is kept for later only if the
// refused error says that another token can go on.
type refusal struct{ err error }

// resumable asks the error: one with a method Resumable answers for itself.
func (r *refusal) resumable() bool {
	var may interface{ Resumable() bool }
	return errors.As(r.err, &may) && may.Resumable()
}

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

// transform runs the group's batch, here or on a server; with all, every value
// that cannot be transformed is wanted, not just the first.
func (g *group) transform(ctx context.Context, all bool) error {
	if g.remote != nil {
		return g.remote.transform(ctx, &g.batch, all)
	}
	g.plan.Transform(&g.batch)
	return nil
}

// put copies results, which lie one behind the other in the batch, to their
// places in out, which has padding behind the last.
func (g *group) put(out []byte) {
	b := &g.batch
	from := b.Dst[:cap(b.Dst)]
	for i, at := range g.at {
		off, n := int(b.Out[2*i]), int(b.Out[2*i+1])
		if n == 32 && off+32 <= len(from) && int(at)+32 <= len(out) {
			*(*[32]byte)(out[at:]) = *(*[32]byte)(from[off:])
			continue
		}
		copy(out[at:], from[off:off+n])
	}
}
