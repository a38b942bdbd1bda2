package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in laneText: see one_lanes.go.
const (
	lMark   = 0
	lDigit  = 32
	l1058   = 64
	l62     = 96
	l25     = 128
	l51     = 160
	lA      = 192
	lM58    = 224
	lM43    = 256
	lLow    = 288
	lClass  = 320
	lMember = 352
	lOffset = 384
	lWeight = 416
	lNib    = 448
	lShift  = 752
	lOne    = 784
)

func amd64() {
	ConstraintExpr("!purego")
	gather()
	encode("encodePairsAVX2", true)
	encode("encodeHexAVX2", false)
	decode()
	polyval()
	Generate()
}

func load(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// spansFit leaves ZF=1 when the four spans at sp fit: limits holds the greatest offset
// and the greatest length - 1, less what one holds.
func spansFit(sp reg.Register, one, limits reg.VecVirtual) {
	a, t := YMM(), GP32()
	VMOVDQU(Mem{Base: sp}, a)
	VPSUBD(one, a, a)
	VPMAXUD(limits, a, a)
	VPCMPEQD(limits, a, a)
	VPMOVMSKB(a, t)
	CMPL(t, I32(-1))
}

// pattern is 8 bytes, four times.
func pattern(v uint64) reg.VecVirtual {
	t, x, y := GP64(), XMM(), YMM()
	MOVQ(U64(v), t)
	VMOVQ(t, x)
	VPBROADCASTQ(x, y)
	return y
}

func limit() reg.VecVirtual {
	t, x, y := load("limit"), XMM(), YMM()
	VMOVQ(t, x)
	VPBROADCASTQ(x, y)
	return y
}

func gather() {
	TEXT("gatherAVX2", NOSPLIT, "func(blocks *byte, base *byte, spans *uint32, n int, limit uint64, tables *byte, text *byte) int")
	Pragma("noescape")
	Doc("gatherAVX2 pads values into blocks, four at a time.")
	blocks, base, spans, n, tab := load("blocks"), load("base"), load("spans"), load("n"), load("tables")
	limits, one := limit(), pattern(1<<32)
	c20, text := XMM(), XMM()
	VMOVDQU(Mem{Base: tab, Disp: 768}, c20)
	VMOVDQU(Mem{Base: load("text")}, text)
	done := GP64()
	XORQ(done, done)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("ret"))
	spansFit(spans, one, limits)
	JNE(LabelRef("ret"))
	acc := XMM()
	VPXOR(acc, acc, acc)
	for j := range 4 {
		o, l, x, t := GP64(), GP64(), XMM(), XMM()
		MOVL(Mem{Base: spans, Disp: 8 * j}, o.As32())
		MOVL(Mem{Base: spans, Disp: 8*j + 4}, l.As32())
		SHLQ(Imm(4), l)
		VMOVDQU(Mem{Base: base, Index: o, Scale: 1}, x)
		VPAND(Mem{Base: tab, Index: l, Scale: 1}, x, x)
		VPOR(Mem{Base: tab, Index: l, Scale: 1, Disp: 256}, x, x)
		VPSUBB(c20, x, t)
		VPMAXUB(t, acc, acc)
		VPXOR(Mem{Base: tab, Index: l, Scale: 1, Disp: 512}, x, x)
		VMOVDQU(x, Mem{Base: blocks, Disp: 16 * j})
	}
	VPMAXUB(text, acc, acc)
	VPCMPEQB(text, acc, acc)
	m := GP32()
	VPMOVMSKB(acc, m)
	CMPL(m, U32(0xffff))
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

func constant(tab reg.Register, off int) reg.VecVirtual {
	y := YMM()
	VMOVDQU(Mem{Base: tab, Disp: off}, y)
	return y
}

func encode(name string, pairs bool) {
	TEXT(name, NOSPLIT, "func(dst *byte, blocks *byte, n int, text *byte, stride int, preLen int, pre uint32, post uint32)")
	Pragma("noescape")
	Doc(name + " writes rows of 32 characters a block.")
	dst, blocks, n, tab := load("dst"), load("blocks"), load("n"), load("text")
	stride, preLen := load("stride"), load("preLen")
	pre, post := Load(Param("pre"), GP32()), Load(Param("post"), GP32())
	var c [8]reg.VecVirtual
	if pairs {
		for i, off := range []int{l1058, l62, lMark, l25, l51, lA, lM58, lM43} {
			c[i] = constant(tab, off)
		}
	} else {
		c[0], c[1] = constant(tab, lNib), constant(tab, lDigit)
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
	TEXT("decodeAVX2", NOSPLIT, "func(blocks *byte, base *byte, spans *uint32, n int, limit uint64, text *byte) int")
	Pragma("noescape")
	Doc("decodeAVX2 reads texts of 32 characters into blocks, four at a time.")
	blocks, base, spans, n, tab := load("blocks"), load("base"), load("spans"), load("n"), load("text")
	limits, c32 := limit(), pattern(32<<32)
	low, class, member, offset := constant(tab, lLow), constant(tab, lClass), constant(tab, lMember), constant(tab, lOffset)
	mark, weight := constant(tab, lMark), constant(tab, lWeight)
	zero := YMM()
	VPXOR(zero, zero, zero)
	done := GP64()
	XORQ(done, done)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("ret"))
	spansFit(spans, c32, limits)
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
