package suite

import (
	"golang.org/x/text/unicode/norm"

	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// ValueError is why value Index of a batch has no result.
type ValueError struct {
	Index int
	Code  Code
}

// Batch is values to transform and their results. One goroutine at a time uses it. A
// reused batch allocates nothing in steady state.
type Batch struct {
	// Src is the arena that holds the values. It must not overlap Dst. Kernels are faster
	// if 64 bytes or more of capacity follow the last value; this is not required.
	Src []byte
	// Spans is off, len of every value in Src.
	Spans []uint32

	// Pre and Post are written around every result in Dst, those of empty and bad
	// values included: `"` and `",` for JSON, "" and "\n" for CSV rows. With at most
	// 4 bytes together the fast path applies.
	Pre, Post string

	// Dst is where results are appended, in the order of the values; give Dst[:0] to
	// reuse it. It must stay below 4 GiB.
	Dst []byte

	// At, if not nil, scatters the results instead: result i is written to
	// Dst[At[i] : At[i]+OutLen(len of value i)], and Pre and Post are not used. It has
	// one offset per value. It requires a plan whose OutLen is not -1 for these values.
	// These ranges must lie within len(Dst) and must not overlap. Bytes outside of them are
	// not written, so that the caller may have written the rest of a row already; the range
	// of an empty or bad value has undefined content.
	At []uint32

	// Out is off, len in Dst of every result, framing excluded. Transform sets it; len
	// is 0 for empty and for bad values.
	Out []uint32
	// Bad lists the values without a result, ascending by index. Transform sets it.
	Bad []ValueError

	// Doc holds the counters of policy document, which requires it.
	Doc *Document

	work work
}

// work is the scratch that a batch keeps between calls. It holds values in the clear until
// it is reused.
type work struct {
	value, tmp, msg, c []byte
	random             []byte
	stage              stage
	pool               pool
	mixedRun           int       // runOneBlock: values of the last call of mixedBlockRows
	halves             *[2]Batch // Secondary
	nfc                norm.Iter
	span               [2]uint32
	trimmed            []uint32
	paths              batchPaths
	count              [1]uint64
}

func (w *work) spanOf(v []byte) []uint32 {
	w.span = [2]uint32{0, uint32(len(v))}
	return w.span[:]
}

// Transform transforms every value of b. A bad value does not affect the others.
func (p *Plan) Transform(b *Batch) {
	n := len(b.Spans) / 2
	b.Bad = b.Bad[:0]
	b.Out = grow(b.Out[:0], 2*n)[:2*n]
	former := p.trimSpans(b)
	p.run(b, 0, n)
	b.Spans = former
	if p.op == spec.Secondary {
		b.work.clean()
	}
}

// portable transforms the values from to to one by one, without kernels. It is the
// specification of the faster paths.
func (p *Plan) portable(b *Batch, from, to int) {
	for i := from; i < to; i++ {
		v := b.Src[b.Spans[2*i]:][:b.Spans[2*i+1]]
		if b.At != nil {
			at := b.At[i]
			room := p.OutLen(len(v))
			res, code := p.appendValue(b, b.Dst[at:at:int(at)+room], v)
			b.set(i, int(at), len(res), code)
			continue
		}
		b.Dst = append(b.Dst, b.Pre...)
		start := len(b.Dst)
		var code Code
		b.Dst, code = p.appendValue(b, b.Dst, v)
		b.set(i, start, len(b.Dst)-start, code)
		b.Dst = append(b.Dst, b.Post...)
	}
}

func (b *Batch) set(i, off, n int, code Code) {
	b.Out[2*i], b.Out[2*i+1] = uint32(off), uint32(n)
	if code != 0 {
		b.Bad = append(b.Bad, ValueError{i, code})
	}
}

func (p *Plan) appendValue(b *Batch, dst, v []byte) ([]byte, Code) {
	if len(v) == 0 {
		return dst, 0
	}
	switch p.op {
	case spec.Reverse:
		return p.reverse.append(&b.work, dst, v)
	case spec.Secondary:
		w := &b.work
		plain, code := p.reverse.append(w, w.value[:0], v)
		w.value = plain
		if code != 0 {
			return dst, NotAPseudonym
		}
		return p.pseudonymise(b, dst, plain)
	}
	return p.pseudonymise(b, dst, v)
}

func (p *Plan) pseudonymise(b *Batch, dst, v []byte) ([]byte, Code) {
	f, w := &p.forward, &b.work
	if len(f.spec.Norm) > 0 {
		var code Code
		w.msg, w.tmp, code = f.spec.Norm.normalise(&w.nfc, w.msg[:0], w.tmp, v)
		if code != 0 {
			return dst, code
		}
		w.value = append(w.value[:0], w.msg...)
		v = w.value
	}
	switch {
	case len(v) == 0:
		return dst, 0
	case len(v) > maxValue:
		return dst, ValueTooLong
	case f.fpe != nil:
		return f.fpe.append(w, dst, v, false)
	case !f.irreversible && f.spec.Tag == 0 && !textform.IsText(v):
		return dst, ValueNotText
	case f.form == textform.UUID && !f.irreversible && f.prefix+(len(v)+16)&^15 != 16:
		return dst, ValueTooLong
	}
	if f.irreversible {
		var c [16]byte
		switch f.spec.Policy {
		case spec.Same:
			f.mac.Sum(c[:], v, w.spanOf(v), nil)
		case spec.Different:
			p.random(c[:])
		case spec.PerDocument:
			w.count[0] = b.Doc.next(v)
			f.mac.Sum(c[:], v, w.spanOf(v), w.count[:])
		}
		w.c = append(w.c[:0], c[:]...)
	} else {
		var r [12]byte
		switch f.spec.Policy {
		case spec.Different:
			w.random = grow(w.random[:0], 12)[:12]
			p.random(w.random)
			copy(r[:], w.random)
		case spec.PerDocument:
			r = counter(b.Doc.next(v))
		}
		w.c = f.message(w.c[:0], &r, v)
		f.cipher.Encrypt(w.c, w.c)
	}
	n := f.form.EncodedLen(len(w.c))
	dst = grow(dst, n)[:len(dst)+n]
	f.form.Encode(dst[len(dst)-n:], w.c, f.gen)
	return dst, 0
}

// append appends the value of the pseudonym x.
func (r *backward) append(w *work, dst, x []byte) ([]byte, Code) {
	if r.fpe != nil {
		return r.fpe.append(w, dst, x, true)
	}
	n := r.form.DecodedLen(len(x))
	if !r.lengthOK(n) {
		return dst, NotAPseudonym
	}
	w.c = grow(w.c[:0], n)[:n]
	gen, ok := r.form.Decode(w.c, x)
	if !ok {
		return dst, NotAPseudonym
	}
	try := r.try
	var marked [1]int
	if r.form.Marked() {
		if r.ciphers[gen] == nil {
			return dst, NotAPseudonym
		}
		marked[0] = gen
		try = marked[:]
	}
	w.msg = grow(w.msg[:0], n)[:n]
	for _, g := range try {
		r.ciphers[g].Decrypt(w.msg, w.c)
		if n, ok := r.open(w.msg); ok {
			return append(dst, w.msg[r.prefix:][:n]...), 0
		}
	}
	return dst, NotAPseudonym
}

// grow returns b with room for n more elements. A slice that it must reallocate at least
// doubles.
func grow[T byte | uint32](b []T, n int) []T {
	if cap(b)-len(b) >= n {
		return b
	}
	g := make([]T, len(b), max(2*cap(b), len(b)+n))
	copy(g, b)
	return g
}

func (w *work) clean() {
	for _, s := range [][]byte{w.value, w.tmp, w.msg, w.c, w.stage.arena} {
		secmem.Wipe(s[:cap(s)])
	}
	if w.halves != nil {
		secmem.Wipe(w.halves[0].Dst[:cap(w.halves[0].Dst)])
		w.halves[0].work.clean()
		w.halves[1].work.clean()
	}
}
