package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
)

// layRows prints the kernel that lays out rows of values of one number of blocks.
func layRows() {
	TEXT("layRowsAVX512", NOSPLIT, "func(a *byte) int")
	Pragma("noescape")
	Doc("layRowsAVX512 notes the places of rows and writes what stands between their texts, 16 at a time. It stops before 16 with one that takes other blocks or ends behind the limit, and returns how many it did.")
	args := Load(Param("a"), GP64())
	rowsArgs := layout.Of("hctr2", "rowsArgs")
	arg := func(name string) Mem { return Mem{Base: args, Disp: rowsArgs.At(name)} }
	spans, at, out, p := ptr(args, rowsArgs.At("spans")), ptr(args, rowsArgs.At("at")), ptr(args, rowsArgs.At("out")), ptr(args, rowsArgs.At("text"))
	stride, gap := ptr(args, rowsArgs.At("stride")), ptr(args, rowsArgs.At("gap"))
	ADDQ(arg("len"), p)
	done := GP64()
	XORQ(done, done)
	place := ZMM()
	VMOVDQU64(arg("place"), place)
	Label("loop")
	a, b := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: spans}, a)
	VMOVDQU64(Mem{Base: spans, Disp: 64}, b)
	off, l, end := ZMM(), ZMM(), ZMM()
	VMOVDQU64(arg("even"), off)
	VPERMI2D(b, a, off)
	VMOVDQU64(arg("odd"), l)
	VPERMI2D(b, a, l)
	VPADDD(off, l, end)
	VPSRLD(Imm(4), l, l)
	k, k2 := K(), K()
	VPCMPUD(Imm(4), arg("blocks"), l, k) // values with another number of blocks
	VPCMPUD(Imm(6), arg("limit"), end, k2)
	KORW(k2, k, k)
	k2 = K()
	VPCMPUD(Imm(1), off, end, k2) // past 4 GiB
	KORTESTW(k2, k)
	JNE(LabelRef("ret"))
	VMOVDQU64(place, Mem{Base: at})
	lo, hi, c := ZMM(), ZMM(), ZMM()
	VMOVDQU64(arg("chars"), c)
	VMOVDQU64(arg("low"), lo)
	VPERMI2D(c, place, lo)
	VMOVDQU64(lo, Mem{Base: out})
	VMOVDQU64(arg("high"), hi)
	VPERMI2D(c, place, hi)
	VMOVDQU64(hi, Mem{Base: out, Disp: 64})
	VPADDD(arg("step"), place, place)
	for range 16 {
		// Bytes past the gap fall in the next text, which is written later.
		MOVQ(gap, Mem{Base: p})
		ADDQ(stride, p)
	}
	ADDQ(U32(128), spans)
	ADDQ(Imm(64), at)
	ADDQ(U32(128), out)
	ADDQ(Imm(16), done)
	CMPQ(done, arg("n"))
	JL(LabelRef("loop"))
	Label("ret")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	RET()
}
