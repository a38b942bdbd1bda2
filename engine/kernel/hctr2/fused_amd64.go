//go:build !purego

package hctr2

import (
	"encoding/binary"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// fusedArgs are the arguments of the fused kernels. Generators read the offsets of its fields from
// this declaration.
type fusedArgs struct {
	schedule *[15][16]byte
	gather   *gatherTables
	pairs    *textform.PairTables
	base     *byte   // arena
	spans    *uint32 // off, len of each value
	n        int     // values; counted down
	dst      *byte
	out      *uint32    // rows: off, len of each result
	at       *uint32    // offset of each text
	buf      *[256]byte // 8 blocks that are gathered, 8 that are enciphered
	stride   int        // of a row
	place    uint64     // off, len of the first result
	step     uint64     // the difference to that of the next
	sep      uint64     // the text between two texts
	limit    uint64     // greatest offset, greatest length - 1
	//lint:ignore U1000 only the assembly uses it
	done int // the kernel's own
	//lint:ignore U1000 only the assembly uses it
	flight int // the kernel's own: 1 if there is a group to write
}

// fusedValues is the least number of values for the fused kernels: fewer are faster in passes.
const fusedValues = 16

// sealFused is sealRows, or with at sealAt, of a prefix of the values, and returns its length: 0
// for few values, for values at the end of the arena and for other forms than pairs. The caller
// sets the length of dst.
func (c *Cipher) sealFused(t *stagedScratch, w *textform.Writer, dst []byte, at []uint32, arena []byte, spans, out []uint32) int {
	n := len(spans) / 2
	if at == nil {
		n = min(n, (cap(dst)-len(dst)-textform.RowPadding)/w.Stride())
	}
	if n &^= 7; n < fusedValues || cap(arena) < 16 || !w.Form().Pairs() {
		return 0
	}
	a := fusedArgs{
		schedule: &c.s.folded, gather: &gatherTable, pairs: w.PairTables(),
		base: unsafe.SliceData(arena), spans: &spans[0], n: n,
		buf: (*[256]byte)(t.blocks[:]), limit: 14<<32 | min(uint64(cap(arena)-16), 1<<32-1),
	}
	if at != nil {
		a.dst, a.at = unsafe.SliceData(dst), &at[0]
		if w.Form() == textform.Hex {
			return fusedAtHexAVX2(&a)
		}
		return fusedAtPairsAVX2(&a)
	}
	rows := append(dst, w.Pre()...)
	a.dst, a.out = unsafe.SliceData(rows[len(rows):cap(rows)]), &out[0]
	a.stride, a.step = w.Stride(), uint64(w.Stride())
	a.place = uint64(len(rows)) | uint64(w.Chars())<<32
	var sep [8]byte
	copy(sep[copy(sep[:], w.Post()):], w.Pre())
	a.sep = binary.LittleEndian.Uint64(sep[:])
	if w.Form() == textform.Hex {
		return fusedRowsHexAVX2(&a)
	}
	return fusedRowsPairsAVX2(&a)
}

// The following kernels process values 8 at a time and return how many; they stop before 8 with a
// value that is not 1 to 15 bytes of printable ASCII within the limit. They read n spans and 16
// bytes from the start of each value. The kernels of rows write sep after each text, 4 bytes of
// which may lie after the last row; the others write only the texts. No branch or address depends
// on keys or values except the one that stops. They need AVX2, AES and AVX, and clobber YMM
// registers, whose upper halves they leave zero.

//go:noescape
func fusedRowsPairsAVX2(a *fusedArgs) int

//go:noescape
func fusedRowsHexAVX2(a *fusedArgs) int

//go:noescape
func fusedAtPairsAVX2(a *fusedArgs) int

//go:noescape
func fusedAtHexAVX2(a *fusedArgs) int
