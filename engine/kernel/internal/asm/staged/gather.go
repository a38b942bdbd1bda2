package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
	"github.com/velonym/velonym/engine/kernel/internal/asm/neon"
	"github.com/velonym/velonym/engine/kernel/internal/asm/span4"
)

var tables = layout.Of("hctr2", "gatherTables")

func gather() {
	TEXT("gatherAVX2", NOSPLIT, "func(blocks *byte, base *byte, spans *uint32, n int, limit uint64, tables *byte, greatest *byte) int")
	Pragma("noescape")
	Doc("gatherAVX2 pads values into blocks, four at a time.")
	blocks, base, spans, n, tab := span4.Arg("blocks"), span4.Arg("base"), span4.Arg("spans"), span4.Arg("n"), span4.Arg("tables")
	limits, one := span4.Limit(), span4.Pattern(1<<32)
	c20, text := XMM(), XMM()
	VMOVDQU(Mem{Base: tab, Disp: tables.At("c20")}, c20)
	VMOVDQU(Mem{Base: span4.Arg("greatest")}, text)
	done := GP64()
	XORQ(done, done)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("ret"))
	span4.Fit(spans, one, limits)
	JNE(LabelRef("ret"))
	acc := XMM()
	VPXOR(acc, acc, acc)
	for j := range 4 {
		o, l, x, t := GP64(), GP64(), XMM(), XMM()
		MOVL(Mem{Base: spans, Disp: 8 * j}, o.As32())
		MOVL(Mem{Base: spans, Disp: 8*j + 4}, l.As32())
		SHLQ(Imm(4), l)
		VMOVDQU(Mem{Base: base, Index: o, Scale: 1}, x)
		VPAND(Mem{Base: tab, Index: l, Scale: 1, Disp: tables.At("and")}, x, x)
		VPOR(Mem{Base: tab, Index: l, Scale: 1, Disp: tables.At("space")}, x, x)
		VPSUBB(c20, x, t)
		VPMAXUB(t, acc, acc)
		VPXOR(Mem{Base: tab, Index: l, Scale: 1, Disp: tables.At("pad")}, x, x)
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

// gather: R0 blocks, R1 base, R2 spans, R3 values, R4 greatest offset, R5 tables, R7
// done; V16 0x20, V17 greatest byte of text, V18 greatest byte seen.
func neonGather(p neon.Printer) {
	p.Text("gatherNEON", 64, "blocks", 0, "base", 1, "spans", 2, "n", 3, "limit", 4, "tables", 5, "greatest", 6)
	p.L("MOVWU R4, R4")
	p.L("ADD $%d, R5, R8", tables.At("c20"))
	p.L("VLD1 (R8), [V16.B16]")
	p.L("VLD1 (R6), [V17.B16]")
	p.L("ADD $%d, R5, R6", tables.At("space"))
	p.L("ADD $%d, R5, R8", tables.At("pad"))
	p.L("MOVD ZR, R7")
	p.F("loop:\n")
	p.L("CMP R3, R7")
	p.L("BGE ret")
	p.L("VEOR V18.B16, V18.B16, V18.B16")
	for range 4 {
		p.L("MOVWU.P 4(R2), R9")
		p.L("MOVWU.P 4(R2), R10")
		p.L("CMP R4, R9")
		p.L("BHI ret")
		p.L("SUB $1, R10, R11")
		p.L("CMP $14, R11")
		p.L("BHI ret")
		p.L("LSL $4, R10, R10")
		p.L("ADD R1, R9, R9")
		p.L("VLD1 (R9), [V0.B16]")
		p.L("ADD R5, R10, R11")
		p.L("VLD1 (R11), [V1.B16]")
		p.L("ADD R6, R10, R11")
		p.L("VLD1 (R11), [V2.B16]")
		p.L("ADD R8, R10, R11")
		p.L("VLD1 (R11), [V3.B16]")
		p.L("VAND V1.B16, V0.B16, V0.B16")
		p.L("VORR V2.B16, V0.B16, V0.B16")
		p.L("VSUB V16.B16, V0.B16, V4.B16")
		p.L("VUMAX V4.B16, V18.B16, V18.B16")
		p.L("VEOR V3.B16, V0.B16, V0.B16")
		p.L("VST1.P [V0.B16], 16(R0)")
	}
	p.L("VUMAX V17.B16, V18.B16, V18.B16")
	p.L("VCMEQ V17.B16, V18.B16, V18.B16")
	p.L("VMOV V18.D[0], R9")
	p.L("VMOV V18.D[1], R10")
	p.L("AND R9, R10, R9")
	p.L("CMN $1, R9")
	p.L("BNE ret")
	p.L("ADD $4, R7, R7")
	p.L("B loop")
	p.F("ret:\n")
	p.L("MOVD R7, ret+56(FP)")
	p.L("RET")
}
