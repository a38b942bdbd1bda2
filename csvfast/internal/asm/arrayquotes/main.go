// Command arrayquotes writes the kernels that find the strings of a JSON array.
// csvfast/jsonfast/arrayquotes.go describes the algorithm.
//
//	go run ./arrayquotes -tier avx512 -out ../../jsonfast/arrayquotes_avx512_amd64.s
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tier is this command's own flag; avo registers others, such as -out.
var tier = flag.String("tier", "avx512", "avx512, avx2 or arm64")

func main() {
	flag.Parse()
	switch *tier {
	case "avx512":
		generate("AVX512", true)
	case "avx2":
		generate("AVX2", false)
	case "arm64":
		if err := neon(flag.Lookup("out").Value.String()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	default:
		fmt.Fprintln(os.Stderr, "unknown tier")
		os.Exit(2)
	}
	ConstraintExpr("!purego")
	Generate()
}

// Offsets of the fields of jsonfast's arrayState and arrayNote. TestLayout of that package
// compares them with the structs.
const (
	stateInString, stateEscaped, stateClosed, stateHigh, stateQuotes, stateNotes = 0, 8, 16, 24, 32, 40

	noteOffset, noteQuotes, noteEscapes, noteQuote, noteSize = 0, 4, 8, 16, 24
)

// compress is VPCOMPRESSB to a register, which avo does not know.
func compress(src, k, dst reg.Register) {
	Instruction(&ir.Instruction{
		Opcode: "VPCOMPRESSB.Z", Operands: []Op{src, k, dst},
		Inputs: []Op{src, k}, Outputs: []Op{dst},
	})
}

// constant writes a read-only table of n constants.
func constant(name string, n int, c func(i int) Constant) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range n {
		DATA(i*c(i).Bytes(), c(i))
	}
	return m
}

// generate writes both kernels of one instruction set. It is one function since what it
// prints is: registers live from end to end.
func generate(suffix string, wide bool) {
	// Shuffled by this table, white space gives itself and every other byte something else.
	space := constant("arraySpace"+suffix, 64, func(i int) Constant {
		switch i % 16 {
		case 0:
			return U8(' ')
		case '\t', '\n', '\r':
			return U8(i % 16)
		}
		return U8(0x80)
	})
	iota := constant("arrayIota"+suffix, 64, func(i int) Constant { return U8(i) })

	TEXT("arrayQuotes"+suffix, NOSPLIT, "func(p *byte, blocks int, base uint32, out *uint32, notes *byte, st *uint64) (done int)")
	Pragma("noescape")
	p := Load(Param("p"), GP64()).(reg.GPVirtual)
	left := Load(Param("blocks"), GP64()).(reg.GPVirtual)
	next := Load(Param("out"), GP64()).(reg.GPVirtual)
	inString, escaped, closed := GP64(), GP64(), GP64()
	{
		st := Mem{Base: Load(Param("st"), GP64())}
		MOVQ(st.Offset(stateInString), inString)
		MOVQ(st.Offset(stateEscaped), escaped)
		MOVQ(st.Offset(stateClosed), closed)
	}
	b := newBlock(wide)
	for _, c := range []byte{'"', '\\', ','} {
		b.broadcast(c)
	}
	b.is['w'] = vector(wide)
	var positions, bases, step reg.VecVirtual
	if wide {
		b.broadcast(0x20)
		VMOVDQU64(space, b.is['w'])
		positions, bases, step = ZMM(), ZMM(), ZMM()
		VMOVDQU64(iota, positions)
		t := GP32()
		Load(Param("base"), t)
		VPBROADCASTD(t, bases)
		MOVL(U32(64), t)
		VPBROADCASTD(t, step)
	} else {
		b.broadcast(0x1f)
		VMOVDQU(space, b.is['w'])
	}
	TESTQ(left, left)
	JZ(LabelRef("done"))

	Label("block")
	b.load(p)
	q := b.equal('"')
	willEscape := GP64()
	bs := b.equal('\\')
	MOVQ(bs, willEscape)
	ORQ(escaped, willEscape)
	JNZ(LabelRef("backslash"))

	Label("unescaped")
	Comment("in: the bytes of strings, opening quotes included")
	in := prefixXor(q)
	XORQ(inString, in)
	control := b.controls()
	TESTQ(in, control)
	JNZ(LabelRef("done"))
	comma := b.equal(',')
	ANDNQ(comma, in, comma)
	Comment("what is due after a closing quote, after a comma, and what stands between strings")
	afterClose, afterComma, rest := GP64(), GP64(), GP64()
	MOVQ(inString, afterComma)
	ANDQ(U8(1), afterComma)
	XORQ(closed, afterComma)
	XORQ(U8(1), afterComma)
	LEAQ(Mem{Base: afterComma, Index: comma, Scale: 2}, afterComma)
	ANDNQ(q, in, afterClose)
	LEAQ(Mem{Base: closed, Index: afterClose, Scale: 2}, afterClose)
	MOVQ(q, rest)
	ORQ(in, rest)
	ORQ(comma, rest)
	NOTQ(rest)
	{
		t, opening := GP64(), GP64()
		MOVQ(afterClose, t)
		XORQ(comma, t)
		ORQ(rest, t)
		MOVQ(q, opening)
		ANDQ(in, opening)
		XORQ(afterComma, opening)
		ORQ(opening, t)
		JNZ(LabelRef("blank"))
	}
	ANDNQ(q, in, closed)
	SHRQ(U8(63), closed)

	Label("commit")
	MOVQ(in, inString)
	SARQ(U8(63), inString)
	MOVQ(willEscape, escaped)
	if wide {
		emitWide(q, next, positions, bases)
		VPADDD(step, bases, bases)
	} else {
		emitNarrow(q, next, p)
	}
	ADDQ(U8(64), p)
	DECQ(left)
	JNZ(LabelRef("block"))

	Label("done")
	{
		st := Mem{Base: Load(Param("st"), GP64())}
		MOVQ(inString, st.Offset(stateInString))
		MOVQ(escaped, st.Offset(stateEscaped))
		MOVQ(closed, st.Offset(stateClosed))
		MOVQ(b.high(), st.Offset(stateHigh))
		t := GP64()
		Load(Param("out"), t)
		SUBQ(t, next)
		SHRQ(U8(2), next)
		MOVQ(next, st.Offset(stateQuotes))
		Load(Param("blocks"), t)
		SUBQ(left, t)
		Store(t, ReturnIndex(0))
	}
	VZEROUPPER()
	RET()

	Comment("Something between strings that is no comma, or commas that are not where they are due.")
	Label("blank")
	{
		blank := b.blanks()
		ANDNQ(rest, blank, blank)
		JNZ(LabelRef("stop"))
		Comment("Adding lets what is due run over the blanks to the first byte that is none.")
		due, pending := GP64(), GP64()
		XORL(pending.As32(), pending.As32())
		MOVQ(afterClose, due)
		ADDQ(rest, due)
		ADCQ(U8(0), pending)
		ANDNQ(due, rest, due)
		CMPQ(due, comma)
		JNE(LabelRef("stop"))
		ADDQ(rest, afterComma)
		ANDNQ(afterComma, rest, afterComma)
		MOVQ(q, due)
		ANDQ(in, due)
		CMPQ(due, afterComma)
		JNE(LabelRef("stop"))
		ANDNQ(q, in, closed)
		SHRQ(U8(63), closed)
		ORQ(pending, closed)
	}
	JMP(LabelRef("commit"))

	Label("stop")
	MOVQ(afterClose, closed)
	ANDQ(U8(1), closed)
	JMP(LabelRef("done"))

	Comment("Backslashes: which bytes they escape, and a note for the caller.")
	Label("backslash")
	{
		even, starts, follows := GP64(), GP64(), GP64()
		MOVQ(U64(0x5555555555555555), even)
		ANDNQ(bs, escaped, starts)
		LEAQ(Mem{Base: escaped, Index: starts, Scale: 2}, follows)
		odd := GP64()
		MOVQ(even, odd)
		ORQ(follows, odd)
		ANDNQ(starts, odd, odd)
		XORL(willEscape.As32(), willEscape.As32())
		ADDQ(starts, odd)
		ADCQ(U8(0), willEscape)
		ADDQ(odd, odd)
		XORQ(even, odd)
		ANDQ(follows, odd)
		ANDNQ(q, odd, q)
		ANDNQ(bs, odd, bs)
	}
	JZ(LabelRef("unescaped"))
	{
		st := Mem{Base: Load(Param("st"), GP64())}
		notes := Load(Param("notes"), GP64())
		n := GP64()
		MOVQ(st.Offset(stateNotes), n)
		INCQ(st.Offset(stateNotes))
		LEAQ(Mem{Base: n, Index: n, Scale: 2}, n)
		note := Mem{Base: notes, Index: n, Scale: 8}
		t, o := GP64(), GP64()
		MOVQ(p, t)
		Load(Param("p"), o)
		SUBQ(o, t)
		Load(Param("base"), o.As32())
		ADDL(o.As32(), t.As32())
		MOVL(t.As32(), note.Offset(noteOffset))
		MOVQ(next, t)
		Load(Param("out"), o)
		SUBQ(o, t)
		SHRQ(U8(2), t)
		MOVL(t.As32(), note.Offset(noteQuotes))
		MOVQ(bs, note.Offset(noteEscapes))
		MOVQ(q, note.Offset(noteQuote))
	}
	JMP(LabelRef("unescaped"))

	spans(suffix, wide)
}

// emitWide appends the positions of q's bits to next.
func emitWide(q, next reg.GPVirtual, positions, bases reg.VecVirtual) {
	k, z, y := K(), ZMM(), ZMM()
	KMOVQ(q, k)
	compress(positions, k, z)
	count := GP64()
	POPCNTQ(q, count)
	VPMOVZXBD(z.AsX(), y)
	VPADDD(bases, y, y)
	VMOVDQU32(y, Mem{Base: next})
	CMPQ(count, U8(16))
	JBE(LabelRef("emitted"))
	for i := 1; i < 4; i++ {
		x := XMM()
		VEXTRACTI32X4(U8(i), z, x)
		VPMOVZXBD(x, y)
		VPADDD(bases, y, y)
		VMOVDQU32(y, Mem{Base: next, Disp: 64 * i})
	}
	Label("emitted")
	LEAQ(Mem{Base: next, Index: count, Scale: 4}, next)
}

// emitNarrow appends the positions of q's bits to next and clears q.
func emitNarrow(q, next, p reg.GPVirtual) {
	count, offset, t := GP64(), GP64(), GP64()
	POPCNTQ(q, count)
	MOVQ(p, offset)
	Load(Param("p"), t)
	SUBQ(t, offset)
	Load(Param("base"), t.As32())
	ADDL(t.As32(), offset.As32())
	for i := range 8 {
		TZCNTQ(q, t)
		ADDL(offset.As32(), t.As32())
		MOVL(t.As32(), Mem{Base: next, Disp: 4 * i})
		BLSRQ(q, q)
	}
	CMPQ(count, U8(8))
	JBE(LabelRef("emitted"))
	at := GP64()
	LEAQ(Mem{Base: next, Disp: 32}, at)
	Label("more")
	TZCNTQ(q, t)
	ADDL(offset.As32(), t.As32())
	MOVL(t.As32(), Mem{Base: at})
	ADDQ(U8(4), at)
	BLSRQ(q, q)
	JNZ(LabelRef("more"))
	Label("emitted")
	LEAQ(Mem{Base: next, Index: count, Scale: 4}, next)
}

// spans writes the second kernel, which turns pairs of quote positions into offset and
// length.
func spans(suffix string, wide bool) {
	lanes := 8
	if wide {
		lanes = 16
	}
	odd := constant("arrayOdd"+suffix, lanes, func(i int) Constant { return U32(-uint32(i % 2)) })
	one := constant("arrayOne"+suffix, lanes, func(i int) Constant { return U32(1 - 2*uint32(i%2)) })
	TEXT("arraySpans"+suffix, NOSPLIT, "func(out *uint32, groups int)")
	Pragma("noescape")
	p := Load(Param("out"), GP64())
	n := Load(Param("groups"), GP64())
	m, c, v, o := vector(wide), vector(wide), vector(wide), vector(wide)
	at := Mem{Base: p}
	move := func(src, dst Op) {
		if wide {
			VMOVDQU32(src, dst)
		} else {
			VMOVDQU(src, dst)
		}
	}
	move(odd, m)
	move(one, c)
	Label("group")
	move(at, v)
	VPSHUFD(U8(0xa0), v, o)
	if wide {
		VPANDD(o, m, o)
	} else {
		VPAND(o, m, o)
	}
	VPSUBD(o, v, v)
	VPADDD(c, v, v)
	move(v, at)
	ADDQ(U8(4*lanes), p)
	DECQ(n)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// prefixXor returns the running parity of m's bits.
func prefixXor(m reg.Register) reg.GPVirtual {
	x, ones := XMM(), XMM()
	VMOVQ(m, x)
	VPCMPEQB(ones, ones, ones)
	VPCLMULQDQ(U8(0), ones, x, x)
	r := GP64()
	VMOVQ(x, r)
	return r
}
