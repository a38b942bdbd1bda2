package vaes

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The functions below fill a register from pieces. A move to part of a register sets the
// rest to zero, so the old content of dst is not read. avo's instructions for the narrower
// forms do not declare that, hence load declares inputs and outputs itself.

func load(opcode string, ops []operand.Op, in []operand.Op, dst reg.VecVirtual) {
	build.Instruction(&ir.Instruction{Opcode: opcode, Operands: ops, Inputs: in, Outputs: []operand.Op{dst}})
}

// Load2 loads 32 bytes from each of two addresses into dst.
func Load2(a, b operand.Mem, dst reg.VecVirtual) {
	load("VMOVDQU64", []operand.Op{a, dst.AsY()}, []operand.Op{a}, dst)
	build.VINSERTI64X4(operand.Imm(1), b, dst, dst)
}

// Load4 loads 16 bytes from each of four addresses into dst.
func Load4(at [4]operand.Mem, dst reg.VecVirtual) {
	hi := build.ZMM()
	for i, z := range []reg.VecVirtual{dst, hi} {
		load("VMOVDQU64", []operand.Op{at[2*i], z.AsX()}, []operand.Op{at[2*i]}, z)
		load("VINSERTI32X4", []operand.Op{operand.Imm(1), at[2*i+1], z.AsY(), z.AsY()}, []operand.Op{at[2*i+1], z}, z)
	}
	build.VINSERTI64X4(operand.Imm(1), hi.AsY(), dst, dst)
}

// High moves the upper half of src to the lower half of dst.
func High(src, dst reg.VecVirtual) {
	load("VEXTRACTI64X4", []operand.Op{operand.Imm(1), src, dst.AsY()}, []operand.Op{src}, dst)
}
