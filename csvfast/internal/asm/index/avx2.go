package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// AVX2 has no instruction that gathers chosen bytes. Its kernels split a block into 8
// groups of 8 bytes. Each group has a row of 16 bytes on the stack: the 8 offsets in
// the block, then the 8 flag bytes. The group's mask of separators picks one of 256
// shuffles, which puts the chosen offsets and flags into the lowest and highest bytes
// of dwords. Then the block's offset is added and 8 entries are stored; out advances
// past as many of them as the mask has bits.

// y holds the constants of the AVX2 kernels.
type y struct {
	comma, lf, quote VecVirtual
	offsets          [2]VecVirtual // 0…31, 32…63
	base             VecVirtual
	shuffles, rows   Register // the table; the 8 rows
}

func avx2() {
	ConstraintExpr("!purego")
	offsets := table("indexOffsets", 64, func(i int) byte { return byte(i) })
	shuffles := table("indexShuffles", 256*32, shuffleByte)
	bits := table("indexBits", 64, func(i int) byte {
		if i < 32 {
			return byte(i / 8)
		}
		return 1 << (i % 8)
	})
	words := table("indexWords", 160, func(i int) byte {
		switch i / 32 {
		case 0:
			return flagRow
		case 1:
			return flagQuoted
		case 2:
			return flagDoubled
		case 3:
			return '\r'
		}
		return []byte{64, 0, 0, 0}[i%4] // distance between blocks, as a dword
	})
	plain256(offsets, shuffles)
	strict256(offsets, shuffles, bits, words)
	Generate()
}

// shuffleByte returns byte i of the table of shuffles. Entry m has 32 bytes: the lowest
// byte of dword k is the position of the k-th set bit of m, the highest that position + 8,
// where the flags are.
func shuffleByte(i int) byte {
	m, k, part := i/32, i%32/4, i%4
	if part == 1 || part == 2 {
		return 0x80 // gives a zero byte
	}
	for bit := range 8 {
		if m>>bit&1 == 0 {
			continue
		}
		if k == 0 {
			if part == 3 {
				return byte(bit + 8)
			}
			return byte(bit)
		}
		k--
	}
	return 0x80
}

func constants256(st Register, offsets, shuffles Mem) (c y) {
	c.comma, c.lf, c.quote = YMM(), YMM(), YMM()
	VPBROADCASTB(Mem{Base: st, Disp: stComma}, c.comma)
	VPBROADCASTB(Mem{Base: st, Disp: stQuote}, c.quote)
	c.lf = byte256('\n')
	for i := range c.offsets {
		c.offsets[i] = YMM()
		VMOVDQU(offsets.Offset(32*i), c.offsets[i])
	}
	c.base = YMM()
	VMOVD(Load(Param("base"), GP32()), c.base.AsX())
	VPBROADCASTD(c.base.AsX(), c.base)
	c.shuffles, c.rows = GP64(), GP64()
	LEAQ(shuffles, c.shuffles)
	LEAQ(AllocLocal(128), c.rows)
	return c
}

// byte256 returns a vector with b in every byte.
func byte256(b uint32) VecVirtual {
	t, v := GP32(), YMM()
	MOVL(U32(b), t)
	VMOVD(t, v.AsX())
	VPBROADCASTB(v.AsX(), v)
	return v
}

// mask returns the highest bit of each byte of lo, then of hi.
func mask(lo, hi VecVirtual) GPVirtual {
	m, t := GP64(), GP64()
	VPMOVMSKB(hi, t.As32())
	VPMOVMSKB(lo, m.As32())
	SHLQ(U8(32), t)
	ORQ(t, m)
	return m
}

// lay writes offsets and flags to the rows. VPUNPCK works on each half of 16 bytes, so
// of every four groups the rows of 0 and 2 lie next to each other, and those of 1 and 3.
func lay(c y, flags [2]VecVirtual) {
	for i, f := range flags {
		lo, hi := YMM(), YMM()
		VPUNPCKLQDQ(f, c.offsets[i], lo)
		VPUNPCKHQDQ(f, c.offsets[i], hi)
		at := Mem{Base: c.rows, Disp: 64 * i}
		VMOVDQU(lo, at)
		VMOVDQU(hi, at.Offset(32))
	}
}

// emit256 writes the entries of the separators in sep. The content of sep is undefined
// afterwards.
func emit256(c y, sep GPVirtual, out Register) {
	for g := range 8 {
		m, n, v := GP64(), GP64(), YMM()
		MOVBQZX(sep.As8(), m)
		if g < 7 {
			SHRQ(U8(8), sep)
		}
		VBROADCASTI128(Mem{Base: c.rows, Disp: g/4*64 + g%2*32 + g%4/2*16}, v)
		POPCNTQ(m, n)
		SHLQ(U8(5), m)
		VPSHUFB(Mem{Base: c.shuffles, Index: m, Scale: 1}, v, v)
		VPADDD(c.base, v, v)
		VMOVDQU(v, Mem{Base: out})
		LEAQ(Mem{Base: out, Index: n, Scale: 4}, out)
	}
}

// advance moves on to the next block.
func advance(c y, p, blocks Register, step Op) {
	VPADDD(step, c.base, c.base)
	ADDQ(U8(64), p)
	DECQ(blocks)
	JNZ(LabelRef("loop"))
}

// dword256 returns a vector with n in every dword.
func dword256(n uint32) VecVirtual {
	t, v := GP32(), YMM()
	MOVL(U32(n), t)
	VMOVD(t, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

// load reads a block and finds its LFs, delimiters and quotes.
func load(c y, p Register) (v, nl, sep, q [2]VecVirtual) {
	for i := range 2 {
		v[i], nl[i], sep[i], q[i] = YMM(), YMM(), YMM(), YMM()
		VMOVDQU(Mem{Base: p, Disp: 32 * i}, v[i])
		VPCMPEQB(v[i], c.lf, nl[i])
		VPCMPEQB(v[i], c.comma, sep[i])
		VPCMPEQB(v[i], c.quote, q[i])
		VPOR(nl[i], sep[i], sep[i])
	}
	return v, nl, sep, q
}

// finish256 returns from the kernel with the number of entries before out.
func finish256(out Register) {
	SUBQ(Load(Param("out"), GP64()), out)
	SHRQ(U8(2), out)
	Store(out, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// plain256 writes the kernel for blocks without quotes; it stops at the first quote.
func plain256(offsets, shuffles Mem) {
	TEXT("indexPlainAVX2", NOSPLIT, signature)
	p, blocks := Load(Param("p"), GP64()), Load(Param("blocks"), GP64())
	out, st := Load(Param("out"), GP64()), Load(Param("st"), GP64())
	c := constants256(st, offsets, shuffles)
	row, step := byte256(flagRow), dword256(64)
	rows := GP64()
	XORL(rows.As32(), rows.As32())
	mayOpen := GP64()
	MOVQ(Mem{Base: st, Disp: stMayOpen}, mayOpen)
	TESTQ(blocks, blocks)
	JZ(LabelRef("done"))

	Label("loop")
	_, nl, sep, q := load(c, p)
	VPOR(q[0], q[1], q[0])
	VPTEST(q[0], q[0])
	JNZ(LabelRef("done"))
	lines := mask(nl[0], nl[1])
	POPCNTQ(lines, lines)
	ADDQ(lines, rows)
	seps := mask(sep[0], sep[1])
	MOVQ(seps, mayOpen)
	SHRQ(U8(63), mayOpen)
	for i := range 2 {
		VPAND(nl[i], row, nl[i])
	}
	lay(c, nl)
	emit256(c, seps, out)
	advance(c, p, blocks, step)

	Label("done")
	MOVQ(mayOpen, Mem{Base: st, Disp: stMayOpen})
	XORL(mayOpen.As32(), mayOpen.As32())
	MOVQ(mayOpen, Mem{Base: st, Disp: stQuoted})
	MOVQ(mayOpen, Mem{Base: st, Disp: stDoubled})
	ADDQ(rows, Mem{Base: st, Disp: stRows})
	ADDQ(rows, Mem{Base: st, Disp: stLines})
	Load(Param("blocks"), rows)
	SUBQ(blocks, rows)
	MOVQ(rows, Mem{Base: st, Disp: stBlocks})
	finish256(out)
}

// strict256 writes the kernel that checks quotes. It is one function since what it prints
// is: registers live from end to end.
func strict256(offsets, shuffles, bits, words Mem) {
	TEXT("indexStrictAVX2", NOSPLIT, signature)
	p, blocks := Load(Param("p"), GP64()), Load(Param("blocks"), GP64())
	out, st := Load(Param("out"), GP64()), Load(Param("st"), GP64())
	c := constants256(st, offsets, shuffles)
	all1 := XMM()
	VPCMPEQD(all1, all1, all1)
	inside := GP64()
	MOVQ(Mem{Base: st, Disp: stInside}, inside)
	TESTQ(blocks, blocks)
	JZ(LabelRef("done"))

	Label("loop")
	v, nl, all, quotes := load(c, p)
	q := mask(quotes[0], quotes[1])
	ORQ(q, Mem{Base: st, Disp: stQuotes})
	x := XMM()
	VMOVQ(q, x)
	VPCLMULQDQ(U8(0), all1, x, x)
	sep := mask(all[0], all[1])
	lines := mask(nl[0], nl[1])
	open, cl, t := GP64(), GP64(), GP64()
	VMOVQ(x, open)
	XORQ(inside, open)
	MOVQ(open, inside)
	SARQ(U8(63), inside)
	ANDNQ(sep, open, sep)
	ANDNQ(q, open, cl)
	ANDQ(q, open)
	POPCNTQ(lines, t)
	ADDQ(t, Mem{Base: st, Disp: stLines})
	MOVQ(lines, t)
	ANDQ(sep, t)
	POPCNTQ(t, t)
	ADDQ(t, Mem{Base: st, Disp: stRows})

	// addCarry sets t to the separators that the carry of ^sep + add, which starts with the
	// previous block's, runs to. Carries are kept as 0 or all ones.
	addCarry := func(add GPVirtual, disp int) {
		MOVQ(sep, t)
		NOTQ(t)
		carry := GP64()
		MOVQ(Mem{Base: st, Disp: disp}, carry)
		ADDQ(carry, carry)
		ADCQ(add, t)
		SBBQ(carry, carry)
		MOVQ(carry, Mem{Base: st, Disp: disp})
		ANDQ(sep, t)
	}
	// flag adds flag to the flags of the bytes that t has a bit for.
	flag := func(flag Mem) {
		for i := range 2 {
			b := YMM()
			if i > 0 {
				SHRQ(U8(32), t)
			}
			VMOVD(t.As32(), b.AsX())
			VPBROADCASTD(b.AsX(), b)
			VPSHUFB(bits, b, b) // byte i of b becomes byte i/8 of t
			VPAND(bits.Offset(32), b, b)
			VPCMPEQB(bits.Offset(32), b, b)
			VPAND(flag, b, b)
			VPOR(b, nl[i], nl[i])
		}
	}
	for i := range 2 {
		VPAND(words, nl[i], nl[i])
	}
	addCarry(q, stQuoted)
	flag(words.Offset(32))

	// Opening quotes in places where none may be are bad.
	MOVQ(sep, t)
	ORQ(cl, t)
	MOVQ(Mem{Base: st, Disp: stMayOpen}, q)
	LEAQ(Mem{Base: q, Index: t, Scale: 2}, q)
	SHRQ(U8(63), t)
	MOVQ(t, Mem{Base: st, Disp: stMayOpen})
	ANDNQ(open, q, q)
	ORQ(q, Mem{Base: st, Disp: stBad})

	// q becomes the bytes after closing quotes, open the quotes among them.
	MOVQ(Mem{Base: st, Disp: stClosed}, q)
	LEAQ(Mem{Base: q, Index: cl, Scale: 2}, q)
	SHRQ(U8(63), cl)
	MOVQ(cl, Mem{Base: st, Disp: stClosed})
	MOVQ(open, cl)
	ORQ(sep, cl)
	ANDQ(q, open)
	ANDNQ(q, cl, q) // neither quote nor separator: only a CR before an LF is valid
	MOVQ(q, cl)
	ORQ(Mem{Base: st, Disp: stClosedCR}, cl)
	JNZ(LabelRef("behind"))
	Label("checked")
	addCarry(open, stDoubled)
	TESTQ(t, t)
	JNZ(LabelRef("doubled"))
	Label("flagged")
	lay(c, nl)
	emit256(c, sep, out)
	advance(c, p, blocks, words.Offset(128))

	Label("done")
	MOVQ(inside, Mem{Base: st, Disp: stInside})
	finish256(out)

	Label("doubled")
	ORQ(t, Mem{Base: st, Disp: stDoubles})
	flag(words.Offset(64))
	JMP(LabelRef("flagged"))

	Label("behind")
	for i := range 2 {
		VPCMPEQB(words.Offset(96), v[i], v[i])
	}
	m := mask(v[0], v[1])
	MOVQ(q, cl)
	ANDQ(m, cl) // CRs after closing quotes
	ANDNQ(q, m, q)
	ORQ(q, Mem{Base: st, Disp: stBad})
	MOVQ(Mem{Base: st, Disp: stClosedCR}, m)
	LEAQ(Mem{Base: m, Index: cl, Scale: 2}, m) // where LFs must be
	SHRQ(U8(63), cl)
	MOVQ(cl, Mem{Base: st, Disp: stClosedCR})
	ANDNQ(m, lines, m)
	ORQ(m, Mem{Base: st, Disp: stBad})
	JMP(LabelRef("checked"))
}
