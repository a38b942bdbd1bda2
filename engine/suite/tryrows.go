package suite

import (
	"github.com/velonym/velonym/engine/kernel/ff1"
	"github.com/velonym/velonym/engine/spec"
)

// tryRows transforms the values from to to by a kernel that reads values from the arena
// and writes rows: format-preserving pseudonyms and digests. It reports whether the plan
// and the batch allow that; if not, it has no effect.
func (p *Plan) tryRows(b *Batch, from, to int) bool {
	switch {
	case p.op == spec.Reverse && p.reverse.fpe != nil:
		p.preservingRows(b, from, to, p.reverse.fpe, true)
	case b.At != nil: // a refused value may have no offset there
		return false
	case p.op != spec.Pseudonymise || len(p.forward.spec.Norm) > 0:
		return false
	case p.forward.fpe != nil:
		p.preservingRows(b, from, to, p.forward.fpe, false)
	case p.forward.mac != nil && p.forward.spec.Policy == spec.Same:
		p.digestRows(b, from, to)
	default:
		return false
	}
	return true
}

// preservingRows writes the rows of format-preserving values.
func (p *Plan) preservingRows(b *Batch, from, to int, f *fpe, decrypt bool) {
	s := &b.work.stage
	b.work.paths.preserving++
	spans, out := b.Spans[2*from:2*to], b.Out[2*from:2*to]
	s.bad = s.bad[:0]
	if decrypt {
		b.Dst, s.bad = f.key.DecryptRows(b.Pre, b.Post, b.Dst, b.Src, spans, out, s.bad)
	} else {
		b.Dst, s.bad = f.key.EncryptRows(b.Pre, b.Post, b.Dst, b.Src, spans, out, s.bad)
	}
	for _, e := range s.bad {
		code := ValueLength
		switch {
		case !decrypt && spans[2*e.Index+1] > maxValue:
			code = ValueTooLong
		case e.Code == ff1.Character:
			code = ValueNotInAlphabet
		}
		b.Bad = append(b.Bad, ValueError{from + e.Index, code})
	}
}

// digestRows writes the rows of irreversible values of policy same.
func (p *Plan) digestRows(b *Batch, from, to int) {
	w := p.writerFor(b)
	for from < to {
		var n int
		b.Dst, n = p.forward.mac.SumRows(w, b.Dst, b.Src, b.Spans[2*from:2*to], nil, b.Out[2*from:2*to])
		b.work.paths.digests++
		from += n
		// The kernel stopped at a value without a digest: empty, or too long.
		if from < to {
			p.staged(b, from, from+1)
			from++
		}
	}
}
