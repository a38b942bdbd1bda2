// Command oneblock generates the AVX-512 kernels of one-block values: forward in rows,
// forward scattered, backward, from one key to another. They are software-pipelined over groups of 16
// values: while one group is read, one goes through the first half of its AES rounds,
// one through the second, and one is written. Two groups under AES are as many
// independent blocks as the unit takes to hide its latency, and what is read and
// written runs beside it.
//
//	go run ./oneblock -kernel rows|bits|at|open|translate -out ../../hctr2/x_avx512_amd64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
	"github.com/velonym/velonym/engine/kernel/internal/asm/vaes"
)

var (
	args         = layout.Of("hctr2", "oneBlockArgs")
	schedule     = layout.Of("hctr2", "schedule")
	encodeTables = layout.Of("textform", "EncodeTables")
	decodeTables = layout.Of("textform", "DecodeTables")
)

// In schedule, 15 round keys, each four times: of encryption and of decryption.
var (
	sOne = schedule.At("broadcast")
	sInv = schedule.At("broadcast") + 15*64
)

var kernel = flag.String("kernel", "rows", "rows, bits, at, open or translate")

func main() {
	flag.Parse()
	ConstraintExpr("!purego")
	switch *kernel {
	case "rows":
		forward("oneBlockRowsAVX512", "writes rows of pair-coded values", true, false)
	case "bits":
		forward("oneBlockBitsAVX512", "writes rows of values coded in 5 or 6 bits a character", false, false)
	case "at":
		forward("oneBlockAtAVX512", "writes 32 pair-coded characters a value, each at its place", true, true)
	case "open":
		open()
	case "translate":
		translate()
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
	c.base, c.cur, c.out = p(args.At("base")), p(args.At("spans")), p(args.At("dst"))
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
	VPCMPUD(Imm(6), c.arg(args.At("limits")), a, m)
	KORTESTW(m, m)
}

func sched(r, at int, s reg.Register) reg.VecVirtual {
	return ld(Mem{Base: s, Disp: at + 64*r})
}

// encoder turns blocks into characters.
type encoder struct {
	c        *k
	pair, at bool
	P        [2]reg.VecVirtual
	S        [2]reg.VecVirtual
	mark     reg.VecVirtual
	markK    reg.OpmaskVirtual
	rowK     [3]reg.OpmaskVirtual // a mask costs as much to load as a round of AES
	place    reg.VecVirtual
	atp      reg.GPVirtual
}

func newEncoder(c *k, pair, at bool) *encoder {
	e := &encoder{c: c, pair: pair, at: at}
	tab := func(at int) reg.VecVirtual { return ld(Mem{Base: c.enc, Disp: at}) }
	e.P[0] = tab(encodeTables.At("prefix"))
	if pair {
		e.S[0], e.S[1], e.mark = tab(encodeTables.At("tens")), tab(encodeTables.At("digit")), tab(encodeTables.At("mark"))
		e.markK = K()
		KMOVQ(Mem{Base: c.enc, Disp: encodeTables.At("markK")}, e.markK)
	} else {
		e.P[1], e.S[0], e.S[1] = tab(encodeTables.At("prefix")+64), tab(encodeTables.At("suffix")), tab(encodeTables.At("suffix")+64)
	}
	if at {
		e.atp = GP64()
	} else {
		c.res, e.place = GP64(), YMM()
		for i := range e.rowK {
			e.rowK[i] = K()
			KMOVQ(Mem{Base: c.enc, Disp: encodeTables.At("rowK") + 8*i}, e.rowK[i])
		}
	}
	e.begin()
	return e
}

// begin sets out for the first results.
func (e *encoder) begin() {
	MOVQ(e.c.arg(args.At("dst")), e.c.out)
	if e.at {
		MOVQ(e.c.arg(args.At("at")), e.atp)
	} else {
		MOVQ(e.c.arg(args.At("out")), e.c.res)
		VMOVDQU64(e.c.arg(args.At("place")), e.place)
	}
}

func (e *encoder) group(v reg.VecVirtual) {
	t := e.c.enc
	p, s := ZMM(), ZMM()
	if e.pair {
		// What stands before a byte's second digit, by half the byte, leaves the digit.
		VPSRLW(Imm(1), v, p)
		VMOVDQA64(p, s)
		VPERMI2B(Mem{Base: t, Disp: encodeTables.At("prefix") + 64}, e.P[0], p)
		VPERMI2B(Mem{Base: t, Disp: encodeTables.At("tens") + 64}, e.S[0], s)
		VPERMB(e.mark, p, e.markK, p)
		VPSUBB(s, v, s)
		VPERMB(e.S[1], s, s)
	} else {
		m, n := K(), K()
		KMOVQ(Mem{Base: t, Disp: encodeTables.At("bitsK")}, m)
		KMOVQ(Mem{Base: t, Disp: encodeTables.At("bitsK") + 8}, n)
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
			VMOVDQU64(Mem{Base: t, Disp: encodeTables.At("pair") + 64*h}, r)
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
		VMOVDQU64(Mem{Base: t, Disp: encodeTables.At("row") + 64*i}, r)
		VPERMI2B(s, p, e.rowK[i], r)
		if i < 2 {
			VMOVDQU64(r, Mem{Base: e.c.out, Disp: 64 * i})
		} else {
			VMOVDQU64(r.AsY(), Mem{Base: e.c.out, Disp: 128})
		}
	}
	VMOVDQU64(e.place, Mem{Base: e.c.res})
	VPADDD(e.c.arg(args.At("step")), e.place, e.place)
	ADDQ(Imm(32), e.c.res)
	ADDQ(e.c.arg(args.At("stride")), e.c.out)
}

// pipeline is four groups on their way, and which of them there are.
type pipeline struct {
	c             *k
	read          [4]reg.VecVirtual
	first, second [4]reg.VecVirtual // under AES
	write         [4]reg.VecVirtual
	flight        reg.GPVirtual // bits: read, first, write
	more          reg.GPVirtual // 1: a group is being read
}

func newPipeline(c *k) *pipeline {
	p := &pipeline{c: c, flight: GP64(), more: GP64()}
	c.next = GP64()
	for g := range 4 {
		p.read[g] = ZMM()
		for _, set := range []*[4]reg.VecVirtual{&p.first, &p.second, &p.write} {
			set[g] = ZMM()
			VPXORQ(set[g], set[g], set[g])
		}
	}
	return p
}

// start goes to ret if there is no group to read.
func (p *pipeline) start(fits func(at reg.Register)) {
	CMPQ(p.c.arg(args.At("n")), Imm(16))
	JL(LabelRef("ret"))
	fits(p.c.cur)
	JNE(LabelRef("ret"))
	MOVQ(U32(1), p.flight)
}

// advance goes on to the next group if there is one; if not, the last one is read once
// more, which does no harm.
func (p *pipeline) advance(fits func(at reg.Register)) {
	c := p.c
	XORQ(p.more, p.more)
	SUBQ(Imm(16), c.arg(args.At("n")))
	LEAQ(Mem{Base: c.cur, Disp: 128}, c.next)
	CMPQ(c.arg(args.At("n")), Imm(16))
	JL(LabelRef("advanced"))
	fits(c.next)
	JNE(LabelRef("stop"))
	MOVQ(c.next, c.cur)
	INCQ(p.more)
	JMP(LabelRef("advanced"))
	Label("stop")
	MOVQ(U32(0), c.arg(args.At("n")))
	Label("advanced")
}

// shift moves the groups on, good leaving ZF=0 unless the one that was read is to be
// taken, and goes to loop while any is under way.
func (p *pipeline) shift(good func()) {
	good()
	JEQ(LabelRef("taken"))
	Label("refused")
	XORQ(p.more, p.more)
	MOVQ(U32(0), p.c.arg(args.At("n")))
	Label("taken")
	ANDQ(Imm(3), p.flight)
	LEAQ(Mem{Base: p.more, Index: p.flight, Scale: 2}, p.flight)
	TESTQ(U32(3), p.flight)
	JNE(LabelRef("loop"))
}

// wrote counts the group written in this turn, or if there was none sets out anew: what
// stands in its place will be written over.
func (p *pipeline) wrote(e *encoder) {
	ADDQ(Imm(16), p.c.done)
	TESTQ(U32(4), p.flight)
	JNE(LabelRef("written"))
	XORQ(p.c.done, p.c.done)
	e.begin()
	Label("written")
}

// halves runs the first seven rounds of one group beside the others of another, with
// what is between after every round of either. What writes a group belongs late: early
// on its last rounds are still under way, and what waits for them keeps the rest from
// being looked at.
func (p *pipeline) halves(s reg.Register, at int, between func(i int), round, last func(k, x, y Op)) {
	k8, k0 := sched(8, at, s), sched(0, at, s)
	for g := range 4 {
		round(k8, p.first[g], p.second[g])
	}
	for g := range 4 {
		VPXORQ(k0, p.read[g], p.first[g])
	}
	i := 0
	turn := func(r int, x *[4]reg.VecVirtual) {
		kr := sched(r, at, s)
		for g := range 4 {
			round(kr, x[g], x[g])
		}
		between(i)
		i++
	}
	for r := 1; r < 8; r++ {
		turn(r, &p.first)
		if r < 6 {
			turn(8+r, &p.second)
		}
	}
	kl := sched(14, at, s)
	for g := range 4 {
		last(kl, p.second[g], p.write[g])
	}
}

func forward(name, doc string, pair, at bool) {
	c := start(name, doc)
	c.enc = GP64()
	MOVQ(c.arg(args.At("encode")), c.enc)
	s := GP64()
	MOVQ(c.arg(args.At("schedule")), s)
	e := newEncoder(c, pair, at)
	li := [2]reg.VecVirtual{ld(Mem{Base: c.enc, Disp: encodeTables.At("length")}), ld(Mem{Base: c.enc, Disp: encodeTables.At("second")})}
	lane, c16, c20 := ld(Mem{Base: c.enc, Disp: encodeTables.At("lane")}), Mem{Base: c.enc, Disp: encodeTables.At("c16")}, Mem{Base: c.enc, Disp: encodeTables.At("c20")}
	p := newPipeline(c)
	text := ZMM()
	gather := func(g int) {
		L, n := ZMM(), ZMM()
		VPERMB(Mem{Base: c.cur, Disp: g / 2 * 64}, li[g%2], L)
		v := p.read[g]
		var at [4]Mem
		for j := range at {
			o := GP64()
			MOVL(Mem{Base: c.cur, Disp: 32*g + 8*j}, o.As32())
			at[j] = Mem{Base: c.base, Index: o, Scale: 1}
		}
		vaes.Load4(at, v)
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
		VMOVDQU64(c16, n)
		VPSUBB(L, n, m, v)
	}
	// isText leaves ZF=0 when a byte of the gathered group is not plain text.
	isText := func() {
		m := K()
		VPCMPUB(Imm(6), c.arg(args.At("text")), text, m)
		KORTESTQ(m, m)
	}
	fits := func(at reg.Register) { c.fits(at, c.enc, encodeTables.At("one")) }
	p.start(fits)
	for g := range 4 {
		gather(g)
	}
	isText()
	JNE(LabelRef("ret"))
	Label("loop")
	p.advance(fits)
	p.halves(s, sOne, func(i int) {
		switch i {
		case 1, 3, 5, 7:
			gather(i / 2)
		case 8, 9, 10, 11:
			e.group(p.write[i-8])
		}
	}, vaes.AESENC, vaes.AESENCLAST)
	p.wrote(e)
	p.shift(isText)
	for g := range 4 {
		e.group(p.write[g])
	}
	ADDQ(Imm(16), c.done)
	Label("ret")
	VZEROUPPER()
	Store(c.done, ReturnIndex(0))
	RET()
}

// decoder reads characters into blocks.
type decoder struct {
	c                  *k
	t                  reg.GPVirtual
	low, bad, big      reg.VecVirtual
	high, mark, weight Op
}

func newDecoder(c *k) *decoder {
	d := &decoder{c: c, t: GP64(), bad: ZMM(), big: ZMM()}
	MOVQ(c.arg(args.At("decode")), d.t)
	d.low = ld(Mem{Base: d.t, Disp: decodeTables.At("digit")})
	d.high, d.mark, d.weight = Mem{Base: d.t, Disp: decodeTables.At("digit") + 64}, Mem{Base: d.t, Disp: decodeTables.At("mark")}, Mem{Base: d.t, Disp: decodeTables.At("weight")}
	return d
}

// keep loads the tables once for all, where there are registers to spare.
func (d *decoder) keep() {
	for _, t := range []*Op{&d.high, &d.mark, &d.weight} {
		*t = ld((*t).(Mem))
	}
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
		o2 := GP64()
		MOVL(Mem{Base: d.c.cur, Disp: 32*g + 8*first + 8}, o2.As32())
		vaes.Load2(Mem{Base: d.c.base, Index: o, Scale: 1}, Mem{Base: d.c.base, Index: o2, Scale: 1}, a)
		VMOVDQA64(a, v)
		VPERMI2B(d.high, d.low, v)
		VPTERNLOGQ(Imm(0xfe), a, v, d.bad)
		VPSUBB(d.mark, v, v)
		VPMADDUBSW(d.weight, v, v)
		return v
	}
	a := half(0)
	b := half(2)
	VPTERNLOGQ(Imm(0xfe), a, b, d.big)
	VMOVDQU64(Mem{Base: d.t, Disp: decodeTables.At("pack")}, into)
	VPERMI2B(b, a, into)
}

// check leaves ZF=0 when a character of the decoded group was bad.
func (d *decoder) check() {
	m, n := K(), K()
	VPMOVB2M(d.bad, m)
	VPTESTMW(Mem{Base: d.t, Disp: decodeTables.At("high")}, d.big, n)
	KORQ(n, m, m)
	KORTESTQ(m, m)
}

// opener checks padding and text of decrypted blocks. Of a block of padded ASCII, less
// 0x20 where the value is, the greatest byte is 0x5e, and where the padding is all are
// its last byte, which is not above the limit. No padding at all does not pass for
// text: its last byte is 0.
type opener struct {
	d           *decoder
	last        Op // constants
	edge, c20   Op
	wrong, text reg.VecVirtual
}

func newOpener(d *decoder) *opener {
	tab := func(off int) Op { return Mem{Base: d.t, Disp: off} }
	return &opener{d: d, last: tab(decodeTables.At("last")), edge: tab(decodeTables.At("edge")), c20: tab(decodeTables.At("c20")), wrong: ZMM(), text: ZMM()}
}

// group takes four blocks and returns their last bytes, in all bytes of their lanes.
func (o *opener) group(g int, v reg.VecVirtual) reg.VecVirtual {
	p, w, e := ZMM(), ZMM(), ZMM()
	in := K()
	VPSHUFB(o.last, v, p)
	VPCMPUB(Imm(2), o.edge, p, in) // last byte <= 15 - place: value
	VPBLENDMB(v, p, in, e)
	if g == 0 {
		VPSUBB_Z(o.c20, v, in, o.text)
		VPXORQ(e, v, o.wrong)
		return p
	}
	VPSUBB_Z(o.c20, v, in, w)
	VPMAXUB(w, o.text, o.text)
	VPTERNLOGQ(Imm(0xf6), e, v, o.wrong) // wrong | e ^ v
	return p
}

// check leaves ZF=0 when a block is not padded text, or a padding in pads above the
// limit.
func (o *opener) check(pads reg.VecVirtual, limit int) {
	t, u, m := ZMM(), ZMM(), K()
	VPSUBUSB(Mem{Base: o.d.t, Disp: decodeTables.At("c5e")}, o.text, t)
	VPSUBUSB(Mem{Base: o.d.t, Disp: limit}, pads, u)
	VPTERNLOGQ(Imm(0xfe), t, u, o.wrong)
	VPTESTMQ(o.wrong, o.wrong, m)
	KORTESTW(m, m)
}

func bcast(m Mem) reg.VecVirtual {
	z := ZMM()
	VPBROADCASTD(m, z)
	return z
}

func open() {
	c := start("oneBlockOpenAVX512", "reads pair-coded pseudonyms of 32 characters and writes their values and what stands between")
	d := newDecoder(c)
	d.keep()
	o := newOpener(d)
	s, from, sep := GP64(), GP64(), GP64()
	MOVQ(c.arg(args.At("schedule")), s)
	c.res = GP64()
	MOVQ(c.arg(args.At("out")), c.res)
	MOVQ(c.arg(args.At("from")), from)
	MOVL(c.arg(args.At("sep")), sep.As32())
	place := ZMM() // where the next value goes
	SUBQ(from, c.out)
	VPBROADCASTD(c.out.As32(), place)
	// Where the values of the last group go, and where they end.
	const ends = 64
	local := AllocLocal(128 + 64)
	group := GP64()
	LEAQ(local.Offset(63), group)
	ANDQ(I32(-64), group)
	lanes := laneKs()
	ones16 := bcast(Mem{Base: d.t, Disp: decodeTables.At("c16d")})
	p := newPipeline(c)
	// Before there is a group to write, blocks of no value go where the first one will.
	for i := range 2 {
		VMOVDQA64(place, Mem{Base: group, Disp: 64 * i})
	}
	emit := func(g int) {
		v := p.write[g]
		for j := range 4 {
			at, end := GP64(), GP64()
			MOVL(Mem{Base: group, Disp: 16*g + 4*j}, at.As32())
			to := Mem{Base: from, Index: at, Scale: 1}
			switch j {
			case 0:
				VMOVDQU64(v.AsX(), to)
			case 2:
				hi := ZMM()
				vaes.High(v, hi)
				v = hi
				VMOVDQU64(v.AsX(), to)
			default:
				VEXTRACTI32X4(Imm(1), v.AsY(), to)
			}
			MOVL(Mem{Base: group, Disp: ends + 16*g + 4*j}, end.As32())
			MOVL(sep.As32(), Mem{Base: from, Index: end, Scale: 1})
		}
	}
	// lay works out where the 16 values of which pads holds the padding go.
	lay := func(pads reg.VecVirtual) {
		l, step, sum, t := ZMM(), ZMM(), ZMM(), ZMM()
		c15 := ld(Mem{Base: d.t, Disp: decodeTables.At("c15d")})
		VPSRLD(Imm(24), pads, l)
		VPSUBD(l, ones16, l)
		VPADDD_BCST(c.arg(args.At("sepLen")), l, step)
		// Sums within the lanes, then of the lanes before.
		VPSLLDQ(Imm(4), step, t)
		VPADDD(t, step, sum)
		VPSLLDQ(Imm(8), sum, t)
		VPADDD(t, sum, sum)
		VPSHUFD(Imm(0xff), sum, t)
		for i, shuffle := range []uint64{0x90, 0x40, 0x00} {
			u := ZMM()
			VSHUFI32X4_Z(Imm(shuffle), t, t, lanes[i], u)
			VPADDD(u, sum, sum)
		}
		VPADDD(place, sum, sum)
		off, end := ZMM(), ZMM()
		VPSUBD(step, sum, off)
		VPADDD(l, off, end)
		VPERMD(sum, c15, place)
		VMOVDQA64(off, Mem{Base: group})
		VMOVDQA64(end, Mem{Base: group, Disp: ends})
		for h := range 2 {
			r := ld(Mem{Base: d.t, Disp: decodeTables.At("spans") + 64*h})
			VPERMI2D(l, off, r)
			VMOVDQU64(r, Mem{Base: c.res, Disp: 64 * h})
		}
		ADDQ(U32(128), c.res)
	}
	fits := func(at reg.Register) { fitsText(c, d, at) }
	p.start(fits)
	d.clear()
	for g := range 4 {
		d.group(g, p.read[g])
	}
	d.check()
	JNE(LabelRef("ret"))
	Label("loop")
	p.advance(fits)
	d.clear()
	p.halves(s, sInv, func(i int) {
		switch i {
		case 1, 3, 5, 7:
			d.group(i/2, p.read[i/2])
		case 8, 9, 10, 11:
			emit(i - 8)
		}
	}, vaes.AESDEC, vaes.AESDECLAST)
	TESTQ(U32(2), p.flight)
	JEQ(LabelRef("laid"))
	var pads [2]reg.VecVirtual
	for h := range pads {
		a, b := o.group(2*h, p.write[2*h]), o.group(2*h+1, p.write[2*h+1])
		pads[h] = ld(Mem{Base: d.t, Disp: decodeTables.At("lens")})
		VPERMI2D(b, a, pads[h])
	}
	VINSERTI64X4(Imm(1), pads[1].AsY(), pads[0], pads[0])
	o.check(pads[0], decodeTables.At("c16"))
	JNE(LabelRef("ret")) // the last group is written already, this one is not
	lay(pads[0])
	ADDQ(Imm(16), c.done)
	Label("laid")
	p.shift(d.check)
	for g := range 4 {
		emit(g)
	}
	Label("ret")
	wrote := GP64()
	VMOVD(place.AsX(), wrote.As32())
	ADDQ(from, wrote)
	SUBQ(c.arg(args.At("dst")), wrote)
	MOVQ(wrote, c.arg(args.At("wrote")))
	VZEROUPPER()
	Store(c.done, ReturnIndex(0))
	RET()
}

// laneKs are the double words from the second, third and last lane on.
func laneKs() (ks [3]reg.OpmaskVirtual) {
	t := GP32()
	for i, m := range []uint32{0xfff0, 0xff00, 0xf000} {
		ks[i] = K()
		MOVL(U32(m), t)
		KMOVW(t, ks[i])
	}
	return ks
}

// fitsText leaves ZF=0 unless the 16 spans at p all have 32 bytes and lie within
// the arena: the limits are (greatest offset, 0) after the length is counted from 32.
func fitsText(c *k, d *decoder, p reg.Register) { c.fits(p, d.t, decodeTables.At("c32")) }

func translate() {
	c := start("oneBlockTranslateAVX512", "turns pair-coded pseudonyms of 32 characters into rows of others, the values in registers only")
	c.enc = GP64()
	MOVQ(c.arg(args.At("encode")), c.enc)
	d := newDecoder(c)
	e := newEncoder(c, true, false)
	s, s2 := GP64(), GP64()
	MOVQ(c.arg(args.At("schedule")), s)
	MOVQ(c.arg(args.At("target")), s2)
	o := newOpener(d)
	p := newPipeline(c)
	fits := func(at reg.Register) { fitsText(c, d, at) }
	p.start(fits)
	d.clear()
	for g := range 4 {
		d.group(g, p.read[g])
	}
	d.check()
	JNE(LabelRef("ret"))
	Label("loop")
	p.advance(fits)
	d.clear()
	// One group is deciphered, the one before it enciphered.
	{
		k0 := sched(0, sInv, s)
		for g := range 4 {
			VPXORQ(k0, p.read[g], p.first[g])
		}
	}
	for r := 1; r < 14; r++ {
		k1 := sched(r, sInv, s)
		for g := range 4 {
			vaes.AESDEC(k1, p.first[g], p.first[g])
		}
		k2 := sched(r, sOne, s2)
		for g := range 4 {
			vaes.AESENC(k2, p.second[g], p.second[g])
		}
		switch r {
		case 2, 4, 6, 8:
			d.group(r/2-1, p.read[r/2-1])
		case 9, 10, 11, 12:
			e.group(p.write[r-9])
		}
	}
	{
		k1, k2 := sched(14, sOne, s2), sched(14, sInv, s)
		for g := range 4 {
			vaes.AESENCLAST(k1, p.second[g], p.write[g])
			vaes.AESDECLAST(k2, p.first[g], p.first[g])
		}
	}
	p.wrote(e)
	pads, k0 := ZMM(), sched(0, sOne, s2)
	for g := range 4 {
		if last := o.group(g, p.first[g]); g == 0 {
			VMOVDQA64(last, pads)
		} else {
			VPMAXUB(last, pads, pads)
		}
		VPXORQ(k0, p.first[g], p.second[g])
	}
	TESTQ(U32(1), p.flight)
	JEQ(LabelRef("opened"))
	o.check(pads, decodeTables.At("c15")) // 16 of 16 is the empty value: not one for the next cipher
	JEQ(LabelRef("opened"))
	ANDQ(Imm(2), p.flight) // nor is what comes after it taken
	JMP(LabelRef("refused"))
	Label("opened")
	p.shift(d.check)
	TESTQ(U32(4), p.flight)
	JEQ(LabelRef("ret"))
	for g := range 4 {
		e.group(p.write[g])
	}
	ADDQ(Imm(16), c.done)
	Label("ret")
	VZEROUPPER()
	Store(c.done, ReturnIndex(0))
	RET()
}
