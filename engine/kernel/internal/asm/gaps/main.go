// Command gaps generates the copying of the text between values, 64 bytes at a time
// with AVX-512 and 32 with AVX2: what is copied too much is written over by what
// comes after it.
//
//	go run ./gaps -wide -out ../../x_avx512_amd64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

var wide = flag.Bool("wide", false, "AVX-512")

func main() {
	flag.Parse()
	name, step := "gapsAVX2", 32
	if *wide {
		name, step = "gapsAVX512", 64
	}
	ConstraintExpr("!purego")
	TEXT(name, NOSPLIT, "func(dst *byte, room int, src *byte, size int, spans, at *uint32, n int, lens *uint32, from, to int) (done, nextFrom, nextTo int)")
	Pragma("noescape")
	Doc(name + " is Gaps for up to n values whose lengths are below GapLens, as long as every block of a gap lies within size bytes of src and room bytes of dst.")
	dst, room := Load(Param("dst"), GP64()), Load(Param("room"), GP64())
	src, size := Load(Param("src"), GP64()), Load(Param("size"), GP64())
	spans, at := Load(Param("spans"), GP64()), Load(Param("at"), GP64())
	n, lens := Load(Param("n"), GP64()), Load(Param("lens"), GP64())
	from, to := Load(Param("from"), GP64()), Load(Param("to"), GP64())
	done := GP64()
	XORQ(done, done)
	// A block that starts before the end of a gap ends less than a step behind it.
	SUBQ(Imm(uint64(step)), room)
	SUBQ(Imm(uint64(step)), size)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("end"))
	off, length, end := GP64(), GP64(), GP64()
	MOVL(Mem{Base: spans, Index: done, Scale: 8}, off.As32())
	MOVL(Mem{Base: spans, Disp: 4, Index: done, Scale: 8}, length.As32())
	CMPQ(length, Imm(64))
	JGE(LabelRef("end"))
	CMPQ(off, size)
	JG(LabelRef("end"))
	MOVQ(off, end)
	SUBQ(from, end)
	JL(LabelRef("end"))
	ADDQ(to, end) // of the gap in dst
	CMPQ(end, room)
	JG(LabelRef("end"))
	Label("copy")
	if *wide {
		z := ZMM()
		VMOVDQU64(Mem{Base: src, Index: from, Scale: 1}, z)
		VMOVDQU64(z, Mem{Base: dst, Index: to, Scale: 1})
	} else {
		y := YMM()
		VMOVDQU(Mem{Base: src, Index: from, Scale: 1}, y)
		VMOVDQU(y, Mem{Base: dst, Index: to, Scale: 1})
	}
	ADDQ(Imm(uint64(step)), from)
	ADDQ(Imm(uint64(step)), to)
	CMPQ(to, end)
	JL(LabelRef("copy"))
	MOVL(end.As32(), Mem{Base: at, Index: done, Scale: 4})
	MOVQ(off, from)
	ADDQ(length, from)
	MOVL(Mem{Base: lens, Index: length, Scale: 4}, length.As32())
	MOVQ(end, to)
	ADDQ(length, to)
	INCQ(done)
	JMP(LabelRef("loop"))
	Label("end")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	Store(from, ReturnIndex(1))
	Store(to, ReturnIndex(2))
	RET()
	Generate()
}
