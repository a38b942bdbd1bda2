// Command copybetween generates the kernels that copy the text between values, in blocks
// of 64 bytes with AVX-512 and of 32 with AVX2. A block may reach past its gap; the next
// one overwrites those bytes.
//
//	go run ./copybetween -avx512 -out x_avx512_amd64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

var avx512 = flag.Bool("avx512", false, "blocks of 64 bytes instead of 32")

// longValue is copybetween.LongValue.
const longValue = 64

func main() {
	flag.Parse()
	name, block := "textAVX2", 32
	if *avx512 {
		name, block = "textAVX512", 64
	}
	ConstraintExpr("!purego")
	TEXT(name, NOSPLIT, "func(dst *byte, dstLen int, src *byte, srcCap int, spans, at *uint32, n int, outLen *[64]uint32, from, to int) (done, nextFrom, nextTo int)")
	dst, dstLen := Load(Param("dst"), GP64()), Load(Param("dstLen"), GP64())
	src, srcCap := Load(Param("src"), GP64()), Load(Param("srcCap"), GP64())
	spans, at := Load(Param("spans"), GP64()), Load(Param("at"), GP64())
	n, outLen := Load(Param("n"), GP64()), Load(Param("outLen"), GP64())
	from, to := Load(Param("from"), GP64()), Load(Param("to"), GP64())
	done := GP64()
	XORQ(done, done)
	Comment("A block that starts before the end of a gap ends less than a block behind it.")
	SUBQ(Imm(uint64(block)), dstLen)
	SUBQ(Imm(uint64(block)), srcCap)
	Label("value")
	CMPQ(done, n)
	JGE(LabelRef("end"))
	off, length, gapEnd := GP64(), GP64(), GP64()
	MOVL(Mem{Base: spans, Index: done, Scale: 8}, off.As32())
	MOVL(Mem{Base: spans, Disp: 4, Index: done, Scale: 8}, length.As32())
	CMPQ(length, Imm(longValue))
	JGE(LabelRef("end"))
	CMPQ(off, srcCap)
	JG(LabelRef("end"))
	MOVQ(off, gapEnd)
	SUBQ(from, gapEnd)
	JL(LabelRef("end"))
	ADDQ(to, gapEnd) // in dst
	CMPQ(gapEnd, dstLen)
	JG(LabelRef("end"))
	Label("copy")
	if *avx512 {
		z := ZMM()
		VMOVDQU64(Mem{Base: src, Index: from, Scale: 1}, z)
		VMOVDQU64(z, Mem{Base: dst, Index: to, Scale: 1})
	} else {
		y := YMM()
		VMOVDQU(Mem{Base: src, Index: from, Scale: 1}, y)
		VMOVDQU(y, Mem{Base: dst, Index: to, Scale: 1})
	}
	ADDQ(Imm(uint64(block)), from)
	ADDQ(Imm(uint64(block)), to)
	CMPQ(to, gapEnd)
	JL(LabelRef("copy"))
	MOVL(gapEnd.As32(), Mem{Base: at, Index: done, Scale: 4})
	MOVQ(off, from)
	ADDQ(length, from)
	MOVL(Mem{Base: outLen, Index: length, Scale: 4}, length.As32())
	MOVQ(gapEnd, to)
	ADDQ(length, to)
	INCQ(done)
	JMP(LabelRef("value"))
	Label("end")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	Store(from, ReturnIndex(1))
	Store(to, ReturnIndex(2))
	RET()
	Generate()
}
