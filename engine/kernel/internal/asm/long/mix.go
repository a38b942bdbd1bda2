package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/wide"
)

// Offsets in the Go struct mixArgs.
const (
	xEven   = 0   // 64: 0, 2, 4, … 30
	xOdd    = 64  // 64: 1, 3, 5, … 31
	xLow    = 128 // 64: 0, 16, 1, 17, … 7, 23
	xHigh   = 192 // 64: 8, 24, … 15, 31
	xOne    = 256 // 64: 1
	xMost   = 320 // 64: greatest number of blocks
	xLast   = 384 // 64: 15
	xLimit  = 448 // 64: greatest end of a value
	xGapLen = 512 // 64: bytes between texts
	xPlace  = 576 // 64: where the next text begins, from dst; moved on
	xEnds   = 640 // 64: the kernel's own
	xSpans  = 704
	xN      = 712 // values, a multiple of 16, at least 16
	xAt     = 720
	xOut    = 728
	xBlocks = 736 // a byte a value
	xDst    = 744
	xGap    = 752 // up to 8 bytes between texts
)

// mix prints the kernel that lays out rows of values of any number of blocks.
func mix() {
	TEXT("mixRowsAVX512", NOSPLIT, "func(a *byte) int")
	Pragma("noescape")
	Doc("mixRowsAVX512 notes the blocks of values and the places of their rows, whose texts have 32 characters a block, and writes what stands between the texts, 16 at a time. It stops before 16 with one that takes more than the most blocks or ends behind the limit, and returns how many it did.")
	args := Load(Param("a"), GP64())
	arg := func(off int) Mem { return Mem{Base: args, Disp: off} }
	spans, at, out, blocks, dst, gap := ptr(args, xSpans), ptr(args, xAt), ptr(args, xOut), ptr(args, xBlocks), ptr(args, xDst), ptr(args, xGap)
	done := GP64()
	XORQ(done, done)
	nought, place, gapLen, last := ZMM(), ZMM(), ZMM(), ZMM()
	wide.Zero(nought)
	VMOVDQU64(arg(xPlace), place)
	VMOVDQU64(arg(xGapLen), gapLen)
	VMOVDQU64(arg(xLast), last)
	Label("loop")
	a, b := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: spans}, a)
	VMOVDQU64(Mem{Base: spans, Disp: 64}, b)
	off, l, end := ZMM(), ZMM(), ZMM()
	VMOVDQU64(arg(xEven), off)
	VPERMI2D(b, a, off)
	VMOVDQU64(arg(xOdd), l)
	VPERMI2D(b, a, l)
	VPADDD(off, l, end)
	// ⌊l/16⌋ + 1, and 0 for 0.
	m, k, k2 := ZMM(), K(), K()
	VPTESTMD(l, l, k)
	VPSRLD(Imm(4), l, m)
	VPADDD(arg(xOne), m, k, m)
	k = K()
	VPCMPUD(Imm(6), arg(xMost), m, k)
	VPCMPUD(Imm(6), arg(xLimit), end, k2)
	KORW(k2, k, k)
	k2 = K()
	VPCMPUD(Imm(1), off, end, k2) // past 4 GiB
	KORTESTW(k2, k)
	JNE(LabelRef("ret"))
	VPMOVDB(m, Mem{Base: blocks})
	chars, row, sum := ZMM(), ZMM(), ZMM()
	VPSLLD(Imm(5), m, chars)
	VPADDD(gapLen, chars, row)
	// Sums of the rows up to each.
	VMOVDQA64(row, sum)
	for _, n := range []int{1, 2, 4, 8} {
		t := ZMM()
		VALIGND(Imm(uint64(16-n)), nought, sum, t)
		VPADDD(t, sum, sum)
	}
	VPADDD(place, sum, sum)
	VPERMD(sum, last, place)
	begin := ZMM()
	VPSUBD(row, sum, begin)
	VMOVDQU64(begin, Mem{Base: at})
	ends := ZMM()
	VPSUBD(gapLen, sum, ends)
	VMOVDQU64(ends, arg(xEnds))
	lo, hi := ZMM(), ZMM()
	VMOVDQU64(arg(xLow), lo)
	VPERMI2D(chars, begin, lo)
	VMOVDQU64(lo, Mem{Base: out})
	VMOVDQU64(arg(xHigh), hi)
	VPERMI2D(chars, begin, hi)
	VMOVDQU64(hi, Mem{Base: out, Disp: 64})
	for i := range 16 {
		// What is more than the gap stands in the next text, which is written later.
		var o reg.GPVirtual = GP64()
		MOVL(arg(xEnds+4*i), o.As32())
		MOVQ(gap, Mem{Base: dst, Index: o, Scale: 1})
	}
	ADDQ(U32(128), spans)
	ADDQ(Imm(64), at)
	ADDQ(U32(128), out)
	ADDQ(Imm(16), blocks)
	ADDQ(Imm(16), done)
	CMPQ(done, arg(xN))
	JL(LabelRef("loop"))
	Label("ret")
	VMOVDQU64(place, arg(xPlace))
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	RET()
}
