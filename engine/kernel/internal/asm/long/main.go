// Command long generates the AVX-512 kernels of HCTR2 over many messages of the same
// number of blocks: 16 messages at a time, one in every lane of four registers, so
// that neither AES nor carry-less multiplication waits for itself.
//
//	go run ./long -kernel text|seal|open -out ../../x_avx512_amd64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/wide"
)

// Offsets in the Go struct longArgs.
const (
	aSched   = 0
	aEnc     = 8
	aBase    = 16
	aSpans   = 24
	aN       = 32 // values, a multiple of 16; counted down
	aDst     = 40
	aAt      = 48
	aM       = 56 // blocks of a message, at least 2
	aScratch = 64 // 4 × 64 bytes a block, aligned
)

// Offsets in schedule: see cipher.go.
const (
	sEnc  = 480
	sInv  = 720
	sPow  = 960
	sL    = 1216
	sEven = 1232
)

// Offsets in encTables: see one.go.
const (
	tPrefix = 0
	tSuffix = 128
	tMark   = 576
	tLen    = 640
	tLane   = 704
	t16     = 768
	tPair   = 896
	tMarkK  = 1112
	tOne    = 1136 // 16: the number 1, little endian
)

var kernel = flag.String("kernel", "text", "text, seal or open")

func main() {
	flag.Parse()
	ConstraintExpr("!purego")
	switch *kernel {
	case "text":
		generate("longTextAVX512", "enciphers padded values and writes pair-coded text, each at its place", true, false)
	case "seal":
		generate("longSealAVX512", "enciphers padded values into blocks one after the other", false, false)
	case "open":
		generate("longOpenAVX512", "deciphers messages into blocks one after the other", false, true)
	}
	Generate()
}

func ptr(a reg.Register, off int) reg.GPVirtual {
	r := GP64()
	MOVQ(Mem{Base: a, Disp: off}, r)
	return r
}

func lanes(s reg.Register, at int) reg.VecVirtual {
	z := ZMM()
	VBROADCASTI32X4(Mem{Base: s, Disp: at}, z)
	return z
}

type product struct{ lo, mi, hi reg.VecVirtual }

// pairs writes blocks as pairs of characters.
type pairs struct {
	tab        reg.Register
	p0, s0, s2 reg.VecVirtual
}

func pairTables(tab reg.Register) pairs {
	c := pairs{tab, ZMM(), ZMM(), ZMM()}
	VMOVDQU64(Mem{Base: tab, Disp: tPrefix}, c.p0)
	VMOVDQU64(Mem{Base: tab, Disp: tSuffix}, c.s0)
	VMOVDQU64(Mem{Base: tab, Disp: tSuffix + 128}, c.s2)
	return c
}

// write puts four blocks at out and the four places at at + disp. The first of a
// message carry the mark.
func (c pairs) write(x reg.VecVirtual, head bool, out, at reg.Register, disp int) {
	p, a, m := ZMM(), ZMM(), K()
	VPSRLW(Imm(1), x, p)
	VPERMI2B(Mem{Base: c.tab, Disp: tPrefix + 64}, c.p0, p)
	if head {
		k, t := K(), ZMM()
		KMOVQ(Mem{Base: c.tab, Disp: tMarkK}, k)
		VMOVDQU64(Mem{Base: c.tab, Disp: tMark}, t)
		VPERMB(t, p, k, p)
	}
	VMOVDQA64(x, a)
	VPMOVB2M(x, m)
	VPERMI2B(Mem{Base: c.tab, Disp: tSuffix + 64}, c.s0, a)
	y := ZMM()
	VMOVDQA64(x, y)
	VPERMI2B(Mem{Base: c.tab, Disp: tSuffix + 3*64}, c.s2, y)
	VMOVDQU8(y, m, a)
	for h := range 2 {
		r := ZMM()
		VMOVDQU64(Mem{Base: c.tab, Disp: tPair + 64*h}, r)
		VPERMI2B(a, p, r)
		o := GP64()
		MOVL(Mem{Base: at, Disp: disp + 8*h}, o.As32())
		VMOVDQU64(r.AsY(), Mem{Base: out, Index: o, Scale: 1})
		o = GP64()
		MOVL(Mem{Base: at, Disp: disp + 8*h + 4}, o.As32())
		VEXTRACTI64X4(Imm(1), r, Mem{Base: out, Index: o, Scale: 1})
	}
}

func generate(name, doc string, text, open bool) {
	TEXT(name, NOSPLIT, "func(a *byte)")
	Pragma("noescape")
	Doc(name + " " + doc + ".")
	args := Load(Param("a"), GP64())
	s, tab := ptr(args, aSched), ptr(args, aEnc)
	spans, dst := ptr(args, aSpans), ptr(args, aDst)
	var at reg.GPVirtual
	if text {
		at = ptr(args, aAt)
	}
	var kb [3]reg.OpmaskVirtual
	mask := GP32()
	for i, m := range []uint32{0x00f0, 0x0f00, 0xf000} {
		kb[i] = K()
		MOVL(U32(m), mask)
		KMOVW(mask, kb[i])
	}
	var x, uu, st [4]reg.VecVirtual
	var acc [4]product
	for g := range 4 {
		x[g], uu[g], st[g] = ZMM(), ZMM(), ZMM()
		acc[g] = product{ZMM(), ZMM(), ZMM()}
	}
	first, cnt := ZMM(), ZMM()
	left, hp, scr, base := GP64(), GP64(), GP64(), GP64()

	gather := func(g int) {
		for j := range 4 {
			o := GP64()
			MOVL(Mem{Base: spans, Disp: 32*g + 8*j}, o.As32())
			if j == 0 {
				VBROADCASTI32X4(Mem{Base: base, Index: o, Scale: 1}, x[g])
			} else {
				VBROADCASTI32X4(Mem{Base: base, Index: o, Scale: 1}, kb[j-1], x[g])
			}
		}
	}
	restart := func() {
		for g := range 4 {
			VPXORQ(acc[g].lo, acc[g].lo, acc[g].lo)
			VPXORQ(acc[g].mi, acc[g].mi, acc[g].mi)
			VPXORQ(acc[g].hi, acc[g].hi, acc[g].hi)
		}
		VBROADCASTI32X4(Mem{Base: s, Disp: sEven}, first)
		MOVQ(Mem{Base: args, Disp: aM}, left)
		DECQ(left)
		// h^(m-1) for block 1, h^1 for the last.
		MOVQ(left, hp)
		SHLQ(Imm(4), hp)
		ADDQ(s, hp)
		MOVQ(Mem{Base: args, Disp: aScratch}, scr)
		ADDQ(I32(256), scr)
	}
	// absorb multiplies the blocks in x by the power of their place and adds.
	absorb := func() {
		h := ZMM()
		VBROADCASTI32X4(Mem{Base: hp, Disp: sPow - 16}, h)
		for g := range 4 {
			v, p, q := ZMM(), ZMM(), ZMM()
			VPXORQ(first, x[g], v)
			wide.CLMUL(0x00, h, v, p)
			VPXORQ(p, acc[g].lo, acc[g].lo)
			wide.CLMUL(0x11, h, v, q)
			VPXORQ(q, acc[g].hi, acc[g].hi)
			p, q = ZMM(), ZMM()
			wide.CLMUL(0x01, h, v, p)
			wide.CLMUL(0x10, h, v, q)
			VPTERNLOGQ(Imm(0x96), p, q, acc[g].mi)
		}
		VPXORQ(first, first, first)
		SUBQ(Imm(16), hp)
		ADDQ(I32(256), scr)
	}
	// reduce leaves the hash in acc[g].hi: Montgomery reduction, 64 bits a step.
	reduce := func() {
		p := ZMM()
		c := GP64()
		MOVQ(U64(0xc200000000000000), c)
		VPBROADCASTQ(c, p)
		for g := range 4 {
			a := acc[g]
			t := ZMM()
			VPSLLDQ(Imm(8), a.mi, t)
			VPXORQ(t, a.lo, a.lo)
			VPSRLDQ(Imm(8), a.mi, a.mi)
			VPXORQ(a.mi, a.hi, a.hi)
			for range 2 {
				t := ZMM()
				wide.CLMUL(0x00, p, a.lo, t)
				VPSHUFD(Imm(0x4e), a.lo, a.lo)
				VPXORQ(t, a.lo, a.lo)
			}
			VPXORQ(a.lo, a.hi, a.hi)
		}
	}
	encrypt := func(at int, round func(k, x, y Op), between func(r int)) {
		for r := 1; r < 14; r++ {
			k := lanes(s, at+16*r)
			for g := range 4 {
				round(k, x[g], x[g])
			}
			if between != nil {
				between(r)
			}
		}
	}
	// write puts the blocks in x to their places, begun counts bytes of C before them.
	write := func(begun reg.Register, head bool) {
		if !text {
			stride, p := GP64(), GP64()
			MOVQ(Mem{Base: args, Disp: aM}, stride)
			SHLQ(Imm(4), stride)
			LEAQ(Mem{Base: dst, Index: begun, Scale: 1}, p)
			for g := range 4 {
				for j := range 4 {
					VEXTRACTI32X4(Imm(uint64(j)), x[g], Mem{Base: p})
					if g < 3 || j < 3 {
						ADDQ(stride, p)
					}
				}
			}
			return
		}
		c := pairTables(tab)
		out := GP64()
		LEAQ(Mem{Base: dst, Index: begun, Scale: 2}, out)
		for g := range 4 {
			c.write(x[g], head, out, at, 16*g)
		}
	}

	Label("loop")
	// N: gather, pad, keep, hash.
	MOVQ(Mem{Base: args, Disp: aBase}, base)
	restart()
	Label("gather")
	ADDQ(Imm(16), base)
	for g := range 4 {
		gather(g)
	}
	CMPQ(left, Imm(1))
	JNE(LabelRef("whole"))
	{
		li, lane, c16, full := ZMM(), ZMM(), ZMM(), ZMM()
		VMOVDQU64(Mem{Base: tab, Disp: tLen}, li)
		VMOVDQU64(Mem{Base: tab, Disp: tLane}, lane)
		VMOVDQU64(Mem{Base: tab, Disp: t16}, c16)
		// Bytes before the last block, mod 256: so are the lengths below.
		c := GP64()
		MOVQ(Mem{Base: args, Disp: aM}, c)
		DECQ(c)
		SHLQ(Imm(4), c)
		VPBROADCASTB(c.As32(), full)
		for g := range 4 {
			L, m := ZMM(), K()
			VBROADCASTI64X4(Mem{Base: spans, Disp: 32 * g}, L)
			VPERMB(L, li, L)
			VPSUBB(full, L, L)
			VPCMPUB(Imm(5), L, lane, m)
			VPSUBB(L, c16, m, x[g])
		}
	}
	Label("whole")
	for g := range 4 {
		VMOVDQU64(x[g], Mem{Base: scr, Disp: 64 * g})
	}
	absorb()
	DECQ(left)
	JNE(LabelRef("gather"))
	reduce()
	MOVQ(Mem{Base: args, Disp: aBase}, base)
	{
		k, l := lanes(s, sEnc), lanes(s, sL)
		if open {
			k = lanes(s, sInv)
		}
		for g := range 4 {
			gather(g)
			VPXORQ(acc[g].hi, x[g], x[g]) // MM
			VPXORQ(l, x[g], st[g])
			VPXORQ(k, x[g], x[g])
		}
	}
	switch {
	case open:
		encrypt(sInv, wide.AESDEC, nil)
	case text:
		// The first blocks of the last group, in uu, are written meanwhile.
		CMPQ(at, Mem{Base: args, Disp: aAt})
		JEQ(LabelRef("first"))
		c := pairTables(tab)
		encrypt(sEnc, wide.AESENC, func(r int) {
			switch r {
			case 2, 5, 8, 11:
				c.write(uu[r/3], true, dst, at, 16*(r/3)-64)
			}
		})
		Label("began")
	default:
		encrypt(sEnc, wide.AESENC, nil)
	}
	{
		k := ZMM()
		if open {
			VBROADCASTI32X4(Mem{Base: s, Disp: sInv + 16*14}, k)
		} else {
			VBROADCASTI32X4(Mem{Base: s, Disp: sEnc + 16*14}, k)
		}
		k0 := lanes(s, sEnc)
		for g := range 4 {
			if open {
				wide.AESDECLAST(k, x[g], uu[g])
			} else {
				wide.AESENCLAST(k, x[g], uu[g])
			}
			// S, and the first round key of what it goes into.
			VPTERNLOGQ(Imm(0x96), uu[g], k0, st[g])
		}
	}
	// V: key stream, write, hash.
	restart()
	begun := GP64()
	XORQ(begun, begun)
	VPXORQ(cnt, cnt, cnt)
	Label("stream")
	{
		o := ZMM()
		VBROADCASTI32X4(Mem{Base: tab, Disp: tOne}, o)
		VPADDQ(o, cnt, cnt)
	}
	ADDQ(Imm(16), begun)
	for g := range 4 {
		VPXORQ(cnt, st[g], x[g])
	}
	encrypt(sEnc, wide.AESENC, nil)
	{
		k := lanes(s, sEnc+16*14)
		for g := range 4 {
			t := ZMM()
			VPXORQ(Mem{Base: scr, Disp: 64 * g}, k, t)
			wide.AESENCLAST(t, x[g], x[g])
		}
	}
	absorb() // first: what follows waits for it, the writing for nothing
	write(begun, false)
	DECQ(left)
	JNE(LabelRef("stream"))
	reduce()
	if text {
		for g := range 4 {
			VPXORQ(acc[g].hi, uu[g], uu[g])
		}
		ADDQ(Imm(64), at)
	} else {
		for g := range 4 {
			VPXORQ(acc[g].hi, uu[g], x[g])
		}
		XORQ(begun, begun)
		write(begun, true)
		t := GP64()
		MOVQ(Mem{Base: args, Disp: aM}, t)
		SHLQ(Imm(8), t)
		ADDQ(t, dst)
	}
	ADDQ(I32(128), spans)
	SUBQ(Imm(16), Mem{Base: args, Disp: aN})
	JNE(LabelRef("loop"))
	if text {
		c := pairTables(tab)
		for g := range 4 {
			c.write(uu[g], true, dst, at, 16*g-64)
		}
	}
	VZEROUPPER()
	RET()
	if text {
		Label("first")
		encrypt(sEnc, wide.AESENC, nil)
		JMP(LabelRef("began"))
	}
}
