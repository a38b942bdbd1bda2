package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/velonym/velonym/engine/kernel/internal/asm/neon"
	"github.com/velonym/velonym/engine/kernel/internal/asm/span4"
)

// polyval is one step of POLYVAL over n = 1 to 16 blocks: the first block plus the state is
// multiplied by h^n, the next by h^(n-1), the last by h. Their sum is reduced once.
func polyval() {
	TEXT("polyvalAVX2", NOSPLIT, "func(state *byte, powers *byte, blocks *byte, n int)")
	Pragma("noescape")
	Doc("polyvalAVX2 absorbs n blocks, 1 to 16, into state.")
	state, pow, blocks, n := span4.Arg("state"), span4.Arg("powers"), span4.Arg("blocks"), span4.Arg("n")
	x, lo, mi, hi := XMM(), XMM(), XMM(), XMM()
	VMOVDQU(Mem{Base: state}, x)
	VPXOR(lo, lo, lo)
	VPXOR(mi, mi, mi)
	VPXOR(hi, hi, hi)
	Label("loop")
	SUBQ(Imm(1), n)
	p, v, h, t, u := GP64(), XMM(), XMM(), XMM(), XMM()
	MOVQ(n, p)
	SHLQ(Imm(4), p)
	VMOVDQU(Mem{Base: pow, Index: p, Scale: 1}, h)
	VPXOR(Mem{Base: blocks}, x, v)
	VPXOR(x, x, x)
	VPCLMULQDQ(Imm(0x00), h, v, t)
	VPXOR(t, lo, lo)
	VPCLMULQDQ(Imm(0x11), h, v, t)
	VPXOR(t, hi, hi)
	VPCLMULQDQ(Imm(0x01), h, v, t)
	VPCLMULQDQ(Imm(0x10), h, v, u)
	VPXOR(t, u, u)
	VPXOR(u, mi, mi)
	ADDQ(Imm(16), blocks)
	TESTQ(n, n)
	JNE(LabelRef("loop"))
	c, poly := GP64(), XMM()
	MOVQ(U64(0xc200000000000000), c)
	VMOVQ(c, poly)
	VPSLLDQ(Imm(8), mi, t)
	VPXOR(t, lo, lo)
	VPSRLDQ(Imm(8), mi, mi)
	VPXOR(mi, hi, hi)
	for range 2 {
		VPCLMULQDQ(Imm(0x00), poly, lo, t)
		VPSHUFD(Imm(0x4e), lo, lo)
		VPXOR(t, lo, lo)
	}
	VPXOR(lo, hi, hi)
	VMOVDQU(hi, Mem{Base: state})
	RET()
}

// polyval: R0 state, R1 powers, R2 blocks, R3 left; V0 state, then zero, V1 lo, V2 mi,
// V3 hi, V9 zero.
func neonPolyval(p neon.Printer) {
	p.Text("polyvalNEON", 32, "state", 0, "powers", 1, "blocks", 2, "n", 3)
	p.L("VLD1 (R0), [V0.B16]")
	for _, v := range []int{1, 2, 3, 9} {
		p.L("VEOR V%d.B16, V%d.B16, V%d.B16", v, v, v)
	}
	p.F("loop:\n")
	p.L("SUB $1, R3, R3")
	p.L("ADD R3<<4, R1, R4")
	p.L("VLD1 (R4), [V4.B16]")
	p.L("VLD1.P 16(R2), [V5.B16]")
	p.L("VEOR V0.B16, V5.B16, V5.B16")
	p.L("VEOR V0.B16, V0.B16, V0.B16")
	p.L("VEXT $8, V5.B16, V5.B16, V6.B16")
	p.L("VPMULL V4.D1, V5.D1, V7.Q1")
	p.L("VEOR V7.B16, V1.B16, V1.B16")
	p.L("VPMULL2 V4.D2, V5.D2, V7.Q1")
	p.L("VEOR V7.B16, V3.B16, V3.B16")
	p.L("VPMULL V4.D1, V6.D1, V7.Q1")
	p.L("VEOR V7.B16, V2.B16, V2.B16")
	p.L("VPMULL2 V4.D2, V6.D2, V7.Q1")
	p.L("VEOR V7.B16, V2.B16, V2.B16")
	p.L("CBNZ R3, loop")
	p.L("MOVD $0xc200000000000000, R4")
	p.L("VMOV R4, V8.D[0]")
	// VEXT joins the upper half of its second operand and the lower half of its first.
	p.L("VEXT $8, V2.B16, V9.B16, V4.B16") // mi << 64
	p.L("VEOR V4.B16, V1.B16, V1.B16")
	p.L("VEXT $8, V9.B16, V2.B16, V4.B16") // mi >> 64
	p.L("VEOR V4.B16, V3.B16, V3.B16")
	for range 2 {
		p.L("VPMULL V8.D1, V1.D1, V4.Q1")
		p.L("VEXT $8, V1.B16, V1.B16, V1.B16")
		p.L("VEOR V4.B16, V1.B16, V1.B16")
	}
	p.L("VEOR V1.B16, V3.B16, V3.B16")
	p.L("VST1 [V3.B16], (R0)")
	p.L("RET")
}
