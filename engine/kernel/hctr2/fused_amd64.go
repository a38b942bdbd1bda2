//go:build !purego

package hctr2

import (
	"encoding/binary"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// fusedArgs is what the fused kernels read. Generators take the offsets from here.
type fusedArgs struct {
	schedule *[15][16]byte
	gather   *gatherTables
	pairs    *textform.PairTables
	base     *byte   // arena
	spans    *uint32 // off, len of each value
	n        int     // values; counted down
	dst      *byte
	out      *uint32    // rows: off, len of each result
	at       *uint32    // places: of each text
	buf      *[256]byte // 8 blocks that are gathered, 8 that are enciphered
	stride   int        // of a row
	place    uint64     // off, len of the first result
	step     uint64     // added for the next
	sep      uint64     // what stands between two texts
	limit    uint64     // greatest offset, greatest length - 1
	//lint:ignore U1000 only the assembly uses it
	done int // the kernel's own
	//lint:ignore U1000 only the assembly uses it
	flight int // the kernel's own: 1 if there is a group to write
}

// fusedValues is how many values the kernels that go the whole way take at least:
// fewer than some groups are done sooner in passes.
const fusedValues = 16

// sealFused is sealRows, or with places sealAt, of leading values, and returns how
// many it did: none when there are few, no room behind them, or another form. It leaves
// the length of dst to the caller.
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

// The following take leading values, 8 at a time, and return how many they did: they stop
// before 8 with one that is not 1 to 15 bytes of plain ASCII within the limit. They read n
// spans and 16 bytes from the start of each value. Rows are written with sep behind each
// text, 4 bytes of which may stand behind the last row; at places nothing but the texts is
// touched. No branch or address depends on keys or values but for the one that stops. They
// need AVX2, AES and AVX, and clobber YMM registers, whose upper halves they leave zero.

//go:noescape
func fusedRowsPairsAVX2(a *fusedArgs) int

//go:noescape
func fusedRowsHexAVX2(a *fusedArgs) int

//go:noescape
func fusedAtPairsAVX2(a *fusedArgs) int

//go:noescape
func fusedAtHexAVX2(a *fusedArgs) int
