package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
)

var (
	fusedArgs  = layout.Of("hctr2", "fusedArgs")
	pairTables = layout.Of("textform", "PairTables")
)

// fused prints the forward kernels. Between the AES rounds of one group of eight values,
// the next group is gathered and the previous one written.
func fused() {
	for _, at := range []bool{false, true} {
		for _, pairs := range []bool{true, false} {
			seal(at, pairs)
		}
	}
}

// seal prints one forward kernel. It is one function since what it prints is: registers live
// from end to end.
func seal(scattered, pairs bool) {
	name, doc := "fusedRows", "rows of"
	if scattered {
		name, doc = "fusedAt", "at places"
	}
	if pairs {
		name += "PairsAVX2"
	} else {
		name += "HexAVX2"
	}
	TEXT(name, NOSPLIT, "func(a *byte) int")
	Pragma("noescape")
	Doc(name + " enciphers values and writes them in " + doc + " 32 characters, 8 at a time, and returns how many it did: it stops before a group with a value that is not its own to do.")
	args := Load(Param("a"), GP64()).(reg.GPVirtual)
	arg := func(name string) Mem { return Mem{Base: args, Disp: fusedArgs.At(name)} }
	ptr := func(name string) reg.GPVirtual {
		r := GP64()
		MOVQ(arg(name), r)
		return r
	}
	base, cur, tab, text, keys, buf := ptr("base"), ptr("spans"), ptr("gather"), ptr("pairs"), ptr("schedule"), ptr("buf")
	dst, res, place, sep := GP64(), GP64(), GP64(), GP64()
	begin := func() {
		MOVQ(arg("dst"), dst)
		if scattered {
			MOVQ(arg("at"), res)
			return
		}
		MOVQ(arg("out"), res)
		MOVQ(arg("place"), place)
	}
	begin()
	MOVL(arg("sep"), sep.As32())
	key := func(r int) reg.VecVirtual {
		k := XMM()
		VMOVDQU(Mem{Base: keys, Disp: 16 * r}, k)
		return k
	}
	acc := XMM()
	gather := func(i int) {
		o, l, x, t := GP64(), GP64(), XMM(), XMM()
		MOVL(Mem{Base: cur, Disp: 8 * i}, o.As32())
		MOVL(Mem{Base: cur, Disp: 8*i + 4}, l.As32())
		SHLQ(Imm(4), l)
		row := func(at int) Mem { return Mem{Base: tab, Index: l, Scale: 1, Disp: at} }
		VMOVDQU(Mem{Base: base, Index: o, Scale: 1}, x)
		VPAND(row(tables.At("and")), x, x)
		VPOR(row(tables.At("space")), x, x)
		if i == 0 {
			VPSUBB(Mem{Base: tab, Disp: tables.At("c20")}, x, acc)
		} else {
			VPSUBB(Mem{Base: tab, Disp: tables.At("c20")}, x, t)
			VPMAXUB(t, acc, acc)
		}
		VPXOR(row(tables.At("pad")), x, x)
		VMOVDQU(x, Mem{Base: buf, Disp: 16 * i})
	}
	// notText leaves ZF=0 when a byte of the gathered group is above the greatest of text.
	notText := func() {
		t, m := XMM(), GP32()
		VPMAXUB(Mem{Base: tab, Disp: tables.At("ascii")}, acc, t)
		VPCMPEQB(Mem{Base: tab, Disp: tables.At("ascii")}, t, t)
		VPMOVMSKB(t, m)
		CMPL(m, U32(0xffff))
	}
	// fits leaves ZF=0 when a span does not fit.
	fits := func(at reg.Register) {
		one, lim, x, y, t := YMM(), YMM(), YMM(), YMM(), GP32()
		VPBROADCASTQ(arg("limit"), lim)
		VPBROADCASTQ(Mem{Base: text, Disp: pairTables.At("one")}, one)
		VMOVDQU(Mem{Base: at}, x)
		VMOVDQU(Mem{Base: at, Disp: 32}, y)
		VPSUBD(one, x, x)
		VPSUBD(one, y, y)
		VPMAXUD(x, y, x)
		VPMAXUD(lim, x, x)
		VPCMPEQD(lim, x, x)
		VPMOVMSKB(x, t)
		CMPL(t, I32(-1))
	}
	write := func(i int) {
		w, v := YMM(), YMM()
		VPMOVZXBW(Mem{Base: buf, Disp: 128 + 16*i}, w)
		c := func(name string) Mem { return Mem{Base: text, Disp: pairTables.At(name)} }
		if pairs {
			q, g := YMM(), YMM()
			VPMULHUW(c("c1058"), w, q)
			VPSLLW(Imm(8), w, v)
			VPMULLW(c("c62"), q, q)
			VPADDW(q, v, v)
			VPADDB(c("mark"), v, v)
			// The number to add depends on the range of the digit: a to z, A to Z, 0 to 9.
			VPCMPGTB(c("c25"), v, g)
			VPSUBUSB(c("c51"), v, q)
			VPSUBB(g, q, q)
			VMOVDQU(c("shift"), g)
			VPSHUFB(q, g, g)
			VPADDB(g, v, v)
		} else {
			VPSRLW(Imm(4), w, v)
			VPSLLW(Imm(8), w, w)
			VPAND(c("nib"), w, w)
			VPOR(w, v, v)
			VMOVDQU(c("digit"), w)
			VPSHUFB(v, w, v)
		}
		if scattered {
			o := GP64()
			MOVL(Mem{Base: res, Disp: 4 * i}, o.As32())
			VMOVDQU(v, Mem{Base: dst, Index: o, Scale: 1})
			return
		}
		VMOVDQU(v, Mem{Base: dst})
		MOVL(sep.As32(), Mem{Base: dst, Disp: 32})
		ADDQ(arg("stride"), dst)
		MOVQ(place, Mem{Base: res, Disp: 8 * i})
		ADDQ(arg("step"), place)
	}
	wrote := func() {
		if scattered {
			ADDQ(Imm(32), res)
		} else {
			ADDQ(Imm(64), res)
		}
		ADDQ(Imm(8), arg("done"))
	}
	MOVQ(U32(0), arg("done"))
	MOVQ(U32(0), arg("flight"))
	CMPQ(arg("n"), Imm(8))
	JL(LabelRef("ret"))
	fits(cur)
	JNE(LabelRef("ret"))
	for i := range 8 {
		gather(i)
	}
	notText()
	JNE(LabelRef("ret"))
	Label("loop")
	more, next := GP64(), GP64()
	XORQ(more, more)
	SUBQ(Imm(8), arg("n"))
	LEAQ(Mem{Base: cur, Disp: 64}, next)
	CMPQ(arg("n"), Imm(8))
	JL(LabelRef("advanced"))
	fits(next)
	JNE(LabelRef("advanced"))
	MOVQ(next, cur)
	INCQ(more)
	Label("advanced")
	var x [8]reg.VecVirtual
	k := key(0)
	for i := range x {
		x[i] = XMM()
		VPXOR(Mem{Base: buf, Disp: 16 * i}, k, x[i])
	}
	for r := 1; r < 14; r++ {
		k := key(r)
		for i := range x {
			VAESENC(k, x[i], x[i])
		}
		if r <= 8 {
			gather(r - 1)
		}
		if r >= 6 {
			write(r - 6)
		}
	}
	k = key(14)
	for i := range x {
		VAESENCLAST(k, x[i], x[i])
		VMOVDQU(x[i], Mem{Base: buf, Disp: 128 + 16*i})
	}
	// The first iteration has nothing to write yet. It has written undefined text to the
	// place of the first group; start again there, the next iteration overwrites it.
	CMPQ(arg("flight"), Imm(0))
	JNE(LabelRef("written"))
	begin()
	MOVQ(U32(1), arg("flight"))
	JMP(LabelRef("began"))
	Label("written")
	wrote()
	Label("began")
	TESTQ(more, more)
	JEQ(LabelRef("drain"))
	notText()
	JEQ(LabelRef("loop"))
	Label("drain")
	for i := range 8 {
		write(i)
	}
	wrote()
	Label("ret")
	done := GP64()
	MOVQ(arg("done"), done)
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	RET()
}
