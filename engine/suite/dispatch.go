package suite

import (
	"github.com/velonym/velonym/engine/kernel/ff1"
	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
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
const maxStaged = hctr2.MaxBlocks

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
	bad    []ff1.Error
	index  []uint32 // format-preserving: which value of the batch
}

// run transforms values from to to of b.
func (p *Plan) run(b *Batch, from, to int) {
	switch {
	case p.tryRows(b, from, to):
	case p.op == spec.Pseudonymise && p.forward.oneBlock():
		p.runOneBlock(b, from, to)
	case p.op == spec.Pseudonymise:
		for ; from < to; from += chunk {
			p.staged(b, from, min(from+chunk, to))
		}
	case p.op == spec.Reverse && p.reverse.oneBlock():
		p.runOneBlockReverse(b, from, to)
	case p.op == spec.Reverse:
		for ; from < to; from += chunk {
			p.stagedReverse(b, from, min(from+chunk, to))
		}
	case p.op == spec.Secondary && p.reverse.oneBlock() && p.forward.oneBlock() && b.At == nil:
		p.runOneBlockSecondary(b, from, to)
	default:
		for ; from < to; from += chunk {
			p.stagedSecondary(b, from, min(from+chunk, to))
		}
	}
}

// runOneBlock pseudonymises values from to to. Values of one block go through one
// kernel call up to the first that is longer; longRows or stagedPlain does that one
// and those that follow it.
func (p *Plan) runOneBlock(b *Batch, from, to int) {
	f := &p.forward
	w := p.writerFor(b)
	stretch := max(b.work.stretch, chunk/32)
	defer func() { b.work.stretch = stretch }()
	for from < to {
		var n int
		if b.At != nil {
			b.work.paths.places++
			n = f.cipher.SealAt(w, b.Dst, b.At[from:to], b.Src, b.Spans[2*from:2*to])
			for i := from; i < from+n; i++ {
				b.Out[2*i], b.Out[2*i+1] = b.At[i], uint32(f.form.EncodedLen(16))
			}
		} else {
			b.work.paths.rows++
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
}

// stagedPlain is staged for values that need no preparation. It goes ahead as if all
// were text of lengths that kernels take, and leaves the work to staged if not.
func (p *Plan) stagedPlain(b *Batch, w *textform.Writer, from, to int) {
	c, spans, out := p.forward.cipher, b.Spans[2*from:2*to], b.Out[2*from:2*to]
	var ok bool
	if b.At != nil {
		ok = c.SealMixedAt(w, b.Dst, b.At[from:to], b.Src, spans, out)
	} else {
		b.Dst, ok = c.SealMixedRows(w, b.Dst, b.Src, spans, out)
	}
	if ok {
		b.work.paths.mixed++
		return
	}
	b.work.paths.refused++
	p.staged(b, from, to)
}

// longRows does leading values that all take one number of blocks, and returns how
// many those were.
func (p *Plan) longRows(b *Batch, w *textform.Writer, from, to int) int {
	m := int(b.Spans[2*from+1])>>4 + 1
	if m < 2 || m > hctr2.MaxBlocks {
		return 0
	}
	s := &b.work.stage
	s.at = sized(s.at, chunk)
	start := len(b.Dst)
	to = min(to, from+chunk)
	dst, n, plain := p.forward.cipher.SealBlocksRows(w, m, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:2*to], s.at)
	for i := 0; i < n && !plain; i++ {
		if v := b.Src[b.Spans[2*(from+i)]:][:b.Spans[2*(from+i)+1]]; !textform.IsText(v) {
			n = i
		}
	}
	if n > 0 {
		b.work.paths.long++
		last := b.Out[2*(from+n-1):]
		start = int(last[0]+last[1]) + len(b.Post)
	}
	b.Dst = dst[:start]
	return n
}

// runOneBlockReverse reverses values from to to, pseudonyms of one block by one
// kernel call up to the first that the kernel refuses.
func (p *Plan) runOneBlockReverse(b *Batch, from, to int) {
	r := &p.reverse
	for from < to {
		g := r.firstGen(b, from)
		if g >= 0 {
			var n int
			b.work.paths.opened++
			b.Dst, n = r.ciphers[g].OpenRows(textform.ReaderFor(r.form, g), b.Pre, b.Post, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:])
			if from += n; from == to {
				return
			}
		}
		n := min(to-from, chunk/8)
		p.stagedReverse(b, from, from+n)
		from += n
	}
}

// runOneBlockSecondary translates values from to to, pseudonyms of one block by one
// kernel call up to the first that the kernel refuses.
func (p *Plan) runOneBlockSecondary(b *Batch, from, to int) {
	r, f := &p.reverse, &p.forward
	w := p.writerFor(b)
	for from < to {
		g := r.firstGen(b, from)
		if g >= 0 {
			var n int
			b.work.paths.translated++
			b.Dst, n = r.ciphers[g].TranslateRows(textform.ReaderFor(r.form, g), f.cipher, w, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:])
			if from += n; from == to {
				return
			}
		}
		n := min(to-from, chunk/8)
		p.stagedSecondary(b, from, from+n)
		from += n
	}
}

func (p *Plan) writerFor(b *Batch) *textform.Writer {
	f := &p.forward
	pre, post := b.Pre, b.Post
	if b.At != nil {
		pre, post = "", ""
	}
	w := p.writer.Load()
	if w == nil || !w.Is(f.form, f.gen, pre, post) {
		w = textform.WriterFor(f.form, f.gen, pre, post)
		p.writer.Store(w)
	}
	return w
}

// oneBlock says whether plain values of up to 15 bytes go through kernels as they are.
func (f *forward) oneBlock() bool {
	return f.cipher != nil && f.prefix == 0 && len(f.spec.Norm) == 0
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

// oneBlock says whether pseudonyms of one block go through kernels as they are.
func (r *backward) oneBlock() bool {
	return r.fpe == nil && r.prefix == 0
}
