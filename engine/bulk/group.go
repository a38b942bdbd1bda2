package bulk

import (
	"context"
	"errors"

	"github.com/velonym/velonym/engine/bulk/internal/copybetween"
	"github.com/velonym/velonym/engine/suite"
)

// group is a set of columns that share a transform, with their values of one chunk.
type group struct {
	plan   *suite.Plan
	remote *Remote
	spend  func(context.Context, int) error
	batch  suite.Batch
	spans  []uint32 // used by batch, unless batch shares the selector's spans
	at     []uint32
	next   int // index of the next value while a loop goes through the values of the chunk

	pseudonyms bool // the values are pseudonyms that are not format-preserving

	// fixed means that the length of a result depends only on the length of its value and
	// that no result needs quotes. outLen then maps the one to the other.
	fixed   bool
	scatter bool // the transform writes results to their final offsets; else they are copied there
	outLen  copybetween.OutLen
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
	g.scatter = g.plan.OutLen(1) > 0 // 0 for secondary use, whose values are never this short
	return g
}

// resultLen returns the length of the result of an n-byte value; g is fixed.
func (g *group) resultLen(n uint32) uint32 {
	if n < uint32(len(g.outLen)) {
		return g.outLen[n]
	}
	return uint32(max(g.plan.OutLen(int(n)), 0))
}

// blank returns how many values the plan leaves empty because they hold only White_Space.
// For a server it counts the empty results.
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

// cause explains why a value of the batch failed, in more detail than its code. It
// examines the value, so it does so only if asked is set.
func (g *group) cause(bad suite.ValueError, asked bool) string {
	if !asked {
		return ""
	}
	b := &g.batch
	return g.plan.Cause(b.Src[b.Spans[2*bad.Index]:][:b.Spans[2*bad.Index+1]], bad.Code)
}

// spendBatch charges the non-empty values of the group's batch to the budget.
func (g *group) spendBatch(ctx context.Context) error {
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

// charge charges n values to the budget; an error means that they must not be transformed.
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

// refusal is an error of a budget or limit. The output so far is kept for a resume only if
// the wrapped error reports itself as resumable.
type refusal struct{ err error }

// resumable returns the answer of the wrapped error's method Resumable, false without one.
func (r *refusal) resumable() bool {
	var may interface{ Resumable() bool }
	return errors.As(r.err, &may) && may.Resumable()
}

func (r *refusal) Error() string { return r.err.Error() }

func (r *refusal) Unwrap() error { return r.err }

// transform transforms the group's batch, locally or on a server. With all it finds every
// value that cannot be transformed, else at least the first.
func (g *group) transform(ctx context.Context, all bool) error {
	if g.remote != nil {
		return g.remote.transform(ctx, &g.batch, all)
	}
	g.plan.Transform(&g.batch)
	return nil
}

// copyResults copies the results of the batch, which are contiguous, to their offsets g.at
// in out.
func (g *group) copyResults(out []byte) {
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
