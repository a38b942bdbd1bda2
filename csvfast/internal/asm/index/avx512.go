package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// z holds the constants of the AVX-512 kernels.
type z struct {
	iota, iotaRow       VecVirtual // 0…63; the same with flagRow
	comma, lf, quote    VecVirtual
	perm                [4]VecVirtual // perm[i] copies byte 16i+d of the compressed entries to every byte of dword d
	keep                VecVirtual    // the bits of such a dword that belong to an entry
	one                 VecVirtual
	base                VecVirtual // offset of the block
	step                VecVirtual
	quoted, doubled, cr VecVirtual
}

func avx512() {
	ConstraintExpr("!purego")
	iota := table("indexIota", 64, func(i int) byte { return byte(i) })
	perm := table("indexPerm", 256, func(i int) byte { return byte(i / 4) })
	plain512("indexPlainAVX512", false, iota, perm)
	plain512("indexPlainDenseAVX512", true, iota, perm)
	strict512("indexStrictAVX512", false, iota, perm)
	strict512("indexStrictDenseAVX512", true, iota, perm)
	spans512()
	Generate()
}

// table writes a read-only table of bytes.
func table(name string, n int, at func(int) byte) Mem {
	m := GLOBL(name, 8|16) // RODATA|NOPTR
	for i := 0; i < n; i += 8 {
		w := uint64(0)
		for j := range 8 {
			w |= uint64(at(i+j)) << (8 * j)
		}
		DATA(i, U64(w))
	}
	return m
}

// constants loads the constants of both loops.
func constants(st Register, iota, perm Mem) (c z) {
	c.iota, c.iotaRow = ZMM(), ZMM()
	VMOVDQU64(iota, c.iota)
	t := GP32()
	broadcast := func(b uint32) VecVirtual {
		v := ZMM()
		MOVL(U32(b), t)
		VPBROADCASTB(t, v)
		return v
	}
	row := broadcast(flagRow)
	VPORQ(row, c.iota, c.iotaRow)
	c.comma, c.quote = ZMM(), ZMM()
	VPBROADCASTB(Mem{Base: st, Disp: stComma}, c.comma)
	VPBROADCASTB(Mem{Base: st, Disp: stQuote}, c.quote)
	c.lf = broadcast('\n')
	c.one = broadcast(1)
	for i := range c.perm {
		c.perm[i] = ZMM()
		VMOVDQU64(perm.Offset(64*i), c.perm[i])
	}
	c.keep = ZMM()
	MOVL(U32((flagRow|flagQuoted)<<24|63), t)
	VPBROADCASTD(t, c.keep)
	c.base, c.step = ZMM(), ZMM()
	MOVL(U32(64), t)
	VPBROADCASTD(t, c.step)
	VPBROADCASTD(Load(Param("base"), GP32()), c.base)
	return c
}

// emit writes the n entries of a block, whose bytes are in packed. With doubled, K5 has a
// bit for each entry to flag; its content is undefined afterwards.
func emit(c z, packed VecVirtual, out, n Register, dense, doubled bool) {
	more, done := label("more"), label("next")
	store := func(i int) {
		v := ZMM()
		VPERMB(packed, c.perm[i], v)
		VPTERNLOGD(U8(0xea), c.base, c.keep, v)
		if doubled {
			if i > 0 {
				KSHIFTRQ(U8(16), K5, K5)
			}
			VPORD(c.doubled, v, K5, v)
		}
		VMOVDQU32(v, Mem{Base: out, Disp: 64 * i})
	}
	store(0)
	first := 1
	if dense {
		store(1)
		first = 2
	}
	CMPQ(n, U8(16*first))
	JHI(LabelRef(more))
	Label(done)
	LEAQ(Mem{Base: out, Index: n, Scale: 4}, out)
	VPADDD(c.step, c.base, c.base)
	later = append(later, func() {
		Label(more)
		for i := first; i < 4; i++ {
			store(i)
		}
		JMP(LabelRef(done))
	})
}

// later holds functions that write the rare paths of a loop after its end; flush calls them.
var later []func()

func flush() {
	for _, f := range later {
		f()
	}
	later = nil
}

// compress gathers the bytes of by that mask selects at the start of packed and sets the
// others to zero. It is VPCOMPRESSB of VBMI2, which avo does not know. On Zen 4 only the
// form that writes a register is fast.
func compress(by VecVirtual, mask Register, packed VecVirtual) {
	Instruction(&ir.Instruction{
		Opcode: "VPCOMPRESSB", Suffixes: []string{"Z"},
		Operands: []Op{by, mask, packed}, Inputs: []Op{by, mask}, Outputs: []Op{packed},
		ISA: []string{"AVX512_VBMI2"},
	})
}

var labels int

func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// count adds the sum of the bytes of acc to a field of the state.
func count(acc VecVirtual, st Register, disp int) {
	zero, sum := ZMM(), ZMM()
	VPXORQ(zero, zero, zero)
	VPSADBW(zero, acc, sum)
	y := YMM()
	VEXTRACTI64X4(U8(1), sum, y)
	VPADDQ(y, sum.AsY(), y)
	x := XMM()
	VEXTRACTI32X4(U8(1), y, x)
	VPADDQ(x, y.AsX(), x)
	VPSHUFD(U8(0xee), x, sum.AsX())
	VPADDQ(sum.AsX(), x, x)
	t := GP64()
	VMOVQ(x, t)
	ADDQ(t, Mem{Base: st, Disp: disp})
}

// plain512 writes the kernel for blocks without quotes; it stops at the first quote.
func plain512(name string, dense bool, iota, perm Mem) {
	labels = 0
	TEXT(name, NOSPLIT, signature)
	p, blocks := Load(Param("p"), GP64()), Load(Param("blocks"), GP64())
	out, st := Load(Param("out"), GP64()), Load(Param("st"), GP64())
	c := constants(st, iota, perm)
	rows := ZMM()
	VPXORQ(rows, rows, rows)
	sep, n := GP64(), GP64()
	MOVQ(Mem{Base: st, Disp: stMayOpen}, sep)
	SHLQ(U8(63), sep)

	TESTQ(blocks, blocks)
	JZ(LabelRef("done"))
	Label("loop")
	v, by, packed := ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: p}, v)
	VPCMPEQB(c.quote, v, K3)
	VPCMPEQB(c.comma, v, K1)
	VPCMPEQB(c.lf, v, K2)
	KORTESTQ(K3, K3)
	JNZ(LabelRef("done"))
	KORQ(K1, K2, K4)
	VPBLENDMB(c.iotaRow, c.iota, K2, by)
	KMOVQ(K4, sep)
	compress(by, K4, packed)
	VPADDB(c.one, rows, K2, rows)
	POPCNTQ(sep, n)
	emit(c, packed, out, n, dense, false)
	ADDQ(U8(64), p)
	DECQ(blocks)
	JNZ(LabelRef("loop"))

	Label("done")
	SHRQ(U8(63), sep)
	MOVQ(sep, Mem{Base: st, Disp: stMayOpen})
	zero := GP64()
	XORL(zero.As32(), zero.As32())
	MOVQ(zero, Mem{Base: st, Disp: stQuoted})
	MOVQ(zero, Mem{Base: st, Disp: stDoubled})
	t := Load(Param("blocks"), GP64())
	SUBQ(blocks, t)
	MOVQ(t, Mem{Base: st, Disp: stBlocks})
	count(rows, st, stRows)
	count(rows, st, stLines)
	finish(out)
	flush()
}

// finish returns from the kernel with the number of entries before out.
func finish(out Register) {
	SUBQ(Load(Param("out"), GP64()), out)
	SHRQ(U8(2), out)
	Store(out, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// strict512 writes the kernel that checks quotes. It is one function since what it prints
// is: registers live from end to end.
func strict512(name string, dense bool, iota, perm Mem) {
	labels = 0
	TEXT(name, NOSPLIT, signature)
	p, blocks := Load(Param("p"), GP64()), Load(Param("blocks"), GP64())
	out, st := Load(Param("out"), GP64()), Load(Param("st"), GP64())
	c := constants(st, iota, perm)
	t32 := GP32()
	c.quoted, c.doubled, c.cr = ZMM(), ZMM(), ZMM()
	MOVL(U32(flagQuoted), t32)
	VPBROADCASTB(t32, c.quoted)
	MOVL(U32(flagDoubled<<24), t32)
	VPBROADCASTD(t32, c.doubled)
	MOVL(U32('\r'), t32)
	VPBROADCASTB(t32, c.cr)
	all1 := XMM()
	VPTERNLOGD(U8(0xff), all1, all1, all1)
	rows, lines, quotes := ZMM(), ZMM(), ZMM()
	VPXORQ(rows, rows, rows)
	VPXORQ(lines, lines, lines)
	VPXORQ(quotes, quotes, quotes)
	inside, inQuoted, inDoubled := GP64(), GP64(), GP64()
	mayOpen, closed, bad := GP64(), GP64(), GP64()
	for _, l := range []struct {
		r    Register
		disp int
	}{{inside, stInside}, {inQuoted, stQuoted}, {inDoubled, stDoubled}, {mayOpen, stMayOpen}, {closed, stClosed}, {bad, stBad}} {
		MOVQ(Mem{Base: st, Disp: l.disp}, l.r)
	}
	KXORQ(K0, K0, K0) // collects the flags of doubled quotes

	TESTQ(blocks, blocks)
	JZ(LabelRef("done"))
	Label("loop")
	v, by, packed := ZMM(), ZMM(), ZMM()
	VMOVDQU64(Mem{Base: p}, v)
	VPCMPEQB(c.quote, v, K3)
	VPCMPEQB(c.comma, v, K1)
	VPCMPEQB(c.lf, v, K2)
	q, sep, open, cl, t := GP64(), GP64(), GP64(), GP64(), GP64()
	KMOVQ(K3, q)
	x := XMM()
	VMOVQ(q, x)
	VPCLMULQDQ(U8(0), all1, x, x)
	KORQ(K1, K2, K4)
	KMOVQ(K4, sep)
	VPADDB(c.one, lines, K2, lines)
	VPADDB(c.one, quotes, K3, quotes)
	VPBLENDMB(c.iotaRow, c.iota, K2, by)
	VMOVQ(x, open)
	XORQ(inside, open) // bytes inside quotes
	MOVQ(open, inside)
	SARQ(U8(63), inside)
	ANDNQ(sep, open, sep)
	ANDNQ(q, open, cl)
	ANDQ(q, open)
	KMOVQ(sep, K4)

	// Fields that hold a quote: the carry of ^sep + q runs to the separator after it.
	MOVQ(sep, t)
	NOTQ(t)
	ADDQ(inQuoted, inQuoted) // all ones: carry in
	ADCQ(q, t)
	SBBQ(inQuoted, inQuoted)
	ANDQ(sep, t)
	KMOVQ(t, K7)

	// Opening quotes in places where none may be are bad.
	MOVQ(sep, t)
	ORQ(cl, t)
	LEAQ(Mem{Base: mayOpen, Index: t, Scale: 2}, q)
	MOVQ(t, mayOpen)
	SHRQ(U8(63), mayOpen)
	ANDNQ(open, q, q)
	ORQ(q, bad)

	// q becomes the bytes after closing quotes, open the quotes among them.
	LEAQ(Mem{Base: closed, Index: cl, Scale: 2}, q)
	MOVQ(cl, closed)
	SHRQ(U8(63), closed)
	MOVQ(open, cl)
	ORQ(sep, cl)
	ANDQ(q, open)
	ANDNQ(q, cl, q) // neither quote nor separator: only a CR before an LF is valid
	MOVQ(q, cl)
	ORQ(Mem{Base: st, Disp: stClosedCR}, cl)
	JNZ(LabelRef("behind"))
	Label("checked")
	MOVQ(sep, t)
	NOTQ(t)
	ADDQ(inDoubled, inDoubled)
	ADCQ(open, t)
	SBBQ(inDoubled, inDoubled)
	ANDQ(sep, t)
	PEXTQ(sep, t, t)
	KMOVQ(t, K5)
	KORQ(K5, K0, K0)

	KANDQ(K2, K4, K1)
	VPADDB(c.one, rows, K1, rows)
	VPADDB(c.quoted, by, K7, by)
	compress(by, K4, packed)
	POPCNTQ(sep, t)
	emit(c, packed, out, t, dense, true)
	ADDQ(U8(64), p)
	DECQ(blocks)
	JNZ(LabelRef("loop"))

	Label("done")
	for _, l := range []struct {
		r    Register
		disp int
	}{{inside, stInside}, {inQuoted, stQuoted}, {inDoubled, stDoubled}, {mayOpen, stMayOpen}, {closed, stClosed}, {bad, stBad}} {
		MOVQ(l.r, Mem{Base: st, Disp: l.disp})
	}
	KMOVQ(K0, t)
	ORQ(t, Mem{Base: st, Disp: stDoubles})
	VPTESTMB(quotes, quotes, K1)
	KMOVQ(K1, t)
	ORQ(t, Mem{Base: st, Disp: stQuotes})
	count(rows, st, stRows)
	count(lines, st, stLines)
	finish(out)

	Label("behind")
	// q has the bytes after closing quotes that must be CRs; cl and t are scratch.
	VPCMPEQB(c.cr, v, K1)
	KMOVQ(K1, t)
	MOVQ(q, cl)
	ANDQ(t, cl) // CRs after closing quotes
	ANDNQ(q, t, q)
	ORQ(q, bad)
	MOVQ(Mem{Base: st, Disp: stClosedCR}, t)
	LEAQ(Mem{Base: t, Index: cl, Scale: 2}, t) // where LFs must be
	SHRQ(U8(63), cl)
	MOVQ(cl, Mem{Base: st, Disp: stClosedCR})
	KMOVQ(K2, q)
	ANDNQ(t, q, t)
	ORQ(t, bad)
	JMP(LabelRef("checked"))
	flush()
}

// spans512 writes the kernel that turns 16 entries at a time into offset and length.
func spans512() {
	TEXT("entrySpansAVX512", NOSPLIT, "func(ents *uint32, n int, base uint32, out *uint32)")
	ents, n := Load(Param("ents"), GP64()), Load(Param("n"), GP64())
	out := Load(Param("out"), GP64())
	zip := table("spansZip", 128, func(i int) byte {
		if i%4 != 0 {
			return 0
		}
		return byte(i/8 + i/4%2*16)
	})
	lo, hi, pos, one, base := ZMM(), ZMM(), ZMM(), ZMM(), ZMM()
	VMOVDQU64(zip, lo)
	VMOVDQU64(zip.Offset(64), hi)
	t := GP32()
	MOVL(U32(1<<29-1), t)
	VPBROADCASTD(t, pos)
	MOVL(U32(1), t)
	VPBROADCASTD(t, one)
	VPBROADCASTD(Load(Param("base"), GP32()), base)
	Label("loop")
	v, p, q, a, b := ZMM(), ZMM(), ZMM(), ZMM(), ZMM()
	VMOVDQU32(Mem{Base: ents, Disp: 4}, v)
	VPANDD(Mem{Base: ents}, pos, p)
	VPSRLD(U8(30), v, q)
	VPANDD(pos, v, v)
	VPANDD(one, q, q)
	VPADDD(one, p, p)
	VPADDD(q, p, p) // offset of the content
	VPSUBD(p, v, v)
	VPSUBD(q, v, v) // its length
	VPADDD(base, p, p)
	VMOVDQA64(p, a)
	VPERMT2D(v, lo, a)
	VMOVDQA64(p, b)
	VPERMT2D(v, hi, b)
	VMOVDQU32(a, Mem{Base: out})
	VMOVDQU32(b, Mem{Base: out, Disp: 64})
	ADDQ(U8(64), ents)
	ADDQ(U32(128), out)
	SUBQ(U8(16), n)
	JHI(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
