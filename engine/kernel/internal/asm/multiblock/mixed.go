package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
	"github.com/velonym/velonym/engine/kernel/internal/asm/vaes"
)

// layMixedRows prints the kernel that lays out rows of values of any number of blocks.
// It is one function since what it prints is: registers live from end to end.
func layMixedRows() {
	TEXT("layMixedRowsAVX512", NOSPLIT, "func(a *byte) int")
	Pragma("noescape")
	Doc("layMixedRowsAVX512 notes the blocks of values and the places of their rows, whose texts have 32 characters a block, and writes what stands between the texts, 16 at a time. It stops before 16 with one that takes more than the most blocks or ends behind the limit, and returns how many it did.")
	args := Load(Param("a"), GP64())
	mixedArgs := layout.Of("hctr2", "mixedArgs")
	arg := func(name string) Mem { return Mem{Base: args, Disp: mixedArgs.At(name)} }
	spans, at, out, blocks, dst, gap := ptr(args, mixedArgs.At("spans")), ptr(args, mixedArgs.At("at")), ptr(args, mixedArgs.At("out")), ptr(args, mixedArgs.At("blocks")), ptr(args, mixedArgs.At("dst")), ptr(args, mixedArgs.At("gap"))
	done := GP64()
	XORQ(done, done)
	nought, place, gapLen, last := ZMM(), ZMM(), ZMM(), ZMM()
	vaes.Zero(nought)
	VMOVDQU64(arg("place"), place)
	VMOVDQU64(arg("gapLen"), gapLen)
	VMOVDQU64(arg("last"), last)
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
	// ⌊l/16⌋ + 1, and 0 for 0.
	m, k, k2 := ZMM(), K(), K()
	VPTESTMD(l, l, k)
	VPSRLD(Imm(4), l, m)
	VPADDD(arg("one"), m, k, m)
	k = K()
	VPCMPUD(Imm(6), arg("most"), m, k)
	VPCMPUD(Imm(6), arg("limit"), end, k2)
	KORW(k2, k, k)
	k2 = K()
	VPCMPUD(Imm(1), off, end, k2) // past 4 GiB
	KORTESTW(k2, k)
	JNE(LabelRef("ret"))
	VPMOVDB(m, Mem{Base: blocks})
	chars, row, sum := ZMM(), ZMM(), ZMM()
	VPSLLD(Imm(5), m, chars)
	VPADDD(gapLen, chars, row)
	// Prefix sums of the rows' lengths.
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
	VMOVDQU64(ends, arg("ends"))
	lo, hi := ZMM(), ZMM()
	VMOVDQU64(arg("low"), lo)
	VPERMI2D(chars, begin, lo)
	VMOVDQU64(lo, Mem{Base: out})
	VMOVDQU64(arg("high"), hi)
	VPERMI2D(chars, begin, hi)
	VMOVDQU64(hi, Mem{Base: out, Disp: 64})
	for i := range 16 {
		// Bytes past the gap fall in the next text, which is written later.
		var o reg.GPVirtual = GP64()
		MOVL(Mem{Base: args, Disp: mixedArgs.At("ends") + 4*i}, o.As32())
		MOVQ(gap, Mem{Base: dst, Index: o, Scale: 1})
	}
	ADDQ(U32(128), spans)
	ADDQ(Imm(64), at)
	ADDQ(U32(128), out)
	ADDQ(Imm(16), blocks)
	ADDQ(Imm(16), done)
	CMPQ(done, arg("n"))
	JL(LabelRef("loop"))
	Label("ret")
	VMOVDQU64(place, arg("place"))
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	RET()
}
