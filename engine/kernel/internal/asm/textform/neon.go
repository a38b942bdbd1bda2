package main

import (
	"os"

	"github.com/velonym/velonym/engine/kernel/internal/asm/neon"
)

// pairsNEON prints the kernels of NEON.
func pairsNEON() {
	p := neon.New(os.Stdout, "textform")
	defer p.Flush()
	neonEncode(p, "encodePairsNEON", true)
	neonEncode(p, "encodeHexNEON", false)
	neonDecode(p, "decodePairsNEON", true)
	neonDecode(p, "decodeHexNEON", false)
}

// encode: R0 dst, R1 blocks, R2 values, R3 text, R4 stride, R5 pre's length, R6 pre,
// R7 post.
func neonEncode(p neon.Printer, name string, pairs bool) {
	p.Text(name, 56, "dst", 0, "blocks", 1, "n", 2, "tables", 3, "stride", 4, "preLen", 5)
	p.L("MOVWU pre+48(FP), R6")
	p.L("MOVWU post+52(FP), R7")
	if pairs {
		p.L("VLD1 (R3), [V16.B16]") // mark
		p.L("ADD $%d, R3, R8", tables.At("edges"))
		p.L("VLD1.P 64(R8), [V12.B16, V13.B16, V14.B16, V15.B16]") // 62, 124, 186, 248
		p.L("ADD $16, R8, R8")
		p.L("VLD1 (R8), [V8.B16, V9.B16, V10.B16, V11.B16]") // letters
	} else {
		p.L("ADD $%d, R3, R8", tables.At("digit"))
		p.L("VLD1 (R8), [V8.B16]") // digits
		p.L("VMOVI $15, V9.B16")
	}
	p.F("loop:\n")
	p.L("CBZ R2, ret")
	p.L("VLD1.P 16(R1), [V0.B16]")
	if pairs {
		// V4: minus the first digit, counted in comparisons.
		p.L("VEOR V4.B16, V4.B16, V4.B16")
		for e := 12; e < 16; e++ {
			p.L("VUMAX V%d.B16, V0.B16, V5.B16", e)
			p.L("VCMEQ V0.B16, V5.B16, V5.B16")
			p.L("VADD V5.B16, V4.B16, V4.B16")
		}
		p.L("VSUB V4.B16, V16.B16, V5.B16") // mark + first digit
		p.L("VSHL $6, V4.B16, V6.B16")
		p.L("VADD V6.B16, V0.B16, V0.B16")
		p.L("VADD V4.B16, V4.B16, V6.B16")
		p.L("VSUB V6.B16, V0.B16, V0.B16")
		p.L("VTBL V5.B16, [V8.B16, V9.B16, V10.B16, V11.B16], V5.B16")
		p.L("VTBL V0.B16, [V8.B16, V9.B16, V10.B16, V11.B16], V6.B16")
	} else {
		p.L("VUSHR $4, V0.B16, V5.B16")
		p.L("VAND V9.B16, V0.B16, V6.B16")
		p.L("VTBL V5.B16, [V8.B16], V5.B16")
		p.L("VTBL V6.B16, [V8.B16], V6.B16")
	}
	p.L("VZIP1 V6.B16, V5.B16, V0.B16")
	p.L("VZIP2 V6.B16, V5.B16, V1.B16")
	p.L("MOVW R6, (R0)")
	p.L("ADD R5, R0, R8")
	p.L("VST1 [V0.B16, V1.B16], (R8)")
	p.L("MOVW R7, 32(R8)")
	p.L("ADD R4, R0, R0")
	p.L("SUB $1, R2, R2")
	p.L("B loop")
	p.F("ret:\n")
	p.L("RET")
}

// decode: R0 blocks, R1 base, R2 spans, R3 values, R4 greatest offset, R5 text, R7
// done; V8 to V15 the digits of 128 characters, V16 mark, V17 64, V18 4, V19 bit 7 set for
// bad characters, V20 all ones while no pair is above 255.
func neonDecode(p neon.Printer, name string, pairs bool) {
	p.Text(name, 56, "blocks", 0, "base", 1, "spans", 2, "n", 3, "limit", 4, "tables", 5)
	p.L("MOVWU R4, R4")
	p.L("VLD1 (R5), [V16.B16]")
	p.L("ADD $%d, R5, R8", tables.At("digits"))
	p.L("VLD1.P 64(R8), [V8.B16, V9.B16, V10.B16, V11.B16]")
	p.L("VLD1 (R8), [V12.B16, V13.B16, V14.B16, V15.B16]")
	p.L("VMOVI $64, V17.B16")
	p.L("VMOVI $4, V18.B16")
	p.L("MOVD ZR, R7")
	p.F("loop:\n")
	p.L("CMP R3, R7")
	p.L("BGE ret")
	p.L("VEOR V19.B16, V19.B16, V19.B16")
	p.L("VCMEQ V20.B16, V20.B16, V20.B16")
	for range 4 {
		p.L("MOVWU.P 4(R2), R9")
		p.L("MOVWU.P 4(R2), R10")
		p.L("CMP R4, R9")
		p.L("BHI ret")
		p.L("CMP $32, R10")
		p.L("BNE ret")
		p.L("ADD R1, R9, R9")
		p.L("VLD2 (R9), [V0.B16, V1.B16]")
		for c := range 2 {
			p.L("VTBL V%d.B16, [V8.B16, V9.B16, V10.B16, V11.B16], V2.B16", c)
			p.L("VSUB V17.B16, V%d.B16, V3.B16", c)
			p.L("VTBL V3.B16, [V12.B16, V13.B16, V14.B16, V15.B16], V3.B16")
			p.L("VORR V%d.B16, V19.B16, V19.B16", c)
			p.L("VORR V2.B16, V3.B16, V%d.B16", c)
		}
		if pairs {
			p.L("VORR V0.B16, V19.B16, V19.B16")
			p.L("VSUB V16.B16, V0.B16, V0.B16")
			p.L("VUMAX V18.B16, V0.B16, V2.B16")
			p.L("VCMEQ V18.B16, V2.B16, V2.B16") // first digit at most 4
			p.L("VAND V2.B16, V20.B16, V20.B16")
			p.L("VORR V1.B16, V19.B16, V19.B16")
			p.L("VSHL $6, V0.B16, V2.B16")
			p.L("VADD V0.B16, V0.B16, V3.B16")
			p.L("VSUB V3.B16, V2.B16, V2.B16")
			p.L("VADD V1.B16, V2.B16, V2.B16")
			p.L("VUMAX V1.B16, V2.B16, V3.B16")
			p.L("VCMEQ V2.B16, V3.B16, V3.B16") // no carry out of the sum
			p.L("VAND V3.B16, V20.B16, V20.B16")
		} else {
			p.L("VORR V0.B16, V19.B16, V19.B16")
			p.L("VORR V1.B16, V19.B16, V19.B16")
			p.L("VSHL $4, V0.B16, V2.B16")
			p.L("VORR V1.B16, V2.B16, V2.B16")
		}
		p.L("VST1.P [V2.B16], 16(R0)")
	}
	p.L("VUSHR $7, V19.B16, V19.B16")
	p.L("VMOV V19.D[0], R9")
	p.L("VMOV V19.D[1], R10")
	p.L("ORR R9, R10, R9")
	p.L("CBNZ R9, ret")
	p.L("VMOV V20.D[0], R9")
	p.L("VMOV V20.D[1], R10")
	p.L("AND R9, R10, R9")
	p.L("CMN $1, R9")
	p.L("BNE ret")
	p.L("ADD $4, R7, R7")
	p.L("B loop")
	p.F("ret:\n")
	p.L("MOVD R7, ret+48(FP)")
	p.L("RET")
}
