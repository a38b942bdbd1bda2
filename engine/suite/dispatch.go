package suite

import (
	"github.com/velonym/velonym/engine/kernel/ff1"
	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// The paths of a batch, fastest first. Each transforms a prefix of the remaining values
// and leaves the rest to the next:
//
//	one block  values of up to 15 bytes, read from the arena in one kernel call
//	staged     any values, up to stageSize at a time: those with the same number of
//	           blocks go through the cipher together
//	portable   one value at a time

// stageSize is the number of values staged together: enough to fill vector lanes with
// messages of several lengths, few enough for the first-level cache.
const stageSize = 1024

// maxStaged is the most blocks of a message that is staged.
const maxStaged = hctr2.MaxBlocks

// stage is the scratch of staged values.
type stage struct {
	arena []byte   // normalised values, or prefix ‖ value
	spans []uint32 // of the values that have a result, in arena or in the batch
	at    []uint32 // offsets in Dst of their results
	m     []uint16 // their numbers of blocks; 0: more than kernels take
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
		for ; from < to; from += stageSize {
			p.staged(b, from, min(from+stageSize, to))
		}
	case p.op == spec.Reverse && p.reverse.oneBlock():
		p.runOneBlockReverse(b, from, to)
	case p.op == spec.Reverse:
		for ; from < to; from += stageSize {
			p.stagedReverse(b, from, min(from+stageSize, to))
		}
	case p.op == spec.Secondary && p.reverse.oneBlock() && p.forward.oneBlock() && b.At == nil:
		p.runOneBlockSecondary(b, from, to)
	default:
		for ; from < to; from += stageSize {
			p.stagedSecondary(b, from, min(from+stageSize, to))
		}
	}
}

// runOneBlock pseudonymises the values from to to. One kernel call does the values of one
// block up to the first longer one; equalBlockRows or mixedBlockRows does that one and
// those that follow it.
func (p *Plan) runOneBlock(b *Batch, from, to int) {
	f := &p.forward
	w := p.writerFor(b)
	mixedRun := max(b.work.mixedRun, stageSize/32)
	defer func() { b.work.mixedRun = mixedRun }()
	for from < to {
		var n int
		if b.At != nil {
			b.work.paths.oneBlockAt++
			n = f.cipher.SealAt(w, b.Dst, b.At[from:to], b.Src, b.Spans[2*from:2*to])
			for i := from; i < from+n; i++ {
				b.Out[2*i], b.Out[2*i+1] = b.At[i], uint32(f.form.EncodedLen(16))
			}
		} else {
			b.work.paths.oneBlockRows++
			b.Dst, n = f.cipher.SealRows(w, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:])
		}
		from += n
		if from < to && b.At == nil {
			from += p.equalBlockRows(b, w, from, to)
		}
		if from < to {
			// More long values will probably follow: the sooner the last ones came, the
			// more values mixedBlockRows does.
			if mixedRun = min(2*mixedRun, stageSize); n > mixedRun {
				mixedRun = stageSize / 16
			}
			n = min(to-from, mixedRun)
			p.mixedBlockRows(b, w, from, from+n)
			from += n
		}
	}
}

// mixedBlockRows pseudonymises values that need no normalisation, prefix or tag, whatever
// their numbers of blocks. It assumes that all are text of lengths that the kernels take,
// and calls staged if one is not.
func (p *Plan) mixedBlockRows(b *Batch, w *textform.Writer, from, to int) {
	c, spans, out := p.forward.cipher, b.Spans[2*from:2*to], b.Out[2*from:2*to]
	var ok bool
	if b.At != nil {
		ok = c.SealMixedAt(w, b.Dst, b.At[from:to], b.Src, spans, out)
	} else {
		b.Dst, ok = c.SealMixedRows(w, b.Dst, b.Src, spans, out)
	}
	if ok {
		b.work.paths.mixedBlocks++
		return
	}
	b.work.paths.refused++
	p.staged(b, from, to)
}

// equalBlockRows pseudonymises the longest prefix of values with the same number of
// blocks, two or more, and returns its length.
func (p *Plan) equalBlockRows(b *Batch, w *textform.Writer, from, to int) int {
	m := int(b.Spans[2*from+1])>>4 + 1
	if m < 2 || m > hctr2.MaxBlocks {
		return 0
	}
	s := &b.work.stage
	s.at = resized(s.at, stageSize)
	start := len(b.Dst)
	to = min(to, from+stageSize)
	dst, n, plain := p.forward.cipher.SealBlocksRows(w, m, b.Dst, b.Src, b.Spans[2*from:2*to], b.Out[2*from:2*to], s.at)
	for i := 0; i < n && !plain; i++ {
		if v := b.Src[b.Spans[2*(from+i)]:][:b.Spans[2*(from+i)+1]]; !textform.IsText(v) {
			n = i
		}
	}
	if n > 0 {
		b.work.paths.equalBlocks++
		last := b.Out[2*(from+n-1):]
		start = int(last[0]+last[1]) + len(b.Post)
	}
	b.Dst = dst[:start]
	return n
}

// runOneBlockReverse reverses the values from to to. One kernel call does the pseudonyms
// of one block up to the first that it refuses; stagedReverse does that one and some more.
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
		n := min(to-from, stageSize/8)
		p.stagedReverse(b, from, from+n)
		from += n
	}
}

// runOneBlockSecondary translates the values from to to. One kernel call does the
// pseudonyms of one block up to the first that it refuses; stagedSecondary does that one
// and some more.
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
		n := min(to-from, stageSize/8)
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

// oneBlock reports whether kernels take values of up to 15 bytes as they are: there is
// nothing to normalise and nothing before the value in its message.
func (f *forward) oneBlock() bool {
	return f.cipher != nil && f.prefix == 0 && len(f.spec.Norm) == 0
}

// firstGen returns the generation to try first for value i of b, -1 if it is not living.
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

// oneBlock reports whether kernels take pseudonyms of one block as they are.
func (r *backward) oneBlock() bool {
	return r.fpe == nil && r.prefix == 0
}
