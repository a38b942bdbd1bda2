package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
)

// The check of UTF-8 text is that of J. Keiser, D. Lemire, "Validating UTF-8 in less than
// one instruction per byte", Software: Practice and Experience 51 (2021), every lane of 16
// bytes a text of its own, and control characters refused besides.

// Faults of two bytes in a row, one bit each.
const (
	tooShort     = 1 << iota // a first byte, and no continuation after it
	tooLong                  // a continuation after ASCII
	overlong3                // E0, below A0
	tooLarge                 // F4, 90 or more; F5 or more
	surrogate                // ED, A0 or more
	overlong2                // C0, C1
	tooLarge1000             // F5 or more, 80 to 8F; also F0, below 90
	twoConts                 // two continuations: valid in longer sequences only
	overlong4    = tooLarge1000
	carry        = tooShort | tooLong | twoConts
)

var (
	firstHigh = [16]byte{tooLong, tooLong, tooLong, tooLong, tooLong, tooLong, tooLong, tooLong,
		twoConts, twoConts, twoConts, twoConts,
		tooShort | overlong2, tooShort, tooShort | overlong3 | surrogate, tooShort | tooLarge | tooLarge1000 | overlong4}
	firstLow = [16]byte{carry | overlong3 | overlong2 | overlong4, carry | overlong2, carry, carry, carry | tooLarge,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000 | surrogate,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000}
	secondHigh = [16]byte{tooShort, tooShort, tooShort, tooShort, tooShort, tooShort, tooShort, tooShort,
		tooLong | overlong2 | twoConts | overlong3 | tooLarge1000 | overlong4,
		tooLong | overlong2 | twoConts | overlong3 | tooLarge,
		tooLong | overlong2 | twoConts | surrogate | tooLarge,
		tooLong | overlong2 | twoConts | surrogate | tooLarge,
		tooShort, tooShort, tooShort, tooShort}
)

func table(name string, t [16]byte) reg.VecVirtual {
	g := GLOBL(name, RODATA|NOPTR)
	for i, v := range t {
		DATA(i, U8(v))
	}
	z := ZMM()
	VBROADCASTI32X4(g, z)
	return z
}

func all(v byte) reg.VecVirtual {
	t, z := GP32(), ZMM()
	MOVL(U32(v), t)
	VPBROADCASTB(t, z)
	return z
}

// textBlocks prints the check.
func textBlocks() {
	TEXT("textBlocksAVX512", NOSPLIT, "func(blocks *byte, n int) uint64")
	Pragma("noescape")
	Doc("textBlocksAVX512 returns a bit for every one of n blocks of 16 bytes, n a multiple of 4 and at most 64, that is not text by itself. Blocks end in a byte below 0x80.")
	blocks, n := Load(Param("blocks"), GP64()), Load(Param("n"), GP64())
	t1, t2, t3 := table("firstHigh", firstHigh), table("firstLow", firstLow), table("secondHigh", secondHigh)
	low, c60, c70, c80, c20, del, c2, a0 := all(0x0f), all(0xe0-0x80), all(0xf0-0x80), all(0x80), all(0x20), all(0x7f), all(0xc2), all(0xa0)
	zero := ZMM()
	VPXORQ(zero, zero, zero)
	bad, at := GP64(), GP64()
	XORQ(bad, bad)
	XORQ(at, at)
	Label("loop")
	v, p1, p2, p3 := ZMM(), ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: blocks}, v)
	VPALIGNR(Imm(15), zero, v, p1) // the byte before each
	VPALIGNR(Imm(14), zero, v, p2)
	VPALIGNR(Imm(13), zero, v, p3)
	a, b, c := ZMM(), ZMM(), ZMM()
	VPSRLW(Imm(4), p1, a)
	VPANDQ(low, a, a)
	VPSHUFB(a, t1, a)
	VPANDQ(low, p1, b)
	VPSHUFB(b, t2, b)
	VPSRLW(Imm(4), v, c)
	VPANDQ(low, c, c)
	VPSHUFB(c, t3, c)
	VPTERNLOGQ(Imm(0x80), a, b, c) // all three
	VPSUBUSB(c60, p2, p2)
	VPSUBUSB(c70, p3, p3)
	VPORQ(p3, p2, p2)
	VPANDQ(c80, p2, p2)
	VPXORQ(p2, c, c)
	k, t := K(), K()
	VPTESTMB(c, c, k)
	VPCMPUB(Imm(1), c20, v, t) // control characters
	KORQ(t, k, k)
	t = K()
	VPCMPEQB(del, v, t)
	KORQ(t, k, k)
	t = K()
	VPCMPEQB(c2, p1, t)
	t2k := K()
	VPCMPUB(Imm(1), a0, v, t, t2k)
	KORQ(t2k, k, k)
	// One bit for each lane.
	m := ZMM()
	VPMOVM2B(k, m)
	d := K()
	VPTESTMQ(m, m, d)
	r, hi := GP64(), GP64()
	KMOVB(d, r.As32())
	MOVQ(r, hi)
	SHRQ(Imm(1), hi)
	ORQ(hi, r)
	// Move bits 0, 2, 4, 6 to bits 0 to 3.
	sel := GP64()
	MOVQ(U32(0x55), sel)
	PEXTQ(sel, r, r)
	SHLXQ(at, r, r)
	ORQ(r, bad)
	ADDQ(Imm(64), blocks)
	ADDQ(Imm(4), at)
	CMPQ(at, n)
	JL(LabelRef("loop"))
	VZEROUPPER()
	Store(bad, ReturnIndex(0))
	RET()
}

// decodeText prints the kernel that reads a long text, 32 characters per step.
func decodeText() {
	tables := layout.Of("textform", "DecodeTables")
	dDigit, dMark, dWeight, dHigh := tables.At("digit"), tables.At("mark"), tables.At("weight"), tables.At("high")
	TEXT("decodeTextAVX512", NOSPLIT, "func(dst *byte, src *byte, n int, tables *byte) int")
	Pragma("noescape")
	Doc("decodeTextAVX512 reads n times 32 pair-coded characters, the first with the mark of the tables, and returns other than 0 if one was bad.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n, tab := Load(Param("n"), GP64()), Load(Param("tables"), GP64())
	l0, l1, mark, weight := ZMM(), ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: tab, Disp: dDigit}, l0)
	VMOVDQU64(Mem{Base: tab, Disp: dDigit + 64}, l1)
	VMOVDQU64(Mem{Base: tab, Disp: dMark}, mark)
	VMOVDQU64(Mem{Base: tab, Disp: dWeight}, weight)
	bad, big := ZMM(), ZMM()
	VPXORQ(bad, bad, bad)
	VPXORQ(big, big, big)
	Label("decode")
	a, v := ZMM(), ZMM()
	VBROADCASTI64X4(Mem{Base: src}, a)
	VMOVDQA64(a, v)
	VPERMI2B(l1, l0, v)
	VPTERNLOGQ(Imm(0xfe), a, v, bad)
	VPSUBB(mark, v, v)
	VPXORQ(mark, mark, mark)
	VPMADDUBSW(weight, v, v)
	VPORQ(v, big, big)
	VPMOVWB(v.AsY(), Mem{Base: dst})
	ADDQ(Imm(32), src)
	ADDQ(Imm(16), dst)
	DECQ(n)
	JNE(LabelRef("decode"))
	k, m := K(), K()
	VPMOVB2M(bad, k)
	VPTESTMW(Mem{Base: tab, Disp: dHigh}, big, m)
	KORQ(m, k, k)
	r := GP64()
	KMOVQ(k, r)
	VZEROUPPER()
	Store(r, ReturnIndex(0))
	RET()
}
