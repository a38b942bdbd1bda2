// Command shape writes the kernels that read JSON lines of known shapes.
// csvfast/jsonfast/shape.go describes the algorithm.
//
//	go run ./shape -tier avx512 -out ../../jsonfast/shape_avx512_amd64.s
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
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

// Offsets of the fields of jsonfast's shapeNode, shapeValue and shapeState. TestLayout of
// that package compares them with the structs.
const (
	nodeText, nodeMask, nodeLength, nodeNext, nodeAlt, nodeKind, nodePath, nodeSize = 0, 32, 36, 40, 44, 48, 52, 64

	valueOffset, valueLength, valuePath, valueKind, valueEscaped, valueSize = 0, 4, 8, 10, 11, 16

	stateDone, stateRows, stateValues, stateHigh = 0, 8, 16, 24
)

const padding = 128 // shapePadding

// constant writes a read-only table of n constants.
func constant(name string, n int, c func(i int) Constant) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range n {
		DATA(i*c(i).Bytes(), c(i))
	}
	return m
}

// escapeClass is 1 for a byte that completes an escape after a backslash, 2 for the u that
// four digits follow.
func escapeClass(c byte) byte {
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		return 2
	}
	return 0
}

// hexValue is the value of a hexadecimal digit, and 0x80 for other bytes.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0x80
}

// broadcast fills the bytes of a vector with c.
func broadcast(c byte, y reg.VecVirtual) reg.VecVirtual {
	t, x := GP32(), XMM()
	MOVL(U32(c), t)
	VMOVD(t, x)
	VPBROADCASTB(x, y)
	return y
}

// generate writes the kernel of one instruction set. It is one function since what it
// prints is: registers live from end to end.
func generate(suffix string, wide bool) {
	width := 32
	vector := YMM
	if wide {
		width, vector = 64, ZMM
	}
	escapes := constant("shapeEscape"+suffix, 256, func(i int) Constant { return U8(escapeClass(byte(i))) })
	hex := constant("shapeHex"+suffix, 256, func(i int) Constant { return U8(hexValue(byte(i))) })

	TEXT("readShapes"+suffix, NOSPLIT, "func(p *byte, n int, base uint32, nodes *byte, found *byte, room int, st *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64()).(reg.GPVirtual)
	end := Load(Param("n"), GP64()).(reg.GPVirtual)
	ADDQ(p, end)
	origin := GP64() // p - origin is the offset to write
	{
		base := GP64()
		MOVQ(p, origin)
		Load(Param("base"), base.As32())
		SUBQ(base, origin)
	}
	out := Load(Param("found"), GP64()).(reg.GPVirtual)
	outEnd := Load(Param("room"), GP64()).(reg.GPVirtual)
	SHLQ(U8(4), outEnd)
	ADDQ(out, outEnd)
	st := Mem{Base: Load(Param("st"), GP64())}
	MOVQ(p, st.Offset(stateDone))
	MOVQ(U32(0), st.Offset(stateRows))
	MOVQ(out, st.Offset(stateValues))
	nodes := Load(Param("nodes"), GP64()).(reg.GPVirtual)
	quote, backslash := broadcast('"', vector()), broadcast('\\', vector())
	space := broadcast(0x20, vector())
	if !wide {
		space = broadcast(0x1f, vector())
	}
	zero, nine := broadcast('0', XMM()), broadcast(9, XMM())
	high, highText := vector(), YMM()
	VPXOR(high.AsX(), high.AsX(), high.AsX())
	VPXOR(highText, highText, highText)

	node := GP64()
	kind := GP32() // first byte of a value; the byte above it becomes the flag of an escape
	s := GP64()    // end of the value

	Label("line")
	MOVL(Mem{Base: nodes, Disp: nodeNext}, node.As32())

	Label("node")
	ADDQ(nodes, node)
	{
		t := GP64()
		LEAQ(Mem{Base: p, Disp: padding}, t)
		CMPQ(t, end)
		JA(LabelRef("done"))
	}
	Label("text")
	{
		text, t, mask := YMM(), GP32(), GP32()
		VMOVDQU(Mem{Base: p}, text)
		VPOR(text, highText, highText)
		VPCMPEQB(Mem{Base: node}, text, text)
		VPMOVMSKB(text, t)
		MOVL(Mem{Base: node, Disp: nodeMask}, mask)
		ANDNL(mask, t, t)
		JNZ(LabelRef("alternative"))
		n := GP64()
		MOVL(Mem{Base: node, Disp: nodeLength}, n.As32())
		ADDQ(n, p)
		CMPL(Mem{Base: node, Disp: nodeKind}, U8(1))
		JB(LabelRef("on"))
		JA(LabelRef("end"))
	}
	MOVBLZX(Mem{Base: p}, kind)
	CMPL(kind, U8('"'))
	JNE(LabelRef("number"))

	Comment("A string, from p to the quote at s.")
	LEAQ(Mem{Base: p, Disp: 1}, s)
	Label("string")
	q, bad := GP64(), GP64()
	v := vector()
	if wide {
		kq, kb, kc := K(), K(), K()
		VMOVDQU64(Mem{Base: s}, v)
		VPCMPEQB(v, quote, kq)
		VPCMPEQB(v, backslash, kb)
		VPCMPUB(U8(1), space, v, kc)
		KORQ(kb, kc, kc)
		KMOVQ(kq, q)
		KMOVQ(kc, bad)
		VPORQ(v, high, high)
	} else {
		y, c := YMM(), YMM()
		VMOVDQU(Mem{Base: s}, v)
		VPCMPEQB(v, quote, y)
		VPMOVMSKB(y, q.As32())
		VPCMPEQB(v, backslash, y)
		VPMINUB(v, space, c)
		VPCMPEQB(v, c, c)
		VPOR(c, y, y)
		VPMOVMSKB(y, bad.As32())
		VPOR(v, high, high)
	}
	{
		upTo := GP64()
		BLSMSKQ(q, upTo)
		TESTQ(bad, upTo)
		JNZ(LabelRef("special"))
		TESTQ(q, q)
		JZ(LabelRef("more"))
		TZCNTQ(q, q)
		ADDQ(q, s)
	}
	{
		path, t := GP32(), GP64()
		MOVL(Mem{Base: node, Disp: nodePath}, path)
		TESTL(path, path)
		JZ(LabelRef("stringDone"))
		CMPQ(out, outEnd)
		JAE(LabelRef("done"))
		MOVQ(p, t)
		SUBQ(origin, t)
		INCL(t.As32())
		MOVL(t.As32(), Mem{Base: out, Disp: valueOffset})
		MOVQ(s, t)
		SUBQ(p, t)
		DECL(t.As32())
		MOVL(t.As32(), Mem{Base: out, Disp: valueLength})
		MOVW(path.As16(), Mem{Base: out, Disp: valuePath})
		MOVW(kind.As16(), Mem{Base: out, Disp: valueKind})
		ADDQ(U8(valueSize), out)
	}
	Label("stringDone")
	LEAQ(Mem{Base: s, Disp: 1}, p)
	Label("on")
	MOVL(Mem{Base: node, Disp: nodeNext}, node.As32())
	TESTL(node.As32(), node.As32())
	JNZ(LabelRef("node"))
	JMP(LabelRef("done"))

	Label("more")
	ADDQ(U8(width), s)
	Label("room")
	{
		t := GP64()
		LEAQ(Mem{Base: s, Disp: width}, t)
		CMPQ(t, end)
		JBE(LabelRef("string"))
	}
	JMP(LabelRef("done"))

	Comment("A backslash or a control character before the quote, if there is one.")
	Label("special")
	TZCNTQ(bad, bad)
	ADDQ(bad, s)
	{
		c, t := GP64(), GP64()
		LEAQ(Mem{Base: s, Disp: 16}, t)
		CMPQ(t, end)
		JA(LabelRef("done"))
		MOVBLZX(Mem{Base: s}, c.As32())
		CMPL(c.As32(), U8('\\'))
		JNE(LabelRef("done"))
		ORL(U32(1<<8), kind)
		MOVBLZX(Mem{Base: s, Disp: 1}, c.As32())
		ADDQ(U8(2), s)
		LEAQ(escapes, t)
		MOVBLZX(Mem{Base: t, Index: c, Scale: 1}, c.As32())
		CMPL(c.As32(), U8(1))
		JE(LabelRef("room"))
		JB(LabelRef("done"))
		LEAQ(hex, t)
		a, d := GP64(), GP64()
		MOVBLZX(Mem{Base: s}, a.As32())
		MOVBLZX(Mem{Base: t, Index: a, Scale: 1}, a.As32())
		SHLL(U8(4), a.As32())
		MOVBLZX(Mem{Base: s, Disp: 1}, d.As32())
		MOVBLZX(Mem{Base: t, Index: d, Scale: 1}, d.As32())
		ORL(d.As32(), a.As32()) // a bad digit sets bit 7 or 11; d8 to df are surrogates
		MOVL(a.As32(), c.As32())
		ANDL(U32(0xf8), c.As32())
		CMPL(c.As32(), U32(0xd8))
		JE(LabelRef("done"))
		ANDL(U32(0x800), a.As32())
		ANDL(U32(0x80), d.As32())
		ORL(d.As32(), a.As32())
		for i := 2; i < 4; i++ {
			MOVBLZX(Mem{Base: s, Disp: i}, d.As32())
			MOVBLZX(Mem{Base: t, Index: d, Scale: 1}, d.As32())
			ANDL(U32(0x80), d.As32())
			ORL(d.As32(), a.As32())
		}
		JNZ(LabelRef("done"))
		ADDQ(U8(4), s)
		JMP(LabelRef("room"))
	}

	Label("alternative")
	MOVL(Mem{Base: node, Disp: nodeAlt}, node.As32())
	TESTL(node.As32(), node.As32())
	JZ(LabelRef("done"))
	ADDQ(nodes, node)
	JMP(LabelRef("text"))

	Label("end")
	MOVQ(p, st.Offset(stateDone))
	INCQ(st.Offset(stateRows))
	MOVQ(out, st.Offset(stateValues))
	JMP(LabelRef("line"))

	Label("number")
	MOVQ(p, s)
	{
		c := GP32()
		CMPL(kind, U8('-'))
		JNE(LabelRef("integer"))
		INCQ(s)
		Label("integer")
		MOVBLZX(Mem{Base: s}, c)
		SUBL(U8('0'), c)
		CMPL(c, U8(9))
		JA(LabelRef("word"))
		n := digits(s, zero, nine)
		Comment("no zero before other digits")
		CMPL(n, U8(1))
		JE(LabelRef("fraction"))
		TESTL(c, c)
		JZ(LabelRef("done"))
		Label("fraction")
		MOVBLZX(Mem{Base: s}, c)
		CMPL(c, U8('.'))
		JNE(LabelRef("exponent"))
		INCQ(s)
		digits(s, zero, nine)
		MOVBLZX(Mem{Base: s}, c)
		Label("exponent")
		ORL(U8(0x20), c)
		CMPL(c, U8('e'))
		JNE(LabelRef("other"))
		INCQ(s)
		MOVBLZX(Mem{Base: s}, c)
		CMPL(c, U8('+'))
		JE(LabelRef("sign"))
		CMPL(c, U8('-'))
		JNE(LabelRef("power"))
		Label("sign")
		INCQ(s)
		Label("power")
		digits(s, zero, nine)
		JMP(LabelRef("other"))
	}

	Label("word")
	{
		CMPQ(s, p)
		JNE(LabelRef("done")) // a minus without a digit
		w := GP32()
		MOVL(Mem{Base: p}, w)
		LEAQ(Mem{Base: p, Disp: 4}, s)
		CMPL(w, U32('t'|'r'<<8|'u'<<16|'e'<<24))
		JE(LabelRef("other"))
		CMPL(w, U32('n'|'u'<<8|'l'<<16|'l'<<24))
		JE(LabelRef("other"))
		INCQ(s)
		CMPL(w, U32('f'|'a'<<8|'l'<<16|'s'<<24))
		JNE(LabelRef("misfit"))
		CMPB(Mem{Base: p, Disp: 4}, U8('e'))
		JE(LabelRef("other"))
	}
	Label("misfit")
	{
		n := GP64()
		MOVL(Mem{Base: node, Disp: nodeLength}, n.As32())
		SUBQ(n, p)
		JMP(LabelRef("alternative"))
	}

	Comment("A number or a word, from p up to s.")
	Label("other")
	{
		path, t := GP32(), GP64()
		MOVL(Mem{Base: node, Disp: nodePath}, path)
		TESTL(path, path)
		JZ(LabelRef("otherDone"))
		CMPQ(out, outEnd)
		JAE(LabelRef("done"))
		MOVQ(p, t)
		SUBQ(origin, t)
		MOVL(t.As32(), Mem{Base: out, Disp: valueOffset})
		XORL(t.As32(), t.As32())
		MOVL(t.As32(), Mem{Base: out, Disp: valueLength})
		MOVW(path.As16(), Mem{Base: out, Disp: valuePath})
		MOVW(kind.As16(), Mem{Base: out, Disp: valueKind})
		ADDQ(U8(valueSize), out)
	}
	Label("otherDone")
	MOVQ(s, p)
	JMP(LabelRef("on"))

	Label("done")
	{
		t, u := GP64(), GP64()
		Load(Param("p"), t)
		SUBQ(t, st.Offset(stateDone))
		MOVQ(st.Offset(stateValues), u)
		Load(Param("found"), t)
		SUBQ(t, u)
		SHRQ(U8(4), u)
		MOVQ(u, st.Offset(stateValues))
		VPMOVMSKB(highText, u.As32())
		if wide {
			k := K()
			VPMOVB2M(high, k)
			KMOVQ(k, t)
		} else {
			VPMOVMSKB(high, t.As32())
		}
		ORQ(t, u)
		MOVQ(u, st.Offset(stateHigh))
	}
	VZEROUPPER()
	RET()
}

// digits advances s past 1 to 15 digits and returns how many; with none, or 16 or more, the
// kernel stops.
func digits(s reg.GPVirtual, zero, nine reg.VecVirtual) reg.GPVirtual {
	x, y := XMM(), XMM()
	n := GP64()
	VMOVDQU(Mem{Base: s}, x)
	VPSUBB(zero, x, x)
	VPMINUB(nine, x, y)
	VPCMPEQB(x, y, y)
	VPMOVMSKB(y, n.As32())
	XORL(U32(0xffff), n.As32())
	JZ(LabelRef("done"))
	TZCNTL(n.As32(), n.As32())
	JZ(LabelRef("done"))
	ADDQ(n, s)
	return n.As32().(reg.GPVirtual)
}
