package suite

import (
	"sync"
	"sync/atomic"

	"github.com/velonym/velonym/engine/spec"
)

const (
	serialValues = 1000 // batches up to this size are faster in one goroutine

	// The number of values in a piece. With maxPiece, input, results and spans fit into a
	// second-level cache; with less than minPiece, the cold cache lines and pages at the
	// start of every piece become noticeable.
	minPiece, maxPiece = 2048, 16384
)

// pieceSize returns the number of values in a piece of a batch of n: there are at least two
// pieces per worker, so that the others do the pieces of a worker that starts late.
func pieceSize(n, workers int) int {
	return min(max((n+2*workers-1)/(2*workers), minPiece), maxPiece)
}

// pool is the state that TransformParallel keeps in a batch between calls.
type pool struct {
	workers []Batch
	pieces  []part
}

// part is the result of one piece.
type part struct {
	dst  []byte // results, at their expected offset in the batch's Dst or in own
	own  []byte // buffer of the piece, kept for the next call
	bad  []ValueError
	base int // offset in the batch's Dst that Out assumes for the first result
}

// TransformParallel is Transform in up to workers goroutines, with the same results in the
// same order. Batches of up to 1,000 values, and those of policy document, which depend on
// the order, run in the calling goroutine.
func (p *Plan) TransformParallel(b *Batch, workers int) {
	n := len(b.Spans) / 2
	workers = max(workers, 1)
	piece := pieceSize(n, workers)
	pieces := (n + piece - 1) / piece
	workers = min(workers, pieces)
	if n <= serialValues || workers < 2 || p.op != spec.Reverse && p.forward.spec.Policy == spec.PerDocument {
		p.Transform(b)
		return
	}
	former := p.trimSpans(b)
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
	parallel(workers, pieces, func(w, i int) {
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
	// A piece must not keep the caller's Dst, which may be large, reachable.
	for i := range pieces {
		q.pieces[i].dst = nil
	}
}

// commonRows reports whether most values of most batches have results of one length, so
// that the offset of every piece in Dst can be predicted.
func (p *Plan) commonRows() bool {
	return p.op == spec.Pseudonymise && p.forward.oneBlock() ||
		p.op == spec.Secondary && p.forward.oneBlock() && p.reverse.oneBlock()
}

// ParallelScratch returns about how many bytes TransformParallel needs besides Dst for a
// batch of values with size bytes in all, Pre and Post aside. Results whose offsets cannot
// be predicted are first written to buffers of the pieces.
func (p *Plan) ParallelScratch(values, size, workers int) int {
	const oneBlockValue = 15 // the longest value whose result has the common length
	if values <= serialValues || workers < 2 || p.op == spec.Pseudonymise && p.commonRows() && size <= values*oneBlockValue {
		return 0
	}
	return p.MaxOut(values, size)
}

// joinPieces joins the results of all pieces in b.Dst[begin:]. If row is not 0, the pieces
// were written to b.Dst with row bytes per value, and stay there if every offset was right.
func (b *Batch) joinPieces(workers, pieces, piece, begin, row int) {
	n, q := len(b.Spans)/2, &b.work.pool
	end, moved := begin, false
	for i := range pieces {
		r := &q.pieces[i]
		moved = moved || row == 0 || r.base != end || len(r.dst) != min(piece, n-i*piece)*row
		end += len(r.dst)
	}
	if !moved {
		b.work.paths.piecesInPlace++
		b.Dst = b.Dst[:end]
		return
	}
	b.work.paths.piecesCopied++
	dst := b.Dst
	if row > 0 {
		// Some pieces are in Dst, but not all at the right offset.
		dst = append(make([]byte, 0, end), b.Dst[:begin]...)
	}
	dst = grow(dst[:begin], end-begin)[:end]
	starts := make([]int, pieces)
	for i := 1; i < pieces; i++ {
		starts[i] = starts[i-1] + len(q.pieces[i-1].dst)
	}
	parallel(workers, pieces, func(_, i int) {
		r := &q.pieces[i]
		at := begin + starts[i]
		copy(dst[at:], r.dst)
		shift(b.Out[2*i*piece:2*min(n, (i+1)*piece)], at-r.base)
	})
	b.Dst = dst
}

// Trim drops the buffers that the batch keeps between calls if they have more than most
// bytes. A caller that keeps batches and counts their memory calls it after a large one.
func (b *Batch) Trim(most int) {
	if b.work.size() > most {
		b.work = work{}
	}
}

// size returns about how many bytes w keeps.
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

// shift adds by to the offsets of off, len pairs.
func shift(out []uint32, by int) {
	if by == 0 {
		return
	}
	for i := 0; i < len(out); i += 2 {
		out[i] += uint32(by)
	}
}

// parallel calls f(worker, i) for all i below n in workers goroutines and waits for them.
// It passes a panic of f on. The calling goroutine does no part of the work: a goroutine
// that a running one starts waits for it for some time before an idle processor steals it,
// about 100 µs where this was measured, or some ten thousand values.
func parallel(workers, n int, f func(worker, i int)) {
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
