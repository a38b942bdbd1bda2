package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pairs writes blocks as pairs of characters: the quotient and the remainder of a byte
// divided by 62, or the two halves of the byte. For halves take is empty: the tables of 64
// entries look at the lower six bits only.
type pairs struct {
	tab                 reg.Register
	quot, first, second reg.VecVirtual
	take                reg.OpmaskVirtual
}

func pairTables(tab reg.Register) pairs {
	c := pairs{tab, ZMM(), ZMM(), ZMM(), K()}
	VMOVDQU64(Mem{Base: tab, Disp: textTables.At("quot")}, c.quot)
	VMOVDQU64(Mem{Base: tab, Disp: textTables.At("first")}, c.first)
	VMOVDQU64(Mem{Base: tab, Disp: textTables.At("second")}, c.second)
	KMOVQ(Mem{Base: tab, Disp: textTables.At("takeK")}, c.take)
	return c
}

// write writes the texts of four blocks to out plus each of the four offsets at at. With
// head, the blocks are the first of their messages and carry the mark. The content of x is
// undefined afterwards.
func (c pairs) write(x reg.VecVirtual, head bool, out, at reg.Register) {
	q, p, a := ZMM(), ZMM(), ZMM()
	VPSRLW(Imm(1), x, q)
	VPERMI2B(Mem{Base: c.tab, Disp: textTables.At("quot") + 64}, c.quot, q)
	VPSUBB(q, x, c.take, x)
	VPERMB(c.first, q, p)
	VPERMB(c.second, x, a)
	if head {
		k, t := K(), ZMM()
		KMOVQ(Mem{Base: c.tab, Disp: textTables.At("markK")}, k)
		VMOVDQU64(Mem{Base: c.tab, Disp: textTables.At("mark")}, t)
		VPERMB(t, q, k, p)
	}
	for h := range 2 {
		r := ZMM()
		VMOVDQU64(Mem{Base: c.tab, Disp: textTables.At("pair") + 64*h}, r)
		VPERMI2B(a, p, r)
		o := GP64()
		MOVL(Mem{Base: at, Disp: 8 * h}, o.As32())
		VMOVDQU64(r.AsY(), Mem{Base: out, Index: o, Scale: 1})
		o = GP64()
		MOVL(Mem{Base: at, Disp: 8*h + 4}, o.As32())
		VEXTRACTI64X4(Imm(1), r, Mem{Base: out, Index: o, Scale: 1})
	}
}

// writeBlocks prints the fifth pass of kernels that write blocks: from scratch to dst, one
// message after the other.
func writeBlocks(args, scr reg.Register, count reg.GPVirtual) {
	arg := func(off int) Mem { return Mem{Base: args, Disp: off} }
	m := arg(blockArgs.At("m"))
	dst := ptr(args, blockArgs.At("dst"))
	each, z := GP64(), GP64()
	MOVQ(m, each)
	SHLQ(Imm(4), each)
	XORQ(z, z)
	Label("write")
	block, left := GP64(), GP64()
	LEAQ(Mem{Base: scr, Index: z, Scale: 1, Disp: cBlock}, block)
	MOVQ(m, left)
	Label("writes")
	p, x := GP64(), ZMM()
	VMOVDQU64(Mem{Base: block}, x)
	MOVQ(dst, p)
	for j := range 4 {
		VEXTRACTI32X4(Imm(uint64(j)), x, Mem{Base: p})
		if j < 3 {
			ADDQ(each, p)
		}
	}
	ADDQ(U32(stride), block)
	ADDQ(Imm(16), dst)
	DECQ(left)
	JNE(LabelRef("writes"))
	// dst has advanced by one message already; three more complete the four.
	LEAQ(Mem{Base: dst, Index: each, Scale: 2}, dst)
	ADDQ(each, dst)
	ADDQ(Imm(64), z)
	CMPQ(z, count)
	JL(LabelRef("write"))
	MOVQ(dst, arg(blockArgs.At("dst")))
}
