package suite

import (
	"encoding/binary"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel"
)

// The ways of a batch, fastest first. Each does leading values and leaves the rest to
// the next:
//
//	rows, places  one-block values straight from the arena: one kernel call
//	staged        any values, up to a thousand at a time: those of the same number of blocks
//	              go through the cipher together
//	portable      one by one: what is left

// chunk is how many values are staged together: enough to fill lanes of several
// lengths, few enough to stay in the first-level cache.
const chunk = 1024

// maxStaged is how many blocks a message may have to be staged.
const maxStaged = kernel.MaxBlocks

// stage is the scratch of staged values.
type stage struct {
	arena []byte   // normalised values, or prefix ‖ value
	spans []uint32 // of the values that have a result, in arena or in the batch
	at    []uint32 // their places in Dst
	m     []uint16 // their blocks; 0: more than kernels take
	// One group of equal length after the other.
	gspans []uint32
	gat    []uint32
	macs   []byte
	counts []uint64
	random []byte
	bad    []kernel.FF1Error
	index  []uint32 // format-preserving: which value of the batch
}

// oneBlock says whether plain values of up to 15 bytes go through kernels as they are.
func (f *forward) oneBlock() bool {
	return f.cipher != nil && f.prefix == 0 && len(f.spec.Norm) == 0
}

// run transforms values from to to of b.
func (p *Plan) run(b *Batch, from, to int) {
	switch {
	case p.direct(b, from, to):
	case p.op == Pseudonymise && p.forward.oneBlock():
		f := &p.forward
		w := p.writerFor(b)
		stretch := max(b.work.stretch, chunk/32)
		defer func() { b.work.stretch = stretch }()
		for from < to {
			var n int
			if b.At != nil {
				n = f.cipher.SealAt(w, b.Dst, b.At[from:to], b.Src, b.Spans[2*from:2*to])
				for i := from; i < from+n; i++ {
					b.Out[2*i], b.Out[2*i+1] = b.At[i], uint32(f.form.EncodedLen(16))
				}
			} else {
				b.Dst, n = f.cipher.SealRows(w, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:])
			}
			from += n
			if from < to && b.At == nil {
				from += p.longRows(b, w, from, to)
			}
			if from < to {
				// Most likely more of its kind come soon: the sooner they came the last
				// times, the more values take this way.
				if stretch = min(2*stretch, chunk); n > stretch {
					stretch = chunk / 16
				}
				n = min(to-from, stretch)
				p.stagedPlain(b, w, from, from+n)
				from += n
			}
		}
	case p.op == Pseudonymise:
		for ; from < to; from += chunk {
			p.staged(b, from, min(from+chunk, to))
		}
	case p.op == Reverse && p.reverse.oneBlock():
		r := &p.reverse
		for from < to {
			g := r.firstGen(b, from)
			if g >= 0 {
				var n int
				b.Dst, n = r.ciphers[g].OpenRows(kernel.ReaderFor(r.form, g), b.Pre, b.Post, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:])
				if from += n; from == to {
					return
				}
			}
			n := min(to-from, chunk/8)
			p.stagedReverse(b, from, from+n)
			from += n
		}
	case p.op == Reverse:
		for ; from < to; from += chunk {
			p.stagedReverse(b, from, min(from+chunk, to))
		}
	case p.op == Secondary && p.reverse.oneBlock() && p.forward.oneBlock() && b.At == nil:
		r, f := &p.reverse, &p.forward
		w := p.writerFor(b)
		for from < to {
			g := r.firstGen(b, from)
			if g >= 0 {
				var n int
				b.Dst, n = r.ciphers[g].TranslateRows(kernel.ReaderFor(r.form, g), f.cipher, w, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:])
				if from += n; from == to {
					return
				}
			}
			n := min(to-from, chunk/8)
			p.stagedSecondary(b, from, from+n)
			from += n
		}
	default:
		for ; from < to; from += chunk {
			p.stagedSecondary(b, from, min(from+chunk, to))
		}
	}
}

// stagedSecondary translates values from to to, chunk at most, by way of memory that
// Transform wipes.
func (p *Plan) stagedSecondary(b *Batch, from, to int) {
	w := &b.work
	if w.halves == nil {
		w.halves = new([2]Batch)
	}
	r, f := &w.halves[0], &w.halves[1]
	n := to - from
	r.Src, r.Spans, r.Dst, r.Bad = b.Src, b.Spans[2*from:2*to], r.Dst[:0], r.Bad[:0]
	r.Out = sized(r.Out, 2*n)
	p.halves[0].run(r, 0, n)
	f.Src, f.Spans, f.Pre, f.Post, f.Doc = r.Dst, r.Out, b.Pre, b.Post, b.Doc
	f.Dst, f.Out, f.Bad, f.At = b.Dst, b.Out[2*from:2*to], f.Bad[:0], nil
	if b.At != nil {
		f.At = b.At[from:to]
	}
	p.halves[1].run(f, 0, n)
	b.Dst = f.Dst
	// A value is bad in one half at most: those of the first are empty in the second.
	i, j := 0, 0
	for i < len(r.Bad) || j < len(f.Bad) {
		if j == len(f.Bad) || i < len(r.Bad) && r.Bad[i].Index < f.Bad[j].Index {
			b.Bad = append(b.Bad, ValueError{from + r.Bad[i].Index, NotAPseudonym})
			i++
		} else {
			b.Bad = append(b.Bad, ValueError{from + f.Bad[j].Index, f.Bad[j].Code})
			j++
		}
	}
	r.Src, r.Spans, f.Src, f.Spans, f.Dst, f.Out, f.At, f.Doc = nil, nil, nil, nil, nil, nil, nil, nil
}

// longRows does leading values that all take one number of blocks, and returns how
// many those were.
func (p *Plan) longRows(b *Batch, w *kernel.Writer, from, to int) int {
	m := int(b.Spans[2*from+1])>>4 + 1
	if m < 2 || m > kernel.MaxBlocks {
		return 0
	}
	s := &b.work.stage
	s.at = sized(s.at, chunk)
	start := len(b.Dst)
	to = min(to, from+chunk)
	dst, n, plain := p.forward.cipher.SealBlocksRows(w, m, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:2*to], s.at)
	for i := 0; i < n && !plain; i++ {
		if v := b.Src[b.Spans[2*(from+i)]:][:b.Spans[2*(from+i)+1]]; !kernel.IsText(v) {
			n = i
		}
	}
	if n > 0 {
		last := b.Out[2*(from+n-1):]
		start = int(last[0]+last[1]) + len(b.Post)
	}
	b.Dst = dst[:start]
	return n
}

func (p *Plan) writerFor(b *Batch) *kernel.Writer {
	f := &p.forward
	pre, post := b.Pre, b.Post
	if b.At != nil {
		pre, post = "", ""
	}
	w := p.writer.Load()
	if w == nil || !w.Is(f.form, f.gen, pre, post) {
		w = kernel.WriterFor(f.form, f.gen, pre, post)
		p.writer.Store(w)
	}
	return w
}

// oneBlock says whether pseudonyms of one block go through kernels as they are.
func (r *backward) oneBlock() bool {
	return r.fpe == nil && r.prefix == 0
}

// firstGen is the generation of value i of b, or -1 if it has none that lives.
func (r *backward) firstGen(b *Batch, i int) int {
	g := 0
	if r.form.Marked() {
		g = r.form.Mark(b.Src[b.Spans[2*i]:][:b.Spans[2*i+1]])
		if g < 0 {
			return -1
		}
	} else {
		g = r.try[0]
	}
	if r.ciphers[g] == nil {
		return -1
	}
	return g
}

// staged pseudonymises values from to to, chunk at most.
func (p *Plan) staged(b *Batch, from, to int) {
	f, s := &p.forward, &b.work.stage
	src := b.Src
	copied := len(f.spec.Norm) > 0 || f.prefix > 0 // values are staged in s.arena
	n := 0                                         // values with a result
	s.arena, s.counts, s.index = s.arena[:0], s.counts[:0], s.index[:0]
	s.spans = sized(s.spans, 2*chunk)
	s.at = sized(s.at, chunk)
	s.m = sized(s.m, chunk)
	if f.spec.Method == Reversible && f.spec.Policy == Different {
		s.random = sized(s.random, 12*(to-from))
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
			case f.spec.Method == Irreversible:
				c = 16
				size = f.form.EncodedLen(16)
			case f.spec.Tag == 0 && !kernel.IsText(v):
				code = ValueNotText
			case f.form == kernel.UUID && c != 16:
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
		place := len(b.Dst)
		if b.At != nil {
			place = int(b.At[i])
		} else {
			b.Dst = grow(b.Dst, size)[:place+size]
			b.Dst = append(b.Dst, b.Post...)
		}
		b.set(i, place, size, code)
		if size == 0 {
			s.arena = s.arena[:start]
			continue
		}
		switch {
		case f.spec.Policy == PerDocument:
			k := b.Doc.next(v)
			if f.spec.Method == Irreversible {
				s.counts = append(s.counts, k)
			} else {
				r := counter(k)
				copy(s.arena[start:], r[:])
			}
		case f.spec.Policy == Different && f.spec.Method == Reversible:
			copy(s.arena[start:], s.random[12*n:12*n+12])
		}
		if copied {
			off, l = start, len(s.arena)-start
		}
		m := c / 16
		if c%16 != 0 || m > kernel.MaxBlocks {
			m = 0
		}
		most = max(most, m)
		s.spans[2*n], s.spans[2*n+1] = uint32(off), uint32(l)
		s.at[n], s.m[n] = uint32(place), uint16(m)
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
	case f.spec.Method == Irreversible:
		p.digests(b, arena, spans, at)
	default:
		p.blocks(b, arena, spans, at, s.m[:n], most)
	}
}

var zeros [32]byte

// digests writes the results of irreversible values.
func (p *Plan) digests(b *Batch, arena []byte, spans, at []uint32) {
	f, s := &p.forward, &b.work.stage
	s.macs = sized(s.macs, 16*len(at))
	switch f.spec.Policy {
	case Same:
		f.mac.Sum(s.macs, arena, spans, nil)
	case PerDocument:
		f.mac.Sum(s.macs, arena, spans, s.counts)
	case Different:
		p.random(s.macs)
	}
	kernel.WriterFor(f.form, f.gen, "", "").EncodeAt(b.Dst, at, s.macs)
}

// blocks writes the results of reversible values: those of one number of blocks after
// those of another.
func (p *Plan) blocks(b *Batch, arena []byte, spans, at []uint32, blocks []uint16, most int) {
	f, s := &p.forward, &b.work.stage
	var first [kernel.MaxBlocks + 2]int
	for _, m := range blocks {
		first[m+1]++
	}
	for m := range first[1:] {
		first[m+1] += first[m]
	}
	n := len(at)
	s.gspans, s.gat = sized(s.gspans, 2*n), sized(s.gat, n)
	next := first
	for i, m := range blocks {
		j := next[m]
		next[m]++
		s.gspans[2*j], s.gspans[2*j+1], s.gat[j] = spans[2*i], spans[2*i+1], at[i]
	}
	w := kernel.WriterFor(f.form, f.gen, "", "")
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

// sized returns b with length n, with new content where it had to grow.
func sized[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n, max(n, 2*cap(b)))
	}
	return b[:n]
}

// stagedPlain is staged for values that need no preparation. It goes ahead as if all
// were text of lengths that kernels take, and leaves the work to staged if not.
func (p *Plan) stagedPlain(b *Batch, w *kernel.Writer, from, to int) {
	if !p.mixedRows(b, w, from, to) && !p.tryPlain(b, w, from, to) {
		p.staged(b, from, to)
	}
}

// mixedRows is tryPlain where one kernel call does all.
func (p *Plan) mixedRows(b *Batch, w *kernel.Writer, from, to int) bool {
	if b.At != nil {
		return false
	}
	spans := b.Spans[2*from : 2*to]
	rows, other, ok := p.forward.cipher.SealMixedRows(w, b.Dst, b.Src, spans, b.Out[2*from:2*to])
	b.Dst = rows[:len(b.Dst)]
	if !ok {
		return false
	}
	if other != 0 {
		for i := 0; i < len(spans); i += 2 {
			if off, l := spans[i], spans[i+1]; other>>(l>>4+1)&1 != 0 && !kernel.IsText(b.Src[off:][:l]) {
				return false
			}
		}
	}
	b.Dst = rows
	return true
}

func (p *Plan) tryPlain(b *Batch, w *kernel.Writer, from, to int) bool {
	f, s := &p.forward, &b.work.stage
	n := to - from
	if f.form == kernel.UUID || len(b.Pre) > 4 || len(b.Post) > 4 {
		return false
	}
	spans, out := b.Spans[2*from:2*to], pairs(b.Out[2*from:2*to])
	s.at, s.m = sized(s.at, chunk), sized(s.m, chunk)
	at, blocks := s.at[:n], s.m[:n]
	size, differ, ok := measure(pairs(spans), blocks, &f.chars)
	if !ok {
		return false
	}
	start := len(b.Dst)
	if b.At != nil {
		copy(at, b.At[from:to])
		for i, m := range blocks {
			out[i] = [2]uint32{at[i], uint32(f.chars[m])}
		}
	} else {
		size += n * (len(b.Pre) + len(b.Post))
		b.Dst = grow(b.Dst, size+8)
		layRows(b.Dst[:start+size+8], start, out, at, blocks, &f.chars, word(b.Pre), word(b.Post), len(b.Pre), len(b.Post))
		b.Dst = b.Dst[:start+size]
	}
	if differ == 0 {
		ok = blocks[0] == 0 || p.sealAlike(b, w, int(blocks[0]), at, spans)
	} else {
		ok = p.sealSorted(b, w, spans, at, blocks)
	}
	if !ok {
		b.Dst = b.Dst[:start]
	}
	return ok
}

// pairs is spans as off, len pairs.
func pairs(spans []uint32) [][2]uint32 {
	return unsafe.Slice((*[2]uint32)(unsafe.Pointer(unsafe.SliceData(spans))), len(spans)/2)
}

// The loops below are functions of their own so that all of each fits in registers.

// measure writes how many blocks each value takes, 0 for an empty one, and returns the
// length of all results, other than 0 if the blocks differ, and false if a value takes
// more than kernels do.
//
//go:noinline
func measure(spans [][2]uint32, blocks []uint16, chars *[kernel.MaxBlocks + 1]int) (size int, differ uint32, ok bool) {
	blocks = blocks[:len(spans)]
	first := spans[0][1]>>4 + (spans[0][1]|-spans[0][1])>>31
	for i, p := range spans {
		l := p[1]
		// ⌊l/16⌋ + 1, and 0 for 0.
		m := l>>4 + (l|-l)>>31
		if m > kernel.MaxBlocks {
			return 0, 0, false
		}
		blocks[i] = uint16(m)
		differ |= m ^ first
		size += chars[m]
	}
	return size, differ, true
}

// layRows writes the framing of rows to dst from place on, and notes where the results
// go. It writes up to 4 bytes behind the last row.
//
//go:noinline
func layRows(dst []byte, place int, out [][2]uint32, at []uint32, blocks []uint16, chars *[kernel.MaxBlocks + 1]int, pre, post uint32, preLen, postLen int) {
	out, at = out[:len(blocks)], at[:len(blocks)]
	for i, m := range blocks {
		binary.LittleEndian.PutUint32(dst[place:], pre)
		place += preLen
		c := chars[m]
		at[i] = uint32(place)
		out[i] = [2]uint32{uint32(place), uint32(c)}
		place += c
		binary.LittleEndian.PutUint32(dst[place:], post)
		place += postLen
	}
}

// sortBlocks copies spans and places in the order of blocks; next is where those of m
// blocks begin, and ends up where they end.
//
//go:noinline
func sortBlocks(toSpans [][2]uint32, toAt []uint32, spans [][2]uint32, at []uint32, blocks []uint16, next *[kernel.MaxBlocks + 1]int32) {
	spans, at = spans[:len(blocks)], at[:len(blocks)]
	for i, m := range blocks {
		j := next[m]
		next[m] = j + 1
		toSpans[j], toAt[j] = spans[i], at[i]
	}
}

// word is up to 4 bytes as they stand in memory.
func word(s string) uint32 {
	var b [4]byte
	copy(b[:], s)
	return binary.LittleEndian.Uint32(b[:])
}

// sealSorted enciphers values to their places, and returns false if one is no text.
func (p *Plan) sealSorted(b *Batch, w *kernel.Writer, spans, at []uint32, blocks []uint16) bool {
	s := &b.work.stage
	var next [kernel.MaxBlocks + 1]int32
	for _, m := range blocks {
		next[m]++
	}
	sum := int32(0)
	for m, c := range next {
		next[m] = sum
		sum += c
	}
	begin := next[1]
	s.gspans, s.gat = sized(s.gspans, 2*chunk), sized(s.gat, chunk)
	sortBlocks(pairs(s.gspans), s.gat, pairs(spans), at, blocks, &next)
	for m := 1; m < len(next); m++ {
		end := next[m]
		if begin < end && !p.sealAlike(b, w, m, s.gat[begin:end], s.gspans[2*begin:2*end]) {
			return false
		}
		begin = end
	}
	return true
}

// sealAlike enciphers values of m blocks to their places, and returns false if one is
// no text.
func (p *Plan) sealAlike(b *Batch, w *kernel.Writer, m int, at, spans []uint32) bool {
	f := &p.forward
	if m == 1 {
		return f.cipher.SealAt(w, b.Dst, at, b.Src, spans) == len(at)
	}
	if f.cipher.SealBlocksAt(w, m, b.Dst, at, b.Src, spans) {
		return true
	}
	for i := range at {
		if !kernel.IsText(b.Src[spans[2*i]:][:spans[2*i+1]]) {
			return false
		}
	}
	return true
}
