// Command oneblock generates the AVX-512 kernels of one-block values: forward in rows,
// forward scattered, backward, and from one key to another. They are software-pipelined over
// groups of 16 values: while one group is read, another goes through the first half of its
// AES rounds, a third through the second half, and a fourth is written. Two groups under AES
// give the AES unit enough independent blocks to hide its latency; reading and writing use
// other units meanwhile.
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

// Offsets in schedule of the 15 round keys, each repeated in four lanes: of encryption and
// of decryption.
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

// fits leaves ZF=0 when one of the 16 spans at p does not fit: when it is empty, too long, or
// too near the end of the arena.
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
	rowK     [3]reg.OpmaskVirtual // kept loaded: loading a mask costs as much as a round of AES
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

// begin sets the pointers to where the first results go.
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
		// s is what the first digit stands for, found by half the byte; v - s is the second digit.
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

// pipeline holds the groups of the four stages.
type pipeline struct {
	c             *k
	read          [4]reg.VecVirtual
	first, second [4]reg.VecVirtual // under AES
	write         [4]reg.VecVirtual
	flight        reg.GPVirtual // bits of the stages that hold a group: read, first, write
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

// start jumps to ret if there is no group to read.
func (p *pipeline) start(fits func(at reg.Register)) {
	CMPQ(p.c.arg(args.At("n")), Imm(16))
	JL(LabelRef("ret"))
	fits(p.c.cur)
	JNE(LabelRef("ret"))
	MOVQ(U32(1), p.flight)
}

// advance moves to the next group if there is one; if not, the last one is read again, which
// does no harm.
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

// shift moves every group to its next stage and jumps to loop while any stage holds one. good
// leaves ZF=0 when the group just read is to be refused.
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

// wrote counts the group written in this iteration. If there was none yet, it begins again:
// the next iteration overwrites what was written.
func (p *pipeline) wrote(e *encoder) {
	ADDQ(Imm(16), p.c.done)
	TESTQ(U32(4), p.flight)
	JNE(LabelRef("written"))
	XORQ(p.c.done, p.c.done)
	e.begin()
	Label("written")
}

// halves interleaves the first seven rounds of one group with the other rounds of another,
// and calls between after every round of either. Instructions that write a group belong
// late: early on its last rounds are still running, and instructions that wait for them
// fill the CPU's queue and keep later ones from starting.
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
	// isText leaves ZF=0 when a byte of the gathered group is not plain ASCII text.
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
