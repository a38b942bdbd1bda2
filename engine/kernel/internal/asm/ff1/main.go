// Command ff1 writes the FF1 kernels for whole values in AVX-512 with VAES.
//
//	go run ./ff1 -out ../../ff1/ff1_avx512_amd64.s
package main

import (
	"flag"
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
	"github.com/velonym/velonym/engine/kernel/internal/asm/vaes"
)

func main() {
	flag.Parse()
	ConstraintExpr("!purego")
	makeTables()
	whole("shortAVX512", false)
	whole("longAVX512", true)
	Generate()
}

// The structs that a kernel reads for one length of text and for one of its halves.
var (
	offsets = layout.Of("ff1", "wholeShape")
	half    = layout.Of("ff1", "modulus")
)

// Shuffles of 16 bytes, and other constants.
var evenBlock, oddBlock, swap64, upper32, two32, one, char0 Mem

func table(name string, b [16]byte) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	DATA(0, String(b[:]))
	return m
}

func makeTables() {
	const none = 0x80
	var e, o, s, u [16]byte
	for i := range 16 {
		e[i], o[i], s[i], u[i] = none, none, byte(i&8|7-i&7), none
	}
	for i := range 8 {
		e[8+i], o[8+i] = byte(7-i), byte(15-i)
	}
	for i := range 4 {
		u[i], u[8+i] = byte(3-i), byte(8+3-i)
	}
	evenBlock, oddBlock = table("ff1EvenBlock", e), table("ff1OddBlock", o)
	swap64, upper32 = table("ff1Swap64", s), table("ff1Upper32", u)
	two32 = GLOBL("ff1Two32", RODATA|NOPTR)
	DATA(0, U64(math.Float64bits(1<<32)))
	one = GLOBL("ff1One", RODATA|NOPTR)
	DATA(0, U64(1))
}

// argument loads an argument from the stack.
func argument(name string, offset int) reg.GPVirtual {
	r := GP64()
	MOVQ(NewParamAddr(name, offset), r)
	return r
}

func broadcast(m Mem) reg.VecVirtual {
	z := ZMM()
	VBROADCASTI32X4(m, z)
	return z
}

// first16 loads up to 16 bytes to the first lane of z and zeros to the others. avo would
// assume that the other lanes keep their content, hence the instruction is declared here.
func first16(m Mem, k reg.OpmaskVirtual, z reg.VecVirtual) {
	Instruction(&ir.Instruction{
		Opcode:   "VMOVDQU8",
		Suffixes: []string{"Z"},
		Operands: []Op{m, k, z.AsX()},
		Inputs:   []Op{m, k},
		Outputs:  []Op{z},
	})
}

// whole writes a kernel that transforms groups of 32 values from text to text. Short values
// have up to 16 characters, so that one register lane holds a value; long ones have halves
// of up to 16.
// It is one function since what it prints is: registers live from end to end.
func whole(name string, long bool) {
	TEXT(name, NOSPLIT, "func(shape, text, keys *byte, lastKey int, chain *byte, base, dst *byte, spans, to *uint32, groups, dec int) int")
	shape := argument("shape", 0)
	at := func(disp int) Mem { return Mem{Base: shape, Disp: disp} }

	whitened := ZMM()
	{
		keys, chain := argument("keys", 16), argument("chain", 32)
		VBROADCASTI32X4(Mem{Base: keys}, whitened)
		t := broadcast(Mem{Base: chain})
		VPXORQ(t, whitened, whitened)
	}
	var a, c [4]reg.VecVirtual
	for g := range a {
		a[g], c[g] = ZMM(), ZMM()
	}

	Label("group")
	Comment("Text to numerals: two tables of 64, by the seven lower bits.")
	bad := ZMM()
	VPXORQ(bad, bad, bad)
	{
		text, base, spans := argument("text", 8), argument("base", 40), argument("spans", 56)
		t0, t1 := ZMM(), ZMM()
		VMOVDQU64(Mem{Base: text}, t0)
		VMOVDQU64(Mem{Base: text, Disp: 64}, t1)
		pairs, fours := ZMM(), ZMM()
		VPBROADCASTD(at(offsets.At("pairs")), pairs)
		VPBROADCASTD(at(offsets.At("fours")), fours)
		// read returns the characters of four values, half of a register group's eight, one in
		// each lane.
		read := func(first int, mask int, begin int) reg.VecVirtual {
			k := K()
			KMOVQ(at(mask), k)
			p := GP64()
			MOVQ(base, p)
			if begin >= 0 {
				ADDQ(at(begin), p)
			}
			var z reg.VecVirtual
			for lane := range 4 {
				off := GP64()
				MOVL(Mem{Base: spans, Disp: 8 * (first + lane)}, off.As32())
				if lane == 0 {
					z = ZMM()
					first16(Mem{Base: p, Index: off, Scale: 1}, k, z)
					continue
				}
				x := XMM()
				VMOVDQU8_Z(Mem{Base: p, Index: off, Scale: 1}, k, x)
				VINSERTI32X4(U8(lane), x, z, z)
			}
			y := ZMM()
			VMOVDQA64(z, y)
			VPERMI2B_Z(t1, t0, k, y)
			VPTERNLOGQ(U8(0xfe), y, z, bad)
			return y
		}
		// join turns numerals, eight in each 64-bit lane, into numbers.
		join := func(z reg.VecVirtual) {
			VPMADDUBSW(pairs, z, z)
			VPMADDWD(fours, z, z)
			t := ZMM()
			VPSRLQ(U8(32), z, t)
			VPMULUDQ_BCST(at(offsets.At("r4")), z, z)
			VPADDQ(t, z, z)
		}
		for g := range 4 {
			if !long {
				place := broadcast(at(offsets.At("place")))
				x, y := read(8*g, offsets.At("maskN"), -1), read(8*g+4, offsets.At("maskN"), -1)
				for _, z := range []reg.VecVirtual{x, y} {
					VPSHUFB(place, z, z)
					join(z)
				}
				VPUNPCKLQDQ(y, x, a[g])
				VPUNPCKHQDQ(y, x, c[g])
				continue
			}
			for h, half := range []reg.VecVirtual{a[g], c[g]} {
				mask, begin := []int{offsets.At("maskA"), offsets.At("maskB")}[h], []int{offsets.At("beginA"), offsets.At("beginB")}[h]
				x, y := read(8*g, mask, begin), read(8*g+4, mask, begin)
				join(x)
				join(y)
				t := ZMM()
				VPUNPCKLQDQ(y, x, half)
				VPUNPCKHQDQ(y, x, t)
				VPMULLQ_BCST(at(offsets.At("r8")), half, half)
				VPADDQ(t, half, half)
			}
		}
		k := K()
		VPMOVB2M(bad, k)
		KORTESTQ(k, k)
		JNE(LabelRef("end"))
	}

	even, odd, round, step, turn := GP64(), GP64(), GP64(), GP64(), GP64()
	LEAQ(at(offsets.At("half")), even)
	LEAQ(at(offsets.At("half")+half.Size), odd)
	LEAQ(at(offsets.At("rounds")), round)
	MOVQ(U32(16), step)
	MOVQ(U32(10), turn)
	exchange := func(label string) {
		dec := argument("dec", 80)
		TESTQ(dec, dec)
		JEQ(LabelRef(label))
		for g := range a {
			t := ZMM()
			VMOVDQA64(a[g], t)
			VMOVDQA64(c[g], a[g])
			VMOVDQA64(t, c[g])
		}
	}
	exchange("round")
	XCHGQ(even, odd)
	ADDQ(U32(9*16), round)
	NEGQ(step)

	Label("round")
	{
		var e, o [4]reg.VecVirtual
		key := ZMM()
		VBROADCASTI32X4(Mem{Base: round}, key)
		VPXORQ(whitened, key, key)
		se, so := broadcast(evenBlock), broadcast(oddBlock)
		for g := range 4 {
			e[g], o[g] = ZMM(), ZMM()
			VPSHUFB(se, c[g], e[g])
			VPXORQ(key, e[g], e[g])
			VPSHUFB(so, c[g], o[g])
			VPXORQ(key, o[g], o[g])
		}
		keys, left := argument("keys", 16), argument("lastKey", 24)
		DECQ(left)
		Label("aes")
		ADDQ(U32(16), keys)
		key = broadcast(Mem{Base: keys})
		for g := range 4 {
			vaes.AESENC(key, e[g], e[g])
			vaes.AESENC(key, o[g], o[g])
		}
		DECQ(left)
		JNE(LabelRef("aes"))
		key = broadcast(Mem{Base: keys, Disp: 16})
		for g := range 4 {
			vaes.AESENCLAST(key, e[g], e[g])
			vaes.AESENCLAST(key, o[g], o[g])
		}
		swap, m, inv := broadcast(swap64), ZMM(), ZMM()
		VPBROADCASTQ(Mem{Base: even, Disp: half.At("m")}, m)
		VBROADCASTSD(Mem{Base: even, Disp: half.At("inv")}, inv)
		// Words 2 and 3 of the blocks are kept in o for the wide case.
		for g := range 4 {
			t := ZMM()
			VPUNPCKHQDQ(o[g], e[g], t)
			VPUNPCKLQDQ(o[g], e[g], e[g])
			VMOVDQA64(t, o[g])
			VPSHUFB(swap, e[g], e[g])
		}
		reduce := func(y reg.VecVirtual, f reg.VecVirtual) {
			q, t := ZMM(), ZMM()
			VMULPD(inv, f, q)
			VCVTTPD2UQQ(q, q)
			VPMULLQ(m, q, q)
			VPSUBQ(q, y, y)
			VPSUBQ(m, y, t)
			VPMINUQ(t, y, y)
		}
		fold := GP64()
		MOVQ(at(offsets.At("fold")), fold)
		TESTQ(fold, fold)
		JEQ(LabelRef("narrow"))
		Comment("A small modulus: first 2^32 is replaced by its remainder.")
		{
			low := ZMM()
			ones := GP64()
			MOVL(I32(-1), ones.As32())
			VPBROADCASTQ(ones, low)
			for g := range 4 {
				t := ZMM()
				VPSRLQ(U8(32), e[g], t)
				VPANDQ(low, e[g], e[g])
				VPMULUDQ_BCST(Mem{Base: even, Disp: half.At("fold")}, t, t)
				VPADDQ(t, e[g], e[g])
			}
		}
		Label("narrow")
		for g := range 4 {
			f := ZMM()
			VCVTUQQ2PD(e[g], f)
			reduce(e[g], f)
		}
		broad := GP64()
		MOVQ(at(offsets.At("wide")), broad)
		TESTQ(broad, broad)
		JEQ(LabelRef("add"))
		Comment("96 bits: the remainder of the upper 64 goes before the lower 32.")
		{
			up, two := broadcast(upper32), ZMM()
			VBROADCASTSD(two32, two)
			for g := range 4 {
				f, l := ZMM(), ZMM()
				VPSHUFB(up, o[g], o[g])
				VCVTUQQ2PD(o[g], l)
				VCVTUQQ2PD(e[g], f)
				VFMADD213PD(l, two, f)
				VPSLLQ(U8(32), e[g], e[g])
				VPADDQ(o[g], e[g], e[g])
				reduce(e[g], f)
			}
		}
		Label("add")
		dec := argument("dec", 80)
		TESTQ(dec, dec)
		JNE(LabelRef("subtract"))
		for g := range 4 {
			t := ZMM()
			VPADDQ(e[g], a[g], e[g])
			VPSUBQ(m, e[g], t)
			VMOVDQA64(c[g], a[g])
			VPMINUQ(t, e[g], c[g])
		}
		JMP(LabelRef("next"))
		Label("subtract")
		for g := range 4 {
			t := ZMM()
			VPSUBQ(e[g], a[g], e[g])
			VPADDQ(m, e[g], t)
			VMOVDQA64(c[g], a[g])
			VPMINUQ(t, e[g], c[g])
		}
	}
	Label("next")
	XCHGQ(even, odd)
	ADDQ(step, round)
	DECQ(turn)
	JNE(LabelRef("round"))
	exchange("format")

	Label("format")
	{
		text, dst, to := argument("text", 8), argument("dst", 48), argument("to", 64)
		t0, t1 := ZMM(), ZMM()
		VMOVDQU64(Mem{Base: text, Disp: 128}, t0)
		VMOVDQU64(Mem{Base: text, Disp: 192}, t1)
		// halve splits x into its quotient by a power of the radix and the rest,
		// which stays in x.
		halve := func(x reg.VecVirtual, power, inverse int) reg.VecVirtual {
			q, t, m := ZMM(), ZMM(), ZMM()
			k := K()
			VPBROADCASTQ(at(power), m)
			VCVTUQQ2PD(x, q)
			VMULPD_BCST(at(inverse), q, q)
			VCVTTPD2UQQ(q, q)
			VPMULLQ(m, q, t)
			VPSUBQ(t, x, x)
			VPCMPUQ(U8(5), m, x, k) // x >= m
			VPSUBQ(m, x, k, x)
			VPADDQ_BCST(one, q, k, q)
			return q
		}
		// split turns numbers below radix^8 into eight numerals each.
		split := func(x reg.VecVirtual) {
			q := halve(x, offsets.At("r4"), offsets.At("invR4"))
			VPSLLQ(U8(32), x, x)
			VPORQ(q, x, x)
			count := XMM()
			t, u := ZMM(), ZMM()
			VMOVQ(at(offsets.At("shift2")), count)
			VPSRLQ(U8(32), x, t)
			VPMULUDQ_BCST(at(offsets.At("mul2")), x, u)
			VPMULUDQ_BCST(at(offsets.At("mul2")), t, t)
			VPSRLQ(count, u, u)
			VPSRLQ(count, t, t)
			VPSLLQ(U8(32), t, t)
			VPORQ(u, t, t) // quotients by radix^2, below 2^14
			VPBROADCASTQ(at(offsets.At("r2")), u)
			VPMADDWD(u, t, u)
			VPSUBD(u, x, x)
			VPSLLD(U8(16), x, x)
			VPORD(t, x, x)
			VPBROADCASTQ(at(offsets.At("mul1")), u)
			VMOVQ(at(offsets.At("shift1")), count)
			VPMULHUW(u, x, t)
			VPSRLW(count, t, t) // quotients by the radix
			VPBROADCASTQ(at(offsets.At("r1")), u)
			VPMULLW(u, t, u)
			VPSUBW(u, x, x)
			VPSLLW(U8(8), x, x)
			VPORQ(t, x, x)
		}
		write := func(z reg.VecVirtual, first, mask, begin int) {
			VPERMI2B(t1, t0, z)
			k := K()
			KMOVQ(at(mask), k)
			p := GP64()
			MOVQ(dst, p)
			if begin >= 0 {
				ADDQ(at(begin), p)
			}
			for lane := range 4 {
				off := GP64()
				MOVL(Mem{Base: to, Disp: 4 * (first + lane)}, off.As32())
				x := z.AsX()
				if lane > 0 {
					y := XMM()
					VEXTRACTI32X4(U8(lane), z, y)
					VMOVDQU8(y, k, Mem{Base: p, Index: off, Scale: 1})
					continue
				}
				VMOVDQU8(x, k, Mem{Base: p, Index: off, Scale: 1})
			}
		}
		for g := range 4 {
			if !long {
				split(a[g])
				split(c[g])
				pack := broadcast(at(offsets.At("pack")))
				x, y := ZMM(), ZMM()
				VPUNPCKLQDQ(c[g], a[g], x)
				VPUNPCKHQDQ(c[g], a[g], y)
				VPSHUFB(pack, x, x)
				VPSHUFB(pack, y, y)
				write(x, 8*g, offsets.At("maskN"), -1)
				write(y, 8*g+4, offsets.At("maskN"), -1)
				continue
			}
			for h, half := range []reg.VecVirtual{a[g], c[g]} {
				mask, begin := []int{offsets.At("maskA"), offsets.At("maskB")}[h], []int{offsets.At("beginA"), offsets.At("beginB")}[h]
				q := halve(half, offsets.At("r8"), offsets.At("invR8"))
				split(q)
				split(half)
				x, y := ZMM(), ZMM()
				VPUNPCKLQDQ(half, q, x)
				VPUNPCKHQDQ(half, q, y)
				write(x, 8*g, mask, begin)
				write(y, 8*g+4, mask, begin)
			}
		}
	}
	ADDQ(U32(256), NewParamAddr("spans", 56))
	ADDQ(U32(128), NewParamAddr("to", 64))
	DECQ(NewParamAddr("groups", 72))
	JNE(LabelRef("group"))
	Label("end")
	left := argument("groups", 72)
	MOVQ(left, NewParamAddr("ret", 88))
	VZEROUPPER()
	RET()
}
