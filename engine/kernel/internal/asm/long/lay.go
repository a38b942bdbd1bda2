package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Offsets in the Go struct layArgs.
const (
	yIota   = 0   // 64: 0 to 15, times the stride: where 16 rows' texts begin, from dst
	yStep   = 64  // 64: 16 strides
	yChars  = 128 // 64: characters of a text
	yBlocks = 192 // 64: blocks, less 1
	yLimit  = 256 // 64: greatest end of a value
	yEven   = 320 // 64: 0, 2, 4, … 30
	yOdd    = 384 // 64: 1, 3, 5, … 31
	yLow    = 448 // 64: 0, 16, 1, 17, … 7, 23
	yHigh   = 512 // 64: 8, 24, … 15, 31
	ySpans  = 576
	yN      = 584 // values, a multiple of 16, at least 16
	yAt     = 592
	yOut    = 600
	yText   = 608 // address of the first text
	yStride = 616
	yGap    = 624 // up to 8 bytes between texts
	yLen    = 632 // characters of a text
)

// lay prints the kernel that lays out rows of values of one number of blocks.
func lay() {
	TEXT("layRowsAVX512", NOSPLIT, "func(a *byte) int")
	Pragma("noescape")
	Doc("layRowsAVX512 notes the places of rows and writes what stands between their texts, 16 at a time. It stops before 16 with one that takes other blocks or ends behind the limit, and returns how many it did.")
	args := Load(Param("a"), GP64())
	arg := func(off int) Mem { return Mem{Base: args, Disp: off} }
	spans, at, out, p := ptr(args, ySpans), ptr(args, yAt), ptr(args, yOut), ptr(args, yText)
	stride, gap := ptr(args, yStride), ptr(args, yGap)
	ADDQ(arg(yLen), p)
	done := GP64()
	XORQ(done, done)
	place := ZMM()
	VMOVDQU64(arg(yIota), place)
	Label("loop")
	a, b := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: spans}, a)
	VMOVDQU64(Mem{Base: spans, Disp: 64}, b)
	off, l, end := ZMM(), ZMM(), ZMM()
	VMOVDQU64(arg(yEven), off)
	VPERMI2D(b, a, off)
	VMOVDQU64(arg(yOdd), l)
	VPERMI2D(b, a, l)
	VPADDD(off, l, end)
	VPSRLD(Imm(4), l, l)
	k, k2 := K(), K()
	VPCMPUD(Imm(4), arg(yBlocks), l, k) // other blocks
	VPCMPUD(Imm(6), arg(yLimit), end, k2)
	KORW(k2, k, k)
	k2 = K()
	VPCMPUD(Imm(1), off, end, k2) // past 4 GiB
	KORTESTW(k2, k)
	JNE(LabelRef("ret"))
	VMOVDQU64(place, Mem{Base: at})
	lo, hi, c := ZMM(), ZMM(), ZMM()
	VMOVDQU64(arg(yChars), c)
	VMOVDQU64(arg(yLow), lo)
	VPERMI2D(c, place, lo)
	VMOVDQU64(lo, Mem{Base: out})
	VMOVDQU64(arg(yHigh), hi)
	VPERMI2D(c, place, hi)
	VMOVDQU64(hi, Mem{Base: out, Disp: 64})
	VPADDD(arg(yStep), place, place)
	for range 16 {
		// What is more than the gap stands in the next text, which is written later.
		MOVQ(gap, Mem{Base: p})
		ADDQ(stride, p)
	}
	ADDQ(U32(128), spans)
	ADDQ(Imm(64), at)
	ADDQ(U32(128), out)
	ADDQ(Imm(16), done)
	CMPQ(done, arg(yN))
	JL(LabelRef("loop"))
	Label("ret")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	RET()
}
