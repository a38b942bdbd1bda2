// Package vaes adds the 256- and 512-bit forms of AES and carry-less multiplication,
// which avo 0.5.0 does not list.
package vaes

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func three(opcode string, a, b, dst operand.Op) {
	build.Instruction(&ir.Instruction{
		Opcode:   opcode,
		Operands: []operand.Op{a, b, dst},
		Inputs:   []operand.Op{a, b},
		Outputs:  []operand.Op{dst},
	})
}

// AESENC is VAESENC key, x, dst.
func AESENC(key, x, dst operand.Op) { three("VAESENC", key, x, dst) }

// AESENCLAST is VAESENCLAST key, x, dst.
func AESENCLAST(key, x, dst operand.Op) { three("VAESENCLAST", key, x, dst) }

// AESDEC is VAESDEC key, x, dst.
func AESDEC(key, x, dst operand.Op) { three("VAESDEC", key, x, dst) }

// AESDECLAST is VAESDECLAST key, x, dst.
func AESDECLAST(key, x, dst operand.Op) { three("VAESDECLAST", key, x, dst) }

// CLMUL is VPCLMULQDQ $halves, a, b, dst.
func CLMUL(halves uint8, a, b, dst operand.Op) {
	build.Instruction(&ir.Instruction{
		Opcode:   "VPCLMULQDQ",
		Operands: []operand.Op{operand.U8(halves), a, b, dst},
		Inputs:   []operand.Op{a, b},
		Outputs:  []operand.Op{dst},
	})
}

// Join makes dst of the low halves of lo and hi.
func Join(lo, hi, dst reg.VecVirtual) {
	build.Instruction(&ir.Instruction{
		Opcode:   "VINSERTI64X4",
		Operands: []operand.Op{operand.U8(1), hi.AsY(), lo, dst},
		Inputs:   []operand.Op{lo.AsY(), hi.AsY()},
		Outputs:  []operand.Op{dst},
	})
}

// Zero is VPXORQ v, v, v, declared not to read v.
func Zero(v operand.Op) {
	build.Instruction(&ir.Instruction{
		Opcode:   "VPXORQ",
		Operands: []operand.Op{v, v, v},
		Outputs:  []operand.Op{v},
	})
}
