package suite

import (
	"sync"
	"sync/atomic"

	"github.com/velonym/velonym/engine/spec"
)

const (
	inline = 1000 // values up to which other goroutines cost more than they bring

	// Values a piece. At the most, input, results and spans stay within a second-level
	// cache; every piece begins with some cold lines and pages, at the least they show.
	leastPiece, mostPiece = 2048, 16384
)

// pieceOf is how many values of n make a piece for so many workers: two pieces each at
// least, so that a worker that starts late leaves some to the others.
func pieceOf(n, workers int) int {
	return min(max((n+2*workers-1)/(2*workers), leastPiece), mostPiece)
}

// pool is what TransformParallel keeps in a batch between calls.
type pool struct {
	workers []Batch
	pieces  []part
}

// part is the outcome of one piece.
type part struct {
	dst  []byte // its results: in the place guessed for them, or in a buffer of its own
	own  []byte // that buffer, for the next time
	bad  []ValueError
	base int // where they begin in the batch's Dst, as far as Out knows
}

// TransformParallel is Transform over that many goroutines at most: the same results
// in the same order. Up to 1,000 values, and batches of policy document, which need
// their order, run in the calling goroutine.
func (p *Plan) TransformParallel(b *Batch, workers int) {
	n := len(b.Spans) / 2
	workers = max(workers, 1)
	piece := pieceOf(n, workers)
	pieces := (n + piece - 1) / piece
	workers = min(workers, pieces)
	if n <= inline || workers < 2 || p.op != spec.Reverse && p.forward.spec.Policy == spec.PerDocument {
		p.Transform(b)
		return
	}
	former := p.trimmed(b)
	defer func() { b.Spans = former }()
	b.Bad = b.Bad[:0]
	b.Out = grow(b.Out[:0], 2*n)[:2*n]
	q := &b.work.pool
	for len(q.workers) < workers {
		q.workers = append(q.workers, Batch{})
	}
	for len(q.pieces) < pieces {
		q.pieces = append(q.pieces, part{})
	}
	row := 0
	if b.At == nil && p.commonRows() {
		row = len(b.Pre) + p.forward.form.EncodedLen(16) + len(b.Post)
	}
	begin := len(b.Dst)
	if row > 0 {
		b.Dst = grow(b.Dst, n*row)
	}
	each(workers, pieces, func(w, i int) {
		t, r := &q.workers[w], &q.pieces[i]
		from, to := i*piece, min(n, (i+1)*piece)
		t.Src, t.Spans, t.Pre, t.Post = b.Src, b.Spans[2*from:2*to], b.Pre, b.Post
		t.Out, t.Bad = b.Out[2*from:2*to], r.bad[:0]
		t.At = nil
		switch {
		case b.At != nil:
			t.At, t.Dst = b.At[from:to], b.Dst
		case row > 0:
			r.base = begin + from*row
			t.Dst = b.Dst[r.base:r.base:min(cap(b.Dst), begin+to*row)]
		default:
			r.base, t.Dst = 0, r.own[:0]
		}
		p.run(t, 0, to-from)
		r.dst, r.bad = t.Dst, t.Bad
		if row == 0 {
			r.own = t.Dst
		} else {
			shift(t.Out, r.base)
		}
		if p.op == spec.Secondary {
			t.work.clean()
		}
		t.Dst, t.Out, t.Bad, t.Src, t.Spans, t.At = nil, nil, nil, nil, nil, nil
	})
	for i := range pieces {
		for _, e := range q.pieces[i].bad {
			b.Bad = append(b.Bad, ValueError{e.Index + i*piece, e.Code})
		}
	}
	if b.At == nil {
		b.joinPieces(workers, pieces, piece, begin, row)
	}
	// A piece must not keep the caller's Dst alive, which may be large.
	for i := range pieces {
		q.pieces[i].dst = nil
	}
}

// commonRows reports whether most values of most batches make rows of one length, so
// that the place of every piece in Dst is known before.
func (p *Plan) commonRows() bool {
	return p.op == spec.Pseudonymise && p.forward.oneBlock() ||
		p.op == spec.Secondary && p.forward.oneBlock() && p.reverse.oneBlock()
}

// ParallelScratch returns about how many bytes TransformParallel needs besides Dst for
// so many values of size bytes together, framing apart: results that do not make rows
// of one length stand in buffers of the workers first.
func (p *Plan) ParallelScratch(values, size, workers int) int {
	const oneBlockValue = 15 // the longest value that makes a row of the common length
	if values <= inline || workers < 2 || p.op == spec.Pseudonymise && p.commonRows() && size <= values*oneBlockValue {
		return 0
	}
	return p.MaxOut(values, size)
}

// joinPieces makes the results of all pieces follow each other in b.Dst from begin on.
// Pieces that stand in Dst, row bytes a value, stay there if all are where they belong.
func (b *Batch) joinPieces(workers, pieces, piece, begin, row int) {
	n, q := len(b.Spans)/2, &b.work.pool
	end, moved := begin, false
	for i := range pieces {
		r := &q.pieces[i]
		moved = moved || row == 0 || r.base != end || len(r.dst) != min(piece, n-i*piece)*row
		end += len(r.dst)
	}
	if !moved {
		b.work.paths.placed++
		b.Dst = b.Dst[:end]
		return
	}
	b.work.paths.moved++
	dst := b.Dst
	if row > 0 {
		// Some pieces lie in Dst, not all where they belong.
		dst = append(make([]byte, 0, end), b.Dst[:begin]...)
	}
	dst = grow(dst[:begin], end-begin)[:end]
	starts := make([]int, pieces)
	for i := 1; i < pieces; i++ {
		starts[i] = starts[i-1] + len(q.pieces[i-1].dst)
	}
	each(workers, pieces, func(_, i int) {
		r := &q.pieces[i]
		at := begin + starts[i]
		copy(dst[at:], r.dst)
		shift(b.Out[2*i*piece:2*min(n, (i+1)*piece)], at-r.base)
	})
	b.Dst = dst
}

// Trim drops what the batch keeps between calls if that is more than most bytes: who
// keeps batches for long, and counts their memory, calls it after a large one.
func (b *Batch) Trim(most int) {
	if b.work.size() > most {
		b.work = work{}
	}
}

// size is about how many bytes w keeps.
func (w *work) size() int {
	n := cap(w.value) + cap(w.tmp) + cap(w.msg) + cap(w.c) + cap(w.random)
	for i := range w.pool.workers {
		n += w.pool.workers[i].work.size()
	}
	for i := range w.pool.pieces {
		n += cap(w.pool.pieces[i].own) + 16*cap(w.pool.pieces[i].bad)
	}
	if w.halves != nil {
		for i := range w.halves {
			h := &w.halves[i]
			n += cap(h.Dst) + 4*cap(h.Out) + h.work.size()
		}
	}
	return n
}

// shift moves the offsets of off, len pairs.
func shift(out []uint32, by int) {
	if by == 0 {
		return
	}
	for i := 0; i < len(out); i += 2 {
		out[i] += uint32(by)
	}
}

// each calls f(worker, i) for all i below n, over so many goroutines, while the caller
// waits. A panic in one of them is passed on. The caller does not take part: a goroutine
// that a busy one has just started is left to it for a while before an idle processor
// takes it over: about 100 µs where this was measured, or some ten thousand values.
func each(workers, n int, f func(worker, i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[any]
	work := func(w int) {
		defer func() {
			if e := recover(); e != nil {
				failed.CompareAndSwap(nil, &e)
			}
		}()
		for {
			i := int(next.Add(1)) - 1
			if i >= n || failed.Load() != nil {
				return
			}
			f(w, i)
		}
	}
	for w := range workers {
		wg.Go(func() { work(w) })
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		panic(*e)
	}
}
