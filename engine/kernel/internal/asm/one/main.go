// Command one generates the AVX-512 kernels of one-block values: forward in rows,
// forward scattered, reverse, secondary. They are software-pipelined: the AES rounds
// of one group of 16 values run between the gather of the next group and the encoding
// of the last, which keeps the AES unit fed.
//
//	go run ./one -kernel rows|bits|at|reverse|secondary -out ../../x_avx512_amd64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/wide"
)

// Offsets in the Go struct oneArgs.
const (
	aSched  = 0
	aEnc    = 8
	aDec    = 16
	aBase   = 24
	aSpans  = 32
	aN      = 40 // counted down
	aDst    = 48
	aAt     = 56
	aOut    = 64
	aSched2 = 72
	aLimits = 128 // 64 bytes: greatest offset, greatest length - 1, alternating
	aText   = 192 // 64 bytes: greatest byte - 0x20 of text
	aPlace  = 256 // 32 bytes: off, len of the first four results
	aStep   = 288 // 32 bytes: what to add for the next four
	aStride = 320 // bytes of four rows
	aSep    = 328 // 4 bytes: what stands between two values
	aSepLen = 336
	aWrote  = 344 // result: bytes written
	aFrom   = 352 // reverse: the address that results count from
)

// Offsets in schedule: see cipher.go.
const (
	sOne = 0
	sInv = 240
)

// Offsets in encTables.
const (
	tPrefix = 0   // 2 × 64: first character by byte / 2; bits: permutations
	tSuffix = 128 // 4 × 64: second character by byte; bits: shifts, alphabet
	tRow    = 384 // 3 × 64: rows of four values out of the two halves, or framing
	tMark   = 576
	tLen    = 640
	tLane   = 704
	t16     = 768
	t20     = 832
	tPair   = 896 // 2 × 64: 32 characters of two values each
	tOne    = 1024
	tRowK   = 1088 // 3 × 8: where a row's byte is a character
	tMarkK  = 1112
	tBitsK  = 1120 // 2 × 8: which bytes of the permutations stand for a byte
)

// Offsets in decTables.
const (
	dDigit  = 0   // 128: digit by character
	dMark   = 128 // 64: what the mark adds to the first digit of a value
	dWeight = 192 // 64: weights of the two digits of a byte
	dPack   = 256 // 64: low bytes of words
	dLast   = 320 // 64: last byte of every lane
	d16     = 384
	d1      = 448
	d15     = 512
	dLane   = 576
	d20     = 640
	dHigh   = 704 // 64: high bytes of words
	d32     = 768 // 64: 0, 32 as double words, alternating
	d14     = 832
)

var kernel = flag.String("kernel", "rows", "rows, bits, at, reverse or secondary")

func main() {
	flag.Parse()
	ConstraintExpr("!purego")
	switch *kernel {
	case "rows":
		forward("oneRowsAVX512", "writes rows of pair-coded values", true, false)
	case "bits":
		forward("oneBitsAVX512", "writes rows of values coded in 5 or 6 bits a character", false, false)
	case "at":
		forward("oneAtAVX512", "writes 32 pair-coded characters a value, each at its place", true, true)
	case "reverse":
		reverse()
	case "secondary":
		secondary()
	}
	Generate()
}

type k struct {
	args, base, cur, out, res, next, enc, done reg.GPVirtual
}

func ld(m Mem) reg.VecVirtual {
	z := ZMM()
	VMOVDQU64(m, z)
	return z
}

func start(name, doc string) *k {
	TEXT(name, NOSPLIT, "func(a *byte) int")
	Pragma("noescape")
	Doc(name + " " + doc + ", 16 at a time, and returns how many values it did: it stops before a group with a value that is not its own to do.")
	c := &k{args: Load(Param("a"), GP64()).(reg.GPVirtual)}
	p := func(off int) reg.GPVirtual {
		r := GP64()
		MOVQ(Mem{Base: c.args, Disp: off}, r)
		return r
	}
	c.base, c.cur, c.out = p(aBase), p(aSpans), p(aDst)
	c.done = GP64()
	XORQ(c.done, c.done)
	return c
}

func (c *k) arg(off int) Mem { return Mem{Base: c.args, Disp: off} }

// fits leaves ZF=0 when one of the 16 spans at p does not fit: empty, too long, too
// near the end of the arena.
func (c *k) fits(p reg.Register, tables reg.Register, one int) {
	a, b, o := ZMM(), ZMM(), ld(Mem{Base: tables, Disp: one})
	VMOVDQU64(Mem{Base: p}, a)
	VMOVDQU64(Mem{Base: p, Disp: 64}, b)
	VPSUBD(o, a, a)
	VPSUBD(o, b, b)
	VPMAXUD(b, a, a)
	m := K()
	VPCMPUD(Imm(6), c.arg(aLimits), a, m)
	KORTESTW(m, m)
}

func sched(r, at int, s reg.Register) reg.VecVirtual {
	z := ZMM()
	VBROADCASTI32X4(Mem{Base: s, Disp: at + 16*r}, z)
	return z
}

// encoder turns blocks into characters.
type encoder struct {
	c        *k
	pair, at bool
	P        [2]reg.VecVirtual
	S        [4]reg.VecVirtual
	mark     reg.VecVirtual
	markK    reg.OpmaskVirtual
	place    reg.VecVirtual
	atp      reg.GPVirtual
}

func newEncoder(c *k, pair, at bool) *encoder {
	e := &encoder{c: c, pair: pair, at: at}
	t := c.enc
	use := func(r *reg.VecVirtual, at int) { *r = ld(Mem{Base: t, Disp: at}) }
	use(&e.P[0], tPrefix)
	use(&e.S[0], tSuffix)
	if pair {
		use(&e.S[2], tSuffix+2*64)
	} else {
		use(&e.P[1], tPrefix+64)
		use(&e.S[1], tSuffix+64)
	}
	if pair {
		e.mark = ld(Mem{Base: t, Disp: tMark})
		e.markK = K()
		KMOVQ(Mem{Base: t, Disp: tMarkK}, e.markK)
	}
	if !at {
		e.place = YMM()
		VMOVDQU64(c.arg(aPlace), e.place)
	} else {
		e.atp = GP64()
		MOVQ(c.arg(aAt), e.atp)
	}
	if !at {
		c.res = GP64()
		MOVQ(c.arg(aOut), c.res)
	}
	return e
}

func (e *encoder) group(v reg.VecVirtual) {
	t := e.c.enc
	p, s := ZMM(), ZMM()
	if e.pair {
		m := K()
		VPSRLW(Imm(1), v, p)
		VPERMI2B(Mem{Base: t, Disp: tPrefix + 64}, e.P[0], p)
		VPERMB(e.mark, p, e.markK, p)
		VMOVDQA64(v, s)
		VPMOVB2M(v, m)
		VPERMI2B(Mem{Base: t, Disp: tSuffix + 64}, e.S[0], s)
		x := ZMM()
		VMOVDQA64(v, x)
		VPERMI2B(Mem{Base: t, Disp: tSuffix + 3*64}, e.S[2], x)
		VMOVDQU8(x, m, s)
	} else {
		m, n := K(), K()
		KMOVQ(Mem{Base: t, Disp: tBitsK}, m)
		KMOVQ(Mem{Base: t, Disp: tBitsK + 8}, n)
		VPERMB_Z(v, e.P[0], m, p)
		VPERMB_Z(v, e.P[1], n, s)
		VPMULTISHIFTQB(p, e.S[0], p)
		VPMULTISHIFTQB(s, e.S[0], s)
		VPERMB(e.S[1], p, p)
		VPERMB(e.S[1], s, s)
	}
	if e.at {
		for h := range 2 {
			r := ZMM()
			VMOVDQU64(Mem{Base: t, Disp: tPair + 64*h}, r)
			VPERMI2B(s, p, r)
			o := GP64()
			MOVL(Mem{Base: e.atp, Disp: 8 * h}, o.As32())
			VMOVDQU64(r.AsY(), Mem{Base: e.c.out, Index: o, Scale: 1})
			o = GP64()
			MOVL(Mem{Base: e.atp, Disp: 8*h + 4}, o.As32())
			VEXTRACTI64X4(Imm(1), r, Mem{Base: e.c.out, Index: o, Scale: 1})
		}
		ADDQ(Imm(16), e.atp)
		return
	}
	for i := range 3 {
		r := ZMM()
		VMOVDQU64(Mem{Base: t, Disp: tRow + 64*i}, r)
		m := K()
		KMOVQ(Mem{Base: t, Disp: tRowK + 8*i}, m)
		VPERMI2B(s, p, m, r)
		if i < 2 {
			VMOVDQU64(r, Mem{Base: e.c.out, Disp: 64 * i})
		} else {
			VMOVDQU64(r.AsY(), Mem{Base: e.c.out, Disp: 128})
		}
	}
	VMOVDQU64(e.place, Mem{Base: e.c.res})
	VPADDD(e.c.arg(aStep), e.place, e.place)
	ADDQ(Imm(32), e.c.res)
	ADDQ(e.c.arg(aStride), e.c.out)
}

func forward(name, doc string, pair, at bool) {
	c := start(name, doc)
	c.enc = GP64()
	MOVQ(c.arg(aEnc), c.enc)
	e := newEncoder(c, pair, at)
	s := GP64()
	MOVQ(c.arg(aSched), s)
	li, lane, c16, c20 := ld(Mem{Base: c.enc, Disp: tLen}), ld(Mem{Base: c.enc, Disp: tLane}), ld(Mem{Base: c.enc, Disp: t16}), ld(Mem{Base: c.enc, Disp: t20})
	kb := laneMasks()
	var x, y, nx [4]reg.VecVirtual
	for i := range x {
		x[i], y[i], nx[i] = ZMM(), ZMM(), ZMM()
	}
	text := ZMM()
	c.next = GP64()
	gather := func(g int) {
		L := ZMM()
		VBROADCASTI64X4(Mem{Base: c.cur, Disp: 32 * g}, L)
		VPERMB(L, li, L)
		v := nx[g]
		loadLanes(c.base, c.cur, 32*g, kb, v)
		m, in := K(), K()
		VPCMPUB(Imm(5), L, lane, m) // lane >= L: padding
		KNOTQ(m, in)
		w := ZMM()
		VPSUBB_Z(c20, v, in, w)
		if g == 0 {
			VMOVDQA64(w, text)
		} else {
			VPMAXUB(w, text, text)
		}
		VPSUBB(L, c16, m, v)
	}
	// isText leaves ZF=0 when a byte of the gathered group is not plain text.
	isText := func() {
		m := K()
		VPCMPUB(Imm(6), c.arg(aText), text, m)
		KORTESTQ(m, m)
	}
	CMPQ(c.arg(aN), Imm(16))
	JL(LabelRef("ret"))
	c.fits(c.cur, c.enc, tOne)
	JNE(LabelRef("ret"))
	for g := range 4 {
		gather(g)
	}
	isText()
	JNE(LabelRef("ret"))
	more := GP64()
	Label("loop")
	{
		k0 := sched(0, sOne, s)
		for g := range x {
			VPXORQ(k0, nx[g], x[g])
		}
	}
	SUBQ(Imm(16), c.arg(aN))
	LEAQ(Mem{Base: c.cur, Disp: 128}, c.next)
	XORQ(more, more)
	CMPQ(c.arg(aN), Imm(16))
	JL(LabelRef("go"))
	c.fits(c.next, c.enc, tOne)
	JNE(LabelRef("go"))
	MOVQ(c.next, c.cur)
	INCQ(more)
	Label("go")
	TESTQ(c.done, c.done)
	JEQ(LabelRef("first"))
	rounds(s, sOne, x[:], func(r int) {
		switch r {
		case 1, 4, 7, 10:
			e.group(y[r/3])
		case 2, 5, 8, 11:
			gather(r / 3)
		}
	}, wide.AESENC)
	Label("last")
	{
		kl := sched(14, sOne, s)
		for g := range x {
			wide.AESENCLAST(kl, x[g], y[g])
		}
	}
	ADDQ(Imm(16), c.done)
	TESTQ(more, more)
	JEQ(LabelRef("drain"))
	isText()
	JEQ(LabelRef("loop"))
	Label("drain")
	for g := range 4 {
		e.group(y[g])
	}
	Label("ret")
	VZEROUPPER()
	Store(c.done, ReturnIndex(0))
	RET()
	Label("first")
	rounds(s, sOne, x[:], func(r int) {
		switch r {
		case 2, 5, 8, 11:
			gather(r / 3)
		}
	}, wide.AESENC)
	JMP(LabelRef("last"))
}

func laneMasks() (kb [3]reg.OpmaskVirtual) {
	t := GP32()
	for i, m := range []uint32{0x00f0, 0x0f00, 0xf000} {
		kb[i] = K()
		MOVL(U32(m), t)
		KMOVW(t, kb[i])
	}
	return kb
}

// loadLanes loads 16 bytes of each of the four values whose spans are at sp+disp.
func loadLanes(base, sp reg.Register, disp int, kb [3]reg.OpmaskVirtual, v reg.VecVirtual) {
	o := GP64()
	MOVL(Mem{Base: sp, Disp: disp}, o.As32())
	VBROADCASTI32X4(Mem{Base: base, Index: o, Scale: 1}, v)
	for j := 1; j < 4; j++ {
		o := GP64()
		MOVL(Mem{Base: sp, Disp: disp + 8*j}, o.As32())
		VBROADCASTI32X4(Mem{Base: base, Index: o, Scale: 1}, kb[j-1], v)
	}
}

func rounds(s reg.Register, at int, x []reg.VecVirtual, between func(r int), round func(k, x, y Op)) {
	for r := 1; r < 14; r++ {
		kr := sched(r, at, s)
		for g := range x {
			round(kr, x[g], x[g])
		}
		if between != nil {
			between(r)
		}
	}
}

// decoder reads characters into blocks.
type decoder struct {
	c                           *k
	t                           reg.GPVirtual
	low, bad, big, weight, pack reg.VecVirtual
}

func newDecoder(c *k) *decoder {
	d := &decoder{c: c, t: GP64(), bad: ZMM(), big: ZMM()}
	MOVQ(c.arg(aDec), d.t)
	d.low = ld(Mem{Base: d.t, Disp: dDigit})
	d.weight, d.pack = ld(Mem{Base: d.t, Disp: dWeight}), ld(Mem{Base: d.t, Disp: dPack})
	return d
}

func (d *decoder) clear() {
	VPXORQ(d.bad, d.bad, d.bad)
	VPXORQ(d.big, d.big, d.big)
}

// group decodes the four values whose spans are at cur + 32 g.
func (d *decoder) group(g int, into reg.VecVirtual) {
	half := func(first int) reg.VecVirtual {
		o := GP64()
		a, v := ZMM(), ZMM()
		MOVL(Mem{Base: d.c.cur, Disp: 32*g + 8*first}, o.As32())
		VBROADCASTI64X4(Mem{Base: d.c.base, Index: o, Scale: 1}, a)
		o = GP64()
		MOVL(Mem{Base: d.c.cur, Disp: 32*g + 8*first + 8}, o.As32())
		VINSERTI64X4(Imm(1), Mem{Base: d.c.base, Index: o, Scale: 1}, a, a)
		VMOVDQA64(a, v)
		VPERMI2B(Mem{Base: d.t, Disp: dDigit + 64}, d.low, v)
		VPTERNLOGQ(Imm(0xfe), a, v, d.bad)
		VPSUBB(Mem{Base: d.t, Disp: dMark}, v, v)
		VPMADDUBSW(d.weight, v, v)
		VPORQ(v, d.big, d.big)
		return v
	}
	a := half(0)
	b := half(2)
	VMOVDQA64(d.pack, into)
	VPERMI2B(b, a, into)
}

// check leaves ZF=0 when a character of the decoded group was bad.
func (d *decoder) check() {
	m, n := K(), K()
	VPMOVB2M(d.bad, m)
	VPTESTMW(Mem{Base: d.t, Disp: dHigh}, d.big, n)
	KORQ(n, m, m)
	KORTESTQ(m, m)
}

// opener checks padding and text of decrypted blocks.
type opener struct {
	d     *decoder
	count int // where the greatest padding less 1 stands
	wrong reg.OpmaskVirtual
	text  reg.VecVirtual
}

func newOpener(d *decoder, count int) *opener {
	return &opener{d: d, count: count, wrong: K(), text: ZMM()}
}

func (o *opener) clear() {
	KXORQ(o.wrong, o.wrong, o.wrong)
	VPXORQ(o.text, o.text, o.text)
}

func (o *opener) tab(off int) Mem { return Mem{Base: o.d.t, Disp: off} }

func (o *opener) group(v reg.VecVirtual) {
	p, l, w := ZMM(), ZMM(), ZMM()
	m, in, n := K(), K(), K()
	VPSHUFB(o.tab(dLast), v, p)
	VPADDB(o.tab(dLane), p, l)
	VPCMPUB(Imm(5), o.tab(d16), l, m) // lane + count >= 16: padding
	KNOTQ(m, in)
	VPCMPUB(Imm(4), p, v, m, n) // padding, and not the count
	KORQ(n, o.wrong, o.wrong)
	VPSUBB(o.tab(d1), p, p)
	n = K()
	VPCMPUB(Imm(6), o.tab(o.count), p, n) // count below 1 or too great
	KORQ(n, o.wrong, o.wrong)
	VPSUBB_Z(o.tab(d20), v, in, w)
	VPMAXUB(w, o.text, o.text)
}

// check leaves ZF=0 when a block is not padded text.
func (o *opener) check() {
	m := K()
	VPCMPUB(Imm(6), o.d.c.arg(aText), o.text, m)
	KORQ(m, o.wrong, m)
	KORTESTQ(m, m)
}

func reverse() {
	c := start("oneReverseAVX512", "reads pair-coded pseudonyms of 32 characters and writes their values and what stands between")
	d := newDecoder(c)
	o := newOpener(d, d15)
	s := GP64()
	MOVQ(c.arg(aSched), s)
	c.res = GP64()
	MOVQ(c.arg(aOut), c.res)
	local := AllocLocal(256 + 64)
	scratch := GP64() // aligned, so that what emit reads is forwarded from the stores
	LEAQ(local.Offset(63), scratch)
	ANDQ(I32(-64), scratch)
	sep := GP64()
	MOVL(c.arg(aSep), sep.As32())
	var x, y, nx [4]reg.VecVirtual
	for i := range x {
		x[i], y[i], nx[i] = ZMM(), ZMM(), ZMM()
	}
	c.next = GP64()
	emit := func(g int) {
		for j := range 4 {
			v, l, off, both := XMM(), GP64(), GP64(), GP64()
			VMOVDQU64(Mem{Base: scratch, Disp: 64*g + 16*j}, v)
			MOVBQZX(Mem{Base: scratch, Disp: 64*g + 16*j + 15}, both)
			MOVL(U32(16), l.As32())
			SUBQ(both, l)
			MOVQ(l, both)
			SHLQ(Imm(32), both)
			MOVQ(c.out, off)
			SUBQ(c.arg(aFrom), off)
			ORQ(off, both)
			MOVQ(both, Mem{Base: c.res, Disp: 8 * j})
			VMOVDQU64(v, Mem{Base: c.out})
			MOVL(sep.As32(), Mem{Base: c.out, Index: l, Scale: 1})
			ADDQ(c.arg(aSepLen), l)
			ADDQ(l, c.out)
		}
		ADDQ(Imm(32), c.res)
	}
	CMPQ(c.arg(aN), Imm(16))
	JL(LabelRef("ret"))
	fitsReverse(c, d, c.cur)
	JNE(LabelRef("ret"))
	d.clear()
	for g := range 4 {
		d.group(g, nx[g])
	}
	d.check()
	JNE(LabelRef("ret"))
	more := GP64()
	Label("loop")
	{
		k0 := sched(0, sInv, s)
		for g := range x {
			VPXORQ(k0, nx[g], x[g])
		}
	}
	SUBQ(Imm(16), c.arg(aN))
	LEAQ(Mem{Base: c.cur, Disp: 128}, c.next)
	XORQ(more, more)
	CMPQ(c.arg(aN), Imm(16))
	JL(LabelRef("go"))
	fitsReverse(c, d, c.next)
	JNE(LabelRef("go"))
	MOVQ(c.next, c.cur)
	INCQ(more)
	Label("go")
	d.clear()
	TESTQ(c.done, c.done)
	JEQ(LabelRef("first"))
	rounds(s, sInv, x[:], func(r int) {
		switch r {
		case 1, 4, 7, 10:
			emit(r / 3)
		case 2, 5, 8, 11:
			d.group(r/3, nx[r/3])
		}
	}, wide.AESDEC)
	Label("last")
	o.clear()
	{
		kl := sched(14, sInv, s)
		for g := range x {
			wide.AESDECLAST(kl, x[g], y[g])
		}
	}
	for g := range y {
		o.group(y[g])
	}
	o.check()
	JNE(LabelRef("ret")) // the last group is written already, this one is not
	for g := range y {
		VMOVDQU64(y[g], Mem{Base: scratch, Disp: 64 * g})
	}
	ADDQ(Imm(16), c.done)
	TESTQ(more, more)
	JEQ(LabelRef("drain"))
	d.check()
	JEQ(LabelRef("loop"))
	Label("drain")
	for g := range 4 {
		emit(g)
	}
	Label("ret")
	z := ZMM() // no value stays on the stack
	VPXORQ(z, z, z)
	for g := range 4 {
		VMOVDQU64(z, Mem{Base: scratch, Disp: 64 * g})
	}
	SUBQ(c.arg(aDst), c.out)
	MOVQ(c.out, c.arg(aWrote))
	VZEROUPPER()
	Store(c.done, ReturnIndex(0))
	RET()
	Label("first")
	rounds(s, sInv, x[:], func(r int) {
		switch r {
		case 2, 5, 8, 11:
			d.group(r/3, nx[r/3])
		}
	}, wide.AESDEC)
	JMP(LabelRef("last"))
}

// fitsReverse leaves ZF=0 unless the 16 spans at p all have 32 bytes and lie within
// the arena: the limits are (greatest offset, 0) after the length is counted from 32.
func fitsReverse(c *k, d *decoder, p reg.Register) { c.fits(p, d.t, d32) }

func secondary() {
	c := start("oneSecondaryAVX512", "turns pair-coded pseudonyms of 32 characters into rows of others, the values in registers only")
	c.enc = GP64()
	MOVQ(c.arg(aEnc), c.enc)
	d := newDecoder(c)
	e := newEncoder(c, true, false)
	s, s2 := GP64(), GP64()
	MOVQ(c.arg(aSched), s)
	MOVQ(c.arg(aSched2), s2)
	var x, y, nx [4]reg.VecVirtual
	for i := range x {
		x[i], y[i], nx[i] = ZMM(), ZMM(), ZMM()
	}
	o := newOpener(d, d14) // 16 of 16 is the empty value: not one for the next cipher
	c.next = GP64()
	CMPQ(c.arg(aN), Imm(16))
	JL(LabelRef("ret"))
	fitsReverse(c, d, c.cur)
	JNE(LabelRef("ret"))
	d.clear()
	for g := range 4 {
		d.group(g, nx[g])
	}
	d.check()
	JNE(LabelRef("ret"))
	more := GP64()
	Label("loop")
	{
		k0 := sched(0, sInv, s)
		for g := range x {
			VPXORQ(k0, nx[g], x[g])
		}
	}
	TESTQ(c.done, c.done)
	JEQ(LabelRef("first"))
	rounds(s, sInv, x[:], func(r int) {
		switch r {
		case 1, 4, 7, 10:
			e.group(y[r/3])
		}
	}, wide.AESDEC)
	Label("middle")
	o.clear()
	{
		kl, k0 := sched(14, sInv, s), sched(0, sOne, s2)
		for g := range x {
			wide.AESDECLAST(kl, x[g], x[g])
			o.group(x[g])
			VPXORQ(k0, x[g], x[g])
		}
	}
	o.check()
	JNE(LabelRef("ret")) // the last group is written already, this one is not
	SUBQ(Imm(16), c.arg(aN))
	LEAQ(Mem{Base: c.cur, Disp: 128}, c.next)
	XORQ(more, more)
	CMPQ(c.arg(aN), Imm(16))
	JL(LabelRef("go"))
	fitsReverse(c, d, c.next)
	JNE(LabelRef("go"))
	MOVQ(c.next, c.cur)
	INCQ(more)
	Label("go")
	d.clear()
	rounds(s2, sOne, x[:], func(r int) {
		switch r {
		case 2, 5, 8, 11:
			d.group(r/3, nx[r/3])
		}
	}, wide.AESENC)
	{
		kl := sched(14, sOne, s2)
		for g := range x {
			wide.AESENCLAST(kl, x[g], y[g])
		}
	}
	ADDQ(Imm(16), c.done)
	TESTQ(more, more)
	JEQ(LabelRef("drain"))
	d.check()
	JEQ(LabelRef("loop"))
	Label("drain")
	for g := range 4 {
		e.group(y[g])
	}
	Label("ret")
	VZEROUPPER()
	Store(c.done, ReturnIndex(0))
	RET()
	Label("first")
	rounds(s, sInv, x[:], nil, wide.AESDEC)
	JMP(LabelRef("middle"))
}
