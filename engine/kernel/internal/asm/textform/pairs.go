package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
	"github.com/velonym/velonym/engine/kernel/internal/asm/span4"
)

var tables = layout.Of("textform", "PairTables")

// pairs prints the kernels of AVX2; one register holds the text of one block.
func pairs() {
	encode("encodePairsAVX2", true)
	encode("encodeHexAVX2", false)
	decode()
}

// constant loads the table with the given name.
func constant(tab reg.Register, name string) reg.VecVirtual {
	y := YMM()
	VMOVDQU(Mem{Base: tab, Disp: tables.At(name)}, y)
	return y
}

func encode(name string, pairs bool) {
	TEXT(name, NOSPLIT, "func(dst *byte, blocks *byte, n int, tables *byte, stride int, preLen int, pre uint32, post uint32)")
	Pragma("noescape")
	Doc(name + " writes rows of 32 characters a block.")
	dst, blocks, n, tab := span4.Arg("dst"), span4.Arg("blocks"), span4.Arg("n"), span4.Arg("tables")
	stride, preLen := span4.Arg("stride"), span4.Arg("preLen")
	pre, post := Load(Param("pre"), GP32()), Load(Param("post"), GP32())
	var c [8]reg.VecVirtual
	if pairs {
		for i, name := range []string{"c1058", "c62", "mark", "c25", "c51", "ca", "m58", "m43"} {
			c[i] = constant(tab, name)
		}
	} else {
		c[0], c[1] = constant(tab, "nib"), constant(tab, "digit")
	}
	TESTQ(n, n)
	JEQ(LabelRef("ret"))
	Label("loop")
	w := YMM()
	VPMOVZXBW(Mem{Base: blocks}, w)
	v := YMM()
	if pairs {
		q, g, h := YMM(), YMM(), YMM()
		VPMULHUW(c[0], w, q)
		VPSLLW(Imm(8), w, v)
		VPMULLW(c[1], q, q)
		VPADDW(q, v, v)
		VPADDB(c[2], v, v)
		VPCMPGTB(c[3], v, g)
		VPCMPGTB(c[4], v, h)
		VPADDB(c[5], v, v)
		VPAND(c[6], g, g)
		VPAND(c[7], h, h)
		VPADDB(g, v, v)
		VPADDB(h, v, v)
	} else {
		VPSRLW(Imm(4), w, v)
		VPSLLW(Imm(8), w, w)
		VPAND(c[0], w, w)
		VPOR(w, v, v)
		VPSHUFB(v, c[1], v)
	}
	MOVL(pre, Mem{Base: dst})
	VMOVDQU(v, Mem{Base: dst, Index: preLen, Scale: 1})
	MOVL(post, Mem{Base: dst, Index: preLen, Scale: 1, Disp: 32})
	ADDQ(stride, dst)
	ADDQ(Imm(16), blocks)
	DECQ(n)
	JNE(LabelRef("loop"))
	Label("ret")
	VZEROUPPER()
	RET()
}

func decode() {
	TEXT("decodeAVX2", NOSPLIT, "func(blocks *byte, base *byte, spans *uint32, n int, limit uint64, tables *byte) int")
	Pragma("noescape")
	Doc("decodeAVX2 reads texts of 32 characters into blocks, four at a time.")
	blocks, base, spans, n, tab := span4.Arg("blocks"), span4.Arg("base"), span4.Arg("spans"), span4.Arg("n"), span4.Arg("tables")
	limits, c32 := span4.Limit(), span4.Pattern(32<<32)
	low, class, member, offset := constant(tab, "low"), constant(tab, "class"), constant(tab, "member"), constant(tab, "offset")
	mark, weight := constant(tab, "mark"), constant(tab, "weight")
	zero := YMM()
	VPXOR(zero, zero, zero)
	done := GP64()
	XORQ(done, done)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("ret"))
	span4.Fit(spans, c32, limits)
	JNE(LabelRef("ret"))
	bad := YMM()
	VPXOR(bad, bad, bad)
	for j := range 4 {
		o := GP64()
		x, hi, a, b := YMM(), YMM(), YMM(), YMM()
		MOVL(Mem{Base: spans, Disp: 8 * j}, o.As32())
		VMOVDQU(Mem{Base: base, Index: o, Scale: 1}, x)
		VPSRLW(Imm(4), x, hi)
		VPAND(low, hi, hi)
		VPSHUFB(hi, class, a)
		VPSHUFB(x, member, b)
		VPAND(a, b, b)
		VPCMPEQB(zero, b, b)
		VPOR(b, bad, bad)
		VPSHUFB(hi, offset, a)
		VPADDB(a, x, x)
		VPSUBB(mark, x, x)
		VPMADDUBSW(weight, x, x)
		VPSRLW(Imm(8), x, b)
		VPOR(b, bad, bad)
		VPACKUSWB(x, x, x)
		VPERMQ(Imm(0x08), x, x)
		VMOVDQU(x.AsX(), Mem{Base: blocks, Disp: 16 * j})
	}
	VPTEST(bad, bad)
	JNE(LabelRef("ret"))
	ADDQ(Imm(4), done)
	ADDQ(Imm(32), spans)
	ADDQ(Imm(64), blocks)
	JMP(LabelRef("loop"))
	Label("ret")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	RET()
}
