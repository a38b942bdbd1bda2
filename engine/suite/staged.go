package suite

import (
	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// staged pseudonymises the values from to to, at most stageSize, in three steps: it
// prepares the messages and reserves the offsets of the results, groups the messages by
// their number of blocks, and enciphers each group. It is longer than 80 lines because the
// state of the first step is a dozen locals, which a call per value would spill.
func (p *Plan) staged(b *Batch, from, to int) {
	f, s := &p.forward, &b.work.stage
	src := b.Src
	copied := len(f.spec.Norm) > 0 || f.prefix > 0 // values are staged in s.arena
	n := 0                                         // values with a result
	b.work.paths.staged++
	s.arena, s.counts, s.index = s.arena[:0], s.counts[:0], s.index[:0]
	s.spans = resized(s.spans, 2*stageSize)
	s.at = resized(s.at, stageSize)
	s.m = resized(s.m, stageSize)
	if !f.irreversible && f.spec.Policy == spec.Different {
		s.random = resized(s.random, 12*(to-from))
		p.random(s.random)
	}
	if b.At == nil {
		b.Dst = grow(b.Dst, 64*(to-from))
	}
	var most int
	for i := from; i < to; i++ {
		off, l := int(b.Spans[2*i]), int(b.Spans[2*i+1])
		v := src[off:][:l]
		var code Code
		start := len(s.arena) // of prefix ‖ value
		if copied {
			if f.prefix > 0 {
				s.arena = append(s.arena, zeros[:f.prefix]...)
			}
			begin := len(s.arena)
			if len(f.spec.Norm) > 0 {
				s.arena, b.work.tmp, code = f.spec.Norm.normalise(&b.work.nfc, s.arena, b.work.tmp, v)
			} else if l <= maxValue {
				s.arena = append(s.arena, v...)
			}
			if f.spec.Norm != nil || l <= maxValue {
				v = s.arena[begin:]
			}
		}
		padded := (len(v) + 16) &^ 15
		c := f.prefix + padded // length of C
		size := 0              // of the result
		if code == 0 && len(v) > 0 {
			switch {
			case len(v) > maxValue:
				code = ValueTooLong
			case f.fpe != nil:
				size = len(v)
			case f.irreversible:
				c = 16
				size = f.form.EncodedLen(16)
			case f.spec.Tag == 0 && !textform.IsText(v):
				code = ValueNotText
			case f.form == textform.UUID && c != 16:
				code = ValueTooLong
			default:
				size = f.form.EncodedLen(c)
			}
		}
		if f.fpe != nil && size > 0 {
			code = f.fpe.refuses(v)
			if code != 0 {
				size = 0
			}
		}
		if b.At == nil {
			b.Dst = append(b.Dst, b.Pre...)
		}
		resultOff := len(b.Dst)
		if b.At != nil {
			resultOff = int(b.At[i])
		} else {
			b.Dst = grow(b.Dst, size)[:resultOff+size]
			b.Dst = append(b.Dst, b.Post...)
		}
		b.set(i, resultOff, size, code)
		if size == 0 {
			s.arena = s.arena[:start]
			continue
		}
		switch {
		case f.spec.Policy == spec.PerDocument:
			k := b.Doc.next(v)
			if f.irreversible {
				s.counts = append(s.counts, k)
			} else {
				r := counter(k)
				copy(s.arena[start:], r[:])
			}
		case f.spec.Policy == spec.Different && !f.irreversible:
			copy(s.arena[start:], s.random[12*n:12*n+12])
		}
		if copied {
			off, l = start, len(s.arena)-start
		}
		m := c / 16
		if c%16 != 0 || m > hctr2.MaxBlocks {
			m = 0
		}
		most = max(most, m)
		s.spans[2*n], s.spans[2*n+1] = uint32(off), uint32(l)
		s.at[n], s.m[n] = uint32(resultOff), uint16(m)
		n++
	}
	if n == 0 {
		return
	}
	arena := src
	if copied {
		arena = s.arena
	}
	spans, at := s.spans[:2*n], s.at[:n]
	switch {
	case f.fpe != nil:
		f.fpe.key.Encrypt(b.Dst, at, arena, spans, nil)
	case f.irreversible:
		p.digests(b, arena, spans, at)
	default:
		p.blocks(b, arena, spans, at, s.m[:n], most)
	}
}

var zeros [32]byte

// digests writes the results of irreversible values.
func (p *Plan) digests(b *Batch, arena []byte, spans, at []uint32) {
	f, s := &p.forward, &b.work.stage
	s.macs = resized(s.macs, 16*len(at))
	switch f.spec.Policy {
	case spec.Same:
		f.mac.Sum(s.macs, arena, spans, nil)
	case spec.PerDocument:
		f.mac.Sum(s.macs, arena, spans, s.counts)
	case spec.Different:
		p.random(s.macs)
	}
	textform.WriterFor(f.form, f.gen, "", "").EncodeAt(b.Dst, at, s.macs)
}

// blocks writes the results of reversible values, grouped by their number of blocks.
func (p *Plan) blocks(b *Batch, arena []byte, spans, at []uint32, blocks []uint16, most int) {
	f, s := &p.forward, &b.work.stage
	var first [hctr2.MaxBlocks + 2]int
	for _, m := range blocks {
		first[m+1]++
	}
	for m := range first[1:] {
		first[m+1] += first[m]
	}
	n := len(at)
	s.gspans, s.gat = resized(s.gspans, 2*n), resized(s.gat, n)
	next := first
	for i, m := range blocks {
		j := next[m]
		next[m]++
		s.gspans[2*j], s.gspans[2*j+1], s.gat[j] = spans[2*i], spans[2*i+1], at[i]
	}
	w := textform.WriterFor(f.form, f.gen, "", "")
	for m := 1; m <= most; m++ {
		lo, hi := first[m], first[m+1]
		if lo == hi {
			continue
		}
		if m == 1 && f.prefix == 0 && f.spec.Tag == 0 {
			f.cipher.SealAt(w, b.Dst, s.gat[lo:hi], arena, s.gspans[2*lo:2*hi])
			continue
		}
		f.cipher.SealBlocksAt(w, m, b.Dst, s.gat[lo:hi], arena, s.gspans[2*lo:2*hi])
	}
	for i := range first[1] {
		v := arena[s.gspans[2*i]:][:s.gspans[2*i+1]]
		msg := append(b.work.c[:0], v...)
		pad := 16 - (len(v)-f.prefix)%16
		for range pad {
			msg = append(msg, byte(pad))
		}
		f.cipher.Encrypt(msg, msg)
		chars := f.form.EncodedLen(len(msg))
		f.form.Encode(b.Dst[s.gat[i]:][:chars], msg, f.gen)
		b.work.c = msg
	}
}

// resized returns b with length n. Its content is undefined.
func resized[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n, max(n, 2*cap(b)))
	}
	return b[:n]
}
