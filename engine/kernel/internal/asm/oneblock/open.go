package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/vaes"
)

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

// keep loads the tables once before the loop, for kernels with registers to spare.
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

// opener checks padding and text of decrypted blocks. In a valid block every byte of the
// value minus 0x20 is at most 0x5e, and every byte of the padding equals the last byte,
// which is at most the limit. A block without padding fails too: its last byte would be 0,
// which is no text.
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

// group checks four blocks and returns the last byte of each in all bytes of its lane.
func (o *opener) group(g int, v reg.VecVirtual) reg.VecVirtual {
	p, w, e := ZMM(), ZMM(), ZMM()
	in := K()
	VPSHUFB(o.last, v, p)
	VPCMPUB(Imm(2), o.edge, p, in) // last byte <= 15 - position: the byte belongs to the value
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

// check leaves ZF=0 when a block is not padded text or a padding length in pads is above the
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

// open prints the kernel from texts to values: one function, whose registers live from end
// to end.
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
	// Offsets of the values of the last group, and of their ends.
	const ends = 64
	local := AllocLocal(128 + 64)
	group := GP64()
	LEAQ(local.Offset(63), group)
	ANDQ(I32(-64), group)
	lanes := laneKs()
	ones16 := bcast(Mem{Base: d.t, Disp: decodeTables.At("c16d")})
	p := newPipeline(c)
	// Before there is a group to write, undefined blocks are written where the first group
	// will be.
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
	// lay computes the offsets of the 16 values whose padding is in pads.
	lay := func(pads reg.VecVirtual) {
		l, step, sum, t := ZMM(), ZMM(), ZMM(), ZMM()
		c15 := ld(Mem{Base: d.t, Disp: decodeTables.At("c15d")})
		VPSRLD(Imm(24), pads, l)
		VPSUBD(l, ones16, l)
		VPADDD_BCST(c.arg(args.At("sepLen")), l, step)
		// Prefix sums within each lane, then the totals of the lanes before.
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
	JNE(LabelRef("ret")) // the previous group is written already; this one is refused
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

// laneKs returns masks of the double words from the second, third and last lane on.
func laneKs() (ks [3]reg.OpmaskVirtual) {
	t := GP32()
	for i, m := range []uint32{0xfff0, 0xff00, 0xf000} {
		ks[i] = K()
		MOVL(U32(m), t)
		KMOVW(t, ks[i])
	}
	return ks
}

// fitsText leaves ZF=0 unless the 16 spans at p all have 32 bytes and lie within the arena.
// It subtracts 32 from each length, so limits holds the greatest offset and 0.
func fitsText(c *k, d *decoder, p reg.Register) { c.fits(p, d.t, decodeTables.At("c32")) }

// translate prints the kernel from texts under one key to texts under another. It is one
// function since what it prints is: registers live from end to end.
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
	// One group is deciphered while the previous one is enciphered.
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
	o.check(pads, decodeTables.At("c15")) // a padding of 16 is the empty value, which this kernel does not encipher
	JEQ(LabelRef("opened"))
	ANDQ(Imm(2), p.flight) // the group after it is refused too
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
