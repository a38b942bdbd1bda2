//go:build !purego

package hctr2

import (
	"sync"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
)

// oneBlockArgs are the arguments of the kernels of one-block values. Generators read the offsets of
// its fields from this declaration.
type oneBlockArgs struct {
	schedule *schedule
	encode   *textform.EncodeTables
	decode   *textform.DecodeTables
	base     *byte   // arena
	spans    *uint32 // off, len of each value
	n        int     // values, a multiple of 16; counted down
	dst      *byte
	at       *uint32   // offsets of the texts, for oneBlockAtAVX512
	out      *uint32   // off, len of each result
	target   *schedule // translate: of the second key
	_        [48]byte
	limits   [8]uint64 // greatest offset, and greatest length minus the tables' least
	text     [64]byte  // greatest byte of text less 0x20
	place    [8]uint32 // off, len of the first four results
	step     [8]uint32 // the difference to those of the next four
	stride   int       // of four rows
	sep      uint64    // open: the text between two values
	sepLen   int
	wrote    int     // open, result: bytes written
	from     uintptr // open: the address from which offsets of results count
}

// The greatest byte that kernels accept, minus 0x20: that of printable ASCII, or with anyText any,
// since the caller checks the text.
const (
	asciiText = 0x5e
	anyText   = 0xff
)

func (a *oneBlockArgs) set(arena []byte, spans []uint32, n int, over uint32, text byte) {
	a.base = unsafe.SliceData(arena)
	a.spans = unsafe.SliceData(spans)
	a.n = n
	for i := range a.text {
		a.text[i] = text
	}
	// The last offset at which a kernel may read its whole stride.
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

func (a *oneBlockArgs) rows(w *textform.Writer, dst []byte, out []uint32) {
	a.encode = w.EncodeTables()
	a.dst = unsafe.SliceData(dst[len(dst):cap(dst)])
	a.out = unsafe.SliceData(out)
	a.stride = 4 * w.Stride()
	for i := range 4 {
		a.place[2*i], a.place[2*i+1] = uint32(len(dst)+i*w.Stride()+len(w.Pre())), uint32(w.Chars())
		a.step[2*i] = uint32(4 * w.Stride())
	}
}

func (c *Cipher) sealRows(w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if !w.Framed() || simd.Active() == simd.Generic {
		return c.sealRowsGeneric(w, dst, arena, spans, out)
	}
	if simd.Active() == simd.AVX2 {
		return c.sealRowsStaged(w, dst, arena, spans, out)
	}
	n, done := len(spans)/2, 0
	var a oneBlockArgs
	for done < n {
		// Groups whose stores end within dst.
		fit := (cap(dst) - len(dst) - textform.RowPadding) / w.Stride()
		if k := min(n-done, fit) &^ 15; k > 0 && cap(arena) >= 16 {
			a.set(arena, spans[2*done:], k, 14, asciiText)
			a.rows(w, dst, out[2*done:])
			a.schedule = c.s
			k = runRows(w, &a)
			paths.rows.Take()
			dst = dst[:len(dst)+k*w.Stride()]
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

func runRows(w *textform.Writer, a *oneBlockArgs) int {
	if w.Form() == textform.B64u || w.Form() == textform.B32 {
		return oneBlockBitsAVX512(a)
	}
	return oneBlockRowsAVX512(a)
}

// rowGroup is memory for a kernel that processes one group of copied values.
type rowGroup struct {
	copied
	out  [32]uint32
	rows [16*(36+textform.MaxFraming) + textform.RowPadding]byte
}

var rowGroups = sync.Pool{New: func() any { return new(rowGroup) }}

// run copies up to 16 leading values and writes their rows to g.rows.
func (g *rowGroup) run(c *Cipher, w *textform.Writer, arena []byte, spans []uint32) {
	if g.copyTexts(arena, spans); g.n == 0 {
		return
	}
	var a oneBlockArgs
	a.set(g.arena[:], g.spans[:], 16, 14, anyText)
	a.rows(w, g.rows[:0], g.out[:])
	a.schedule = c.s
	runRows(w, &a)
}

func (g *rowGroup) put() {
	clear(g.arena[:])
	clear(g.rows[:])
	rowGroups.Put(g)
}

// sealGroup is sealRows for up to 16 values that the kernel cannot read in place: the last ones,
// those near the end of the arena or of dst, or those that are not ASCII.
func (c *Cipher) sealGroup(w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	g := rowGroups.Get().(*rowGroup)
	defer g.put()
	g.run(c, w, arena, spans)
	paths.rowsGroup.Take()
	for i := range g.n {
		out[2*i], out[2*i+1] = uint32(len(dst)+i*w.Stride()+len(w.Pre())), uint32(w.Chars())
	}
	return append(dst, g.rows[:g.n*w.Stride()]...), g.n
}

func (c *Cipher) sealGroupAt(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	g := rowGroups.Get().(*rowGroup)
	defer g.put()
	g.run(c, w, arena, spans)
	paths.atGroup.Take()
	for i := range g.n {
		copy(dst[at[i]:], g.rows[g.out[2*i]:][:w.Chars()])
	}
	return g.n
}

func (c *Cipher) sealAt(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	switch simd.Active() {
	case simd.Generic:
		return c.sealAtGeneric(w, dst, at, arena, spans)
	case simd.AVX2:
		return c.sealAtStaged(w, dst, at, arena, spans)
	}
	n, done := len(spans)/2, 0
	var a oneBlockArgs
	for done < n {
		if k := (n - done) &^ 15; k > 0 && cap(arena) >= 16 && w.Form().Pairs() {
			a.set(arena, spans[2*done:], k, 14, asciiText)
			a.encode = w.EncodeTables()
			a.dst = unsafe.SliceData(dst)
			a.at = unsafe.SliceData(at[done:])
			a.schedule = c.s
			done += oneBlockAtAVX512(&a)
			paths.at.Take()
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

func (c *Cipher) openRows(r *textform.Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic {
		return c.openRowsGeneric(r, pre, post, dst, arena, spans, out)
	}
	if simd.Active() == simd.AVX2 || !r.Form().Pairs() || len(pre)+len(post) > textform.MaxFraming {
		return c.openRowsStaged(r, pre, post, dst, arena, spans, out)
	}
	n, done := len(spans)/2, 0
	var a oneBlockArgs
	for done < n {
		fit := (cap(dst) - len(dst) - textform.RowPadding) / (15 + len(pre) + len(post))
		if k := min(n-done, fit) &^ 15; k > 0 && cap(arena) >= 32 {
			a.set(arena, spans[2*done:], k, 0, asciiText)
			dst = append(dst, pre...)
			k = c.runOpen(&a, r, pre, post, dst, out[2*done:])
			paths.open.Take()
			dst = dst[:len(dst)+a.wrote-len(pre)]
			done += k
			if done == n {
				break
			}
		}
		// The last values, some near the end of the arena or of dst, or invalid ones.
		var k int
		m := min(16, n-done)
		dst, k = c.openRowsStaged(r, pre, post, dst, arena, spans[2*done:2*(done+m)], out[2*done:])
		done += k
		if k < 16 {
			break
		}
	}
	return dst, done
}

// runOpen runs the kernel, which writes past the length of dst. dst ends in pre.
func (c *Cipher) runOpen(a *oneBlockArgs, r *textform.Reader, pre, post string, dst []byte, out []uint32) int {
	a.schedule = c.s
	a.decode = r.DecodeTables()
	a.dst = unsafe.SliceData(dst[len(dst):cap(dst)])
	a.out = unsafe.SliceData(out)
	a.from = uintptr(unsafe.Pointer(a.dst)) - uintptr(len(dst))
	a.sep, a.sepLen = 0, len(pre)+len(post)
	for i := range post {
		a.sep |= uint64(post[i]) << (8 * i)
	}
	for i := range pre {
		a.sep |= uint64(pre[i]) << (8 * (i + len(post)))
	}
	return oneBlockOpenAVX512(a)
}

func (c *Cipher) translateRows(r *textform.Reader, to *Cipher, w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	pairs := r.Form().Pairs() && (w.Form().Pairs() || w.Form() == textform.UUID)
	if simd.Active() == simd.Generic || !w.Framed() {
		return c.translateRowsGeneric(r, to, w, dst, arena, spans, out)
	}
	if simd.Active() == simd.AVX2 || !pairs {
		return c.translateRowsStaged(r, to, w, dst, arena, spans, out)
	}
	n, done := len(spans)/2, 0
	var a oneBlockArgs
	for done < n {
		fit := (cap(dst) - len(dst) - textform.RowPadding) / w.Stride()
		if k := min(n-done, fit) &^ 15; k > 0 && cap(arena) >= 32 {
			a.set(arena, spans[2*done:], k, 0, asciiText)
			a.rows(w, dst, out[2*done:])
			a.schedule, a.target = c.s, to.s
			a.decode = r.DecodeTables()
			k = oneBlockTranslateAVX512(&a)
			paths.translate.Take()
			dst = dst[:len(dst)+k*w.Stride()]
			done += k
			if done == n {
				break
			}
		}
		var k int
		m := min(16, n-done)
		dst, k = c.translateRowsStaged(r, to, w, dst, arena, spans[2*done:2*(done+m)], out[2*done:])
		done += k
		if k < 16 {
			break
		}
	}
	return dst, done
}

// The following kernels process values 16 at a time and return how many; they stop before 16 with
// a value that they do not support. They read the tables and arguments in their block, n spans,
// and the 16 bytes (texts: 32) at the start of each value and of one group after the last that
// they process. They count n down, and write out, dst, and up to RowPadding bytes after the last
// row. Results, arguments and values must not overlap. The only branch on values is whether the
// kernel supports them; no other branch and no address depends on keys or values. They need
// AVX-512 F, BW, DQ, VBMI and VAES and clobber ZMM and mask registers; the upper halves are zero
// at the end.

// oneBlockRowsAVX512 writes rows of values of 1 to 15 bytes of text in a form of pairs.
//
//go:noescape
func oneBlockRowsAVX512(a *oneBlockArgs) int

// oneBlockBitsAVX512 is oneBlockRowsAVX512 for forms of 5 and 6 bits a character.
//
//go:noescape
func oneBlockBitsAVX512(a *oneBlockArgs) int

// oneBlockAtAVX512 writes the 32 characters of each value at its offset and nothing else.
//
//go:noescape
func oneBlockAtAVX512(a *oneBlockArgs) int

// oneBlockOpenAVX512 writes the values of texts of 32 characters in a form of pairs, with sep
// after each, and sets wrote to the number of bytes. It writes 16 bytes at every value.
//
//go:noescape
func oneBlockOpenAVX512(a *oneBlockArgs) int

// oneBlockTranslateAVX512 turns texts of 32 characters under one key into rows under another. The
// values are only in registers. It does not support empty values.
//
//go:noescape
func oneBlockTranslateAVX512(a *oneBlockArgs) int
