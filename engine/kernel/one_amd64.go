//go:build !purego

package kernel

import (
	"sync"
	"unsafe"

	"github.com/velonym/velonym/internal/simd"
)

// oneArgs is what the kernels of one-block values read; assembly knows the offsets.
type oneArgs struct {
	sched  unsafe.Pointer // 0
	enc    unsafe.Pointer // 8
	dec    unsafe.Pointer // 16
	base   unsafe.Pointer // 24
	spans  unsafe.Pointer // 32
	n      int            // 40: values; counted down
	dst    unsafe.Pointer // 48
	at     unsafe.Pointer // 56
	out    unsafe.Pointer // 64
	sched2 unsafe.Pointer // 72: secondary: of the target
	_      [48]byte
	limits [8]uint64 // 128: greatest offset, and greatest of length less the tables' least
	text   [64]byte  // 192: greatest byte of text less 0x20
	place  [8]uint32 // 256: off, len of the first four results
	step   [8]uint32 // 288: added for the next four
	stride int       // 320: of four rows
	sep    uint64    // 328: reverse: what stands between two values
	sepLen int       // 336
	wrote  int       // 344: reverse, result: bytes written
	from   uintptr   // 352: reverse: the address that results count from
}

func (a *oneArgs) set(arena []byte, spans []uint32, n int, over uint32, text byte) {
	a.base = unsafe.Pointer(unsafe.SliceData(arena))
	a.spans = unsafe.Pointer(unsafe.SliceData(spans))
	a.n = n
	for i := range a.text {
		a.text[i] = text
	}
	// The last offset from which a kernel may read its whole stride.
	last := uint64(0)
	if over == 14 {
		last = uint64(cap(arena) - 16)
	} else {
		last = uint64(cap(arena) - 32)
	}
	last = min(last, 1<<32-1)
	for i := range a.limits {
		a.limits[i] = uint64(over)<<32 | last
	}
}

func (a *oneArgs) rows(w *Writer, dst []byte, out []uint32) {
	a.enc = unsafe.Pointer(w.tab)
	a.dst = unsafe.Pointer(unsafe.SliceData(dst[len(dst):cap(dst)]))
	a.out = unsafe.Pointer(unsafe.SliceData(out))
	a.stride = 4 * w.stride
	for i := range 4 {
		a.place[2*i], a.place[2*i+1] = uint32(len(dst)+i*w.stride+len(w.pre)), uint32(w.chars)
		a.step[2*i] = uint32(4 * w.stride)
	}
}

func (c *Cipher) sealRows(w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if w.stride > w.chars+maxFraming || simd.Active() == simd.Generic {
		return c.sealRowsGeneric(w, dst, arena, spans, out)
	}
	if simd.Active() == simd.AVX2 {
		return c.sealRowsLanes(w, dst, arena, spans, out)
	}
	n, done := len(spans)/2, 0
	var a oneArgs
	for done < n {
		// Groups whose stores end within dst.
		fit := (cap(dst) - len(dst) - rowSlack) / w.stride
		if k := min(n-done, fit) &^ 15; k > 0 && cap(arena) >= 16 {
			a.set(arena, spans[2*done:], k, 14, asciiText)
			a.rows(w, dst, out[2*done:])
			a.sched = unsafe.Pointer(c.s)
			k = runRows(w, &a)
			ran(pathRowsWide)
			dst = dst[:len(dst)+k*w.stride]
			done += k
			if done == n {
				break
			}
		}
		var k int
		dst, k = c.sealGroup(w, dst, arena, spans[2*done:], out[2*done:])
		done += k
		if k < 16 {
			break
		}
	}
	return dst, done
}

func runRows(w *Writer, a *oneArgs) int {
	if w.form == B64u || w.form == B32 {
		return oneBitsAVX512((*byte)(unsafe.Pointer(a)))
	}
	return oneRowsAVX512((*byte)(unsafe.Pointer(a)))
}

// group is what a kernel's run of one group needs beside its arguments.
type group struct {
	staged
	out  [32]uint32
	rows [16*(36+maxFraming) + rowSlack]byte
}

var groups = sync.Pool{New: func() any { return new(group) }}

// run stages up to 16 leading values and writes their rows to g.rows.
func (g *group) run(c *Cipher, w *Writer, arena []byte, spans []uint32) {
	if g.stage(arena, spans); g.n == 0 {
		return
	}
	var a oneArgs
	a.set(g.arena[:], g.spans[:], 16, 14, anyText)
	a.rows(w, g.rows[:0], g.out[:])
	a.sched = unsafe.Pointer(c.s)
	runRows(w, &a)
}

func (g *group) put() {
	clear(g.arena[:])
	clear(g.rows[:])
	groups.Put(g)
}

// sealGroup is sealRows for up to 16 values that the kernel did not take where they
// are: the last ones, near the end of the arena or of dst, not ASCII.
func (c *Cipher) sealGroup(w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	g := groups.Get().(*group)
	defer g.put()
	g.run(c, w, arena, spans)
	ran(pathRowsGroup)
	for i := range g.n {
		out[2*i], out[2*i+1] = uint32(len(dst)+i*w.stride+len(w.pre)), uint32(w.chars)
	}
	return append(dst, g.rows[:g.n*w.stride]...), g.n
}

func (c *Cipher) sealGroupAt(w *Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	g := groups.Get().(*group)
	defer g.put()
	g.run(c, w, arena, spans)
	ran(pathAtGroup)
	for i := range g.n {
		copy(dst[at[i]:], g.rows[g.out[2*i]:][:w.chars])
	}
	return g.n
}

func (c *Cipher) sealAt(w *Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	switch simd.Active() {
	case simd.Generic:
		return c.sealAtGeneric(w, dst, at, arena, spans)
	case simd.AVX2:
		return c.sealAtLanes(w, dst, at, arena, spans)
	}
	n, done := len(spans)/2, 0
	var a oneArgs
	for done < n {
		if k := (n - done) &^ 15; k > 0 && cap(arena) >= 16 && (w.form == Pair62 || w.form == Hex) {
			a.set(arena, spans[2*done:], k, 14, asciiText)
			a.enc = unsafe.Pointer(w.tab)
			a.dst = unsafe.Pointer(unsafe.SliceData(dst))
			a.at = unsafe.Pointer(unsafe.SliceData(at[done:]))
			a.sched = unsafe.Pointer(c.s)
			done += oneAtAVX512((*byte)(unsafe.Pointer(&a)))
			ran(pathAtWide)
			if done == n {
				break
			}
		}
		k := c.sealGroupAt(w, dst, at[done:], arena, spans[2*done:])
		done += k
		if k < 16 {
			break
		}
	}
	return done
}

func (c *Cipher) openRows(r *Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic {
		return c.openRowsGeneric(r, pre, post, dst, arena, spans, out)
	}
	if simd.Active() == simd.AVX2 || r.form != Pair62 && r.form != Hex || len(pre)+len(post) > maxFraming {
		return c.openRowsLanes(r, pre, post, dst, arena, spans, out)
	}
	n, done := len(spans)/2, 0
	var a oneArgs
	for done < n {
		fit := (cap(dst) - len(dst) - rowSlack) / (15 + len(pre) + len(post))
		if k := min(n-done, fit) &^ 15; k > 0 && cap(arena) >= 32 {
			a.set(arena, spans[2*done:], k, 0, asciiText)
			dst = append(dst, pre...)
			k = c.runReverse(&a, r, pre, post, dst, out[2*done:])
			ran(pathOpenWide)
			dst = dst[:len(dst)+a.wrote-len(pre)]
			done += k
			if done == n {
				break
			}
		}
		// The last values, some near the end of the arena or of dst, or not good.
		var k int
		m := min(16, n-done)
		dst, k = c.openRowsLanes(r, pre, post, dst, arena, spans[2*done:2*(done+m)], out[2*done:])
		done += k
		if k < 16 {
			break
		}
	}
	return dst, done
}

// runReverse runs the kernel behind dst, which ends in pre.
func (c *Cipher) runReverse(a *oneArgs, r *Reader, pre, post string, dst []byte, out []uint32) int {
	a.sched = unsafe.Pointer(c.s)
	a.dec = unsafe.Pointer(r.tab)
	a.dst = unsafe.Pointer(unsafe.SliceData(dst[len(dst):cap(dst)]))
	a.out = unsafe.Pointer(unsafe.SliceData(out))
	a.from = uintptr(a.dst) - uintptr(len(dst))
	a.sep, a.sepLen = 0, len(pre)+len(post)
	for i := range post {
		a.sep |= uint64(post[i]) << (8 * i)
	}
	for i := range pre {
		a.sep |= uint64(pre[i]) << (8 * (i + len(post)))
	}
	return oneReverseAVX512((*byte)(unsafe.Pointer(a)))
}

func (c *Cipher) translateRows(r *Reader, to *Cipher, w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	pairs := (r.form == Pair62 || r.form == Hex) && (w.form == Pair62 || w.form == Hex || w.form == UUID)
	if simd.Active() == simd.Generic || w.stride > w.chars+maxFraming {
		return c.translateRowsGeneric(r, to, w, dst, arena, spans, out)
	}
	if simd.Active() == simd.AVX2 || !pairs {
		return c.translateRowsLanes(r, to, w, dst, arena, spans, out)
	}
	n, done := len(spans)/2, 0
	var a oneArgs
	for done < n {
		fit := (cap(dst) - len(dst) - rowSlack) / w.stride
		if k := min(n-done, fit) &^ 15; k > 0 && cap(arena) >= 32 {
			a.set(arena, spans[2*done:], k, 0, asciiText)
			a.rows(w, dst, out[2*done:])
			a.sched, a.sched2 = unsafe.Pointer(c.s), unsafe.Pointer(to.s)
			a.dec = unsafe.Pointer(r.tab)
			k = oneSecondaryAVX512((*byte)(unsafe.Pointer(&a)))
			ran(pathTranslateWide)
			dst = dst[:len(dst)+k*w.stride]
			done += k
			if done == n {
				break
			}
		}
		var k int
		m := min(16, n-done)
		dst, k = c.translateRowsLanes(r, to, w, dst, arena, spans[2*done:2*(done+m)], out[2*done:])
		done += k
		if k < 16 {
			break
		}
	}
	return dst, done
}

//go:noescape
func oneRowsAVX512(a *byte) int

//go:noescape
func oneBitsAVX512(a *byte) int

//go:noescape
func oneAtAVX512(a *byte) int

//go:noescape
func oneReverseAVX512(a *byte) int

//go:noescape
func oneSecondaryAVX512(a *byte) int
