// Command hmac writes the HMAC-SHA-256 kernels: sixteen lanes in AVX-512 (-tier
// avx512), two streams of SHA-NI (-tier avx2), two streams of the instructions
// of ARMv8 (-tier arm64).
package main

import (
	"flag"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// roundConstants are the 64 words of FIPS 180-4, section 4.2.2.
var roundConstants = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

func main() {
	tier := flag.String("tier", "", "avx512, avx2 or arm64")
	flag.Parse()
	if *tier == "arm64" {
		neon(flag.Lookup("out").Value.String())
		return
	}
	ConstraintExpr("!purego")
	switch *tier {
	case "avx512":
		avx512()
	case "avx2":
		shani()
	default:
		panic(fmt.Sprintf("no tier %q", *tier))
	}
	Generate()
}

// words writes a read-only table.
func words(name string, w []uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, x := range w {
		DATA(4*i, U32(x))
	}
	return m
}

// swap32 is the shuffle that reverses the bytes of each 32-bit word.
var swap32 = []uint32{0x00010203, 0x04050607, 0x08090a0b, 0x0c0d0e0f}

const (
	xor3  = 0x96 // a ⊕ b ⊕ c
	pick  = 0xca // a ? b : c
	major = 0xe8
)

// avx512 writes the kernel that hashes sixteen values at a time, one in each 32-bit lane.
// It is one function since what it prints is: registers live from end to end.
func avx512() {
	k64 := words("hmacK512", roundConstants[:])
	swap := words("hmacSwap512", swap32)
	var odd []uint32
	for i := range uint32(16) {
		odd = append(odd, 2*i+1)
	}
	lengths := words("hmacLengths512", odd)

	TEXT("hmacAVX512", NOSPLIT, "func(mid *uint32, base *byte, spans *uint32, counters *uint64, groups, blocks, short int, dst *byte)")
	base := Load(Param("base"), GP64())
	frame := AllocLocal(8 * 64)
	before := GP64() // bytes of the message before the value: 8 with counters, else 0
	XORQ(before, before)
	{
		eight, counters := GP64(), argument("counters", 24)
		MOVQ(U32(8), eight)
		TESTQ(counters, counters)
		CMOVQNE(eight, before)
	}

	var w [16]reg.VecVirtual
	var s [8]reg.VecVirtual
	for i := range w {
		w[i] = ZMM()
	}
	for i := range s {
		s[i] = ZMM()
	}
	t := GP64() // blocks done
	at := GP64()

	Label("group")
	{
		t0, mid := ZMM(), argument("mid", 0)
		for i := range 8 {
			VPBROADCASTD(Mem{Base: mid, Disp: 4 * i}, t0)
			VMOVDQU64(t0, frame.Offset(64*i))
		}
	}
	XORQ(t, t)
	spans := argument("spans", 16)
	{
		short := argument("short", 48)
		TESTQ(short, short)
	}
	JNE(LabelRef("short"))

	Comment("Block t of every value: masked to its bytes, 0x80 behind the last.")
	Label("block")
	{
		sw, end := ZMM(), ZMM()
		VBROADCASTI32X4(swap, sw)
		c80 := GP32()
		MOVL(U32(0x80), c80)
		VPBROADCASTB(c80, end)
		MOVQ(t, at)
		SHLQ(U8(6), at)
		SUBQ(before, at) // offset of the block in the value
		ones, zero, low := GP64(), GP64(), GP64()
		MOVQ(I32(-1), ones)
		XORQ(zero, zero)
		Comment("The first block of values with counters begins before the value.")
		MOVQ(ones, low)
		TESTQ(at, at)
		skip := GP64()
		MOVQ(I32(-256), skip)
		CMOVQLT(skip, low)
		for i := range 16 {
			off, rem, more, m := GP64(), GP64(), GP64(), GP64()
			MOVL(Mem{Base: spans, Disp: 8 * i}, off.As32())
			MOVL(Mem{Base: spans, Disp: 8*i + 4}, rem.As32())
			ADDQ(base, off)
			SUBQ(at, rem)                       // bytes of the value from the block's start on
			LEAQ(Mem{Base: rem, Disp: 1}, more) // the same plus the byte 0x80
			clamp := func(x reg.GPVirtual) {
				top := GP64()
				TESTQ(x, x)
				CMOVQLT(zero, x)
				MOVQ(U32(65), top)
				CMPQ(x, top)
				CMOVQGT(top, x)
			}
			clamp(rem)
			clamp(more)
			BZHIQ(rem, ones, m)
			BZHIQ(more, ones, more)
			XORQ(m, more)
			ANDQ(low, m)
			km, ke := K(), K()
			KMOVQ(m, km)
			KMOVQ(more, ke)
			VMOVDQU8_Z(Mem{Base: off, Index: at, Scale: 1}, km, w[i])
			VMOVDQU8(end, ke, w[i])
			VPSHUFB(sw, w[i], w[i])
		}
	}
	transpose(w[:])
	TESTQ(at, at)
	JGE(LabelRef("counted"))
	Comment("The counter of every value, eight bytes big endian, are the first two words.")
	{
		lo, hi, even, odds := ZMM(), ZMM(), ZMM(), ZMM()
		counters := argument("counters", 24)
		VMOVDQU64(Mem{Base: counters}, lo)
		VMOVDQU64(Mem{Base: counters, Disp: 64}, hi)
		VMOVDQU64(lengths, odds)
		VMOVDQA64(odds, w[0])
		one := GP32()
		MOVL(U32(1), one)
		VPBROADCASTD(one, even)
		VPSUBD(even, odds, even)
		VPERMI2D(hi, lo, w[0]) // upper halves
		VMOVDQA64(even, w[1])
		VPERMI2D(hi, lo, w[1])
	}
	Label("counted")
	Comment("The last block ends in the length of all in bits; its upper half is zero.")
	INCQ(t)
	{
		blocks := argument("blocks", 40)
		CMPQ(t, blocks)
	}
	JNE(LabelRef("compress"))
	lastWord := func() {
		lo, hi, add := ZMM(), ZMM(), ZMM()
		VMOVDQU64(Mem{Base: spans}, lo)
		VMOVDQU64(Mem{Base: spans, Disp: 64}, hi)
		VMOVDQU64(lengths, w[15])
		VPERMI2D(hi, lo, w[15])
		n := GP64()
		LEAQ(Mem{Base: before, Disp: 64}, n)
		VPBROADCASTD(n.As32(), add)
		VPADDD(add, w[15], w[15])
		VPSLLD(U8(3), w[15], w[15])
	}
	lastWord()
	JMP(LabelRef("compress"))

	Comment("One block of values of up to 15 bytes: four words, and the length.")
	Label("short")
	INCQ(t)
	{
		sw := ZMM()
		VBROADCASTI32X4(swap, sw)
		end := XMM()
		c80 := GP32()
		MOVL(U32(0x80), c80)
		VPBROADCASTB(c80, end)
		ones := GP32()
		MOVL(I32(-1), ones)
		for i := range 4 {
			for lane := range 4 {
				j := 4*lane + i
				off, n, m, e := GP64(), GP64(), GP32(), GP32()
				MOVL(Mem{Base: spans, Disp: 8 * j}, off.As32())
				MOVL(Mem{Base: spans, Disp: 8*j + 4}, n.As32())
				BZHIL(n.As32(), ones, m)
				LEAL(Mem{Base: m.As64(), Disp: 1}, e) // the one bit above those of m
				km, ke := K(), K()
				KMOVW(m, km)
				KMOVW(e, ke)
				x := XMM()
				VMOVDQU8_Z(Mem{Base: base, Index: off, Scale: 1}, km, x)
				VMOVDQU8(end, ke, x)
				if lane == 0 {
					VMOVDQA64(x.AsZ(), w[i])
				} else {
					VINSERTI32X4(U8(lane), x, w[i], w[i])
				}
			}
			VPSHUFB(sw, w[i], w[i])
		}
		a0, a1, b0, b1 := ZMM(), ZMM(), ZMM(), ZMM()
		VPUNPCKLDQ(w[1], w[0], a0)
		VPUNPCKHDQ(w[1], w[0], a1)
		VPUNPCKLDQ(w[3], w[2], b0)
		VPUNPCKHDQ(w[3], w[2], b1)
		VPUNPCKLQDQ(b0, a0, w[0])
		VPUNPCKHQDQ(b0, a0, w[1])
		VPUNPCKLQDQ(b1, a1, w[2])
		VPUNPCKHQDQ(b1, a1, w[3])
		for i := 4; i < 15; i++ {
			VPXORD(w[i], w[i], w[i])
		}
		lastWord()
	}

	Label("compress")
	for i := range s {
		VMOVDQU64(frame.Offset(64*i), s[i])
	}
	kp, turn := GP64(), GP64()
	LEAQ(k64, kp)
	MOVQ(U32(3), turn)
	Label("sixteen")
	for i := range 16 {
		round512(s[:], w[:], kp, i)
		next512(w[:], i)
	}
	ADDQ(U32(64), kp)
	DECQ(turn)
	JNE(LabelRef("sixteen"))
	for i := range 16 {
		round512(s[:], w[:], kp, i)
	}
	for i := range s {
		VPADDD(frame.Offset(64*i), s[i], s[i])
	}
	blocks := argument("blocks", 40)
	CMPQ(t, blocks)
	JGT(LabelRef("out"))
	JEQ(LabelRef("outer"))
	for i := range s {
		VMOVDQU64(s[i], frame.Offset(64*i))
	}
	JMP(LabelRef("block"))

	Comment("The outer hash: one block of the inner one's words, 0x80 and 96 bytes in bits.")
	Label("outer")
	INCQ(t)
	for i := range s {
		VMOVDQA64(s[i], w[i])
	}
	{
		c := GP32()
		MOVL(U32(0x80000000), c)
		VPBROADCASTD(c, w[8])
		MOVL(U32(768), c)
		VPBROADCASTD(c, w[15])
		for i := 9; i < 15; i++ {
			VPXORD(w[i], w[i], w[i])
		}
		t0, mid := ZMM(), argument("mid", 0)
		for i := range 8 {
			VPBROADCASTD(Mem{Base: mid, Disp: 32 + 4*i}, t0)
			VMOVDQU64(t0, frame.Offset(64*i))
		}
	}
	JMP(LabelRef("compress"))

	Comment("Four words a value, values in order.")
	Label("out")
	{
		sw, dst := ZMM(), argument("dst", 56)
		VBROADCASTI32X4(swap, sw)
		a0, a1, b0, b1 := ZMM(), ZMM(), ZMM(), ZMM()
		r := [4]reg.VecVirtual{ZMM(), ZMM(), ZMM(), ZMM()}
		VPUNPCKLDQ(s[1], s[0], a0)
		VPUNPCKHDQ(s[1], s[0], a1)
		VPUNPCKLDQ(s[3], s[2], b0)
		VPUNPCKHDQ(s[3], s[2], b1)
		VPUNPCKLQDQ(b0, a0, r[0]) // lane l: value 4l
		VPUNPCKHQDQ(b0, a0, r[1])
		VPUNPCKLQDQ(b1, a1, r[2])
		VPUNPCKHQDQ(b1, a1, r[3])
		VSHUFI32X4(U8(0x44), r[1], r[0], a0) // r0: 0 1, r1: 0 1
		VSHUFI32X4(U8(0xee), r[1], r[0], a1) // r0: 2 3, r1: 2 3
		VSHUFI32X4(U8(0x44), r[3], r[2], b0)
		VSHUFI32X4(U8(0xee), r[3], r[2], b1)
		VSHUFI32X4(U8(0x88), b0, a0, r[0])
		VSHUFI32X4(U8(0xdd), b0, a0, r[1])
		VSHUFI32X4(U8(0x88), b1, a1, r[2])
		VSHUFI32X4(U8(0xdd), b1, a1, r[3])
		for i := range r {
			VPSHUFB(sw, r[i], r[i])
			VMOVDQU64(r[i], Mem{Base: dst, Disp: 64 * i})
		}
	}
	ADDQ(U32(256), NewParamAddr("dst", 56))
	ADDQ(U32(128), NewParamAddr("spans", 16))
	Comment("16 counters; none if there were none.")
	SHLQ(U8(4), before)
	ADDQ(before, NewParamAddr("counters", 24))
	SHRQ(U8(4), before)
	DECQ(NewParamAddr("groups", 32))
	JNE(LabelRef("group"))
	Comment("Chained states can be worked back from, so none stays on the stack.")
	{
		z := ZMM()
		VPXORD(z, z, z)
		for i := range 8 {
			VMOVDQU64(z, frame.Offset(64*i))
		}
	}
	VZEROUPPER()
	RET()
}

// argument loads an argument from the stack, for those too rarely needed to keep.
func argument(name string, offset int) reg.GPVirtual {
	r := GP64()
	MOVQ(NewParamAddr(name, offset), r)
	return r
}

// round512 writes round i. Instead of moving the state's words, each round renames the
// registers by one; after eight rounds they have their own names again.
func round512(s, w []reg.VecVirtual, kp reg.GPVirtual, i int) {
	r := func(k int) reg.VecVirtual { return s[(k-i%8+8)%8] }
	a, b, c, d, e, f, g, h := r(0), r(1), r(2), r(3), r(4), r(5), r(6), r(7)
	x, y, z := ZMM(), ZMM(), ZMM()
	VPADDD_BCST(Mem{Base: kp, Disp: 4 * i}, w[i], x)
	VPADDD(x, h, h)
	VPRORD(U8(6), e, x)
	VPRORD(U8(11), e, y)
	VPRORD(U8(25), e, z)
	VPTERNLOGD(U8(xor3), z, y, x)
	VMOVDQA64(e, y)
	VPTERNLOGD(U8(pick), g, f, y)
	VPADDD(x, h, h)
	VPADDD(y, h, h)
	VPADDD(h, d, d)
	x, y, z = ZMM(), ZMM(), ZMM()
	VPRORD(U8(2), a, x)
	VPRORD(U8(13), a, y)
	VPRORD(U8(22), a, z)
	VPTERNLOGD(U8(xor3), z, y, x)
	VMOVDQA64(a, y)
	VPTERNLOGD(U8(major), c, b, y)
	VPADDD(x, y, y)
	VPADDD(y, h, h)
}

// next512 replaces word i of the schedule by word i+16.
func next512(w []reg.VecVirtual, i int) {
	p, q := w[(i+1)%16], w[(i+14)%16]
	x, y, z := ZMM(), ZMM(), ZMM()
	VPRORD(U8(7), p, x)
	VPRORD(U8(18), p, y)
	VPSRLD(U8(3), p, z)
	VPTERNLOGD(U8(xor3), z, y, x)
	VPADDD(w[(i+9)%16], w[i], w[i])
	VPADDD(x, w[i], w[i])
	x, y, z = ZMM(), ZMM(), ZMM()
	VPRORD(U8(17), q, x)
	VPRORD(U8(19), q, y)
	VPSRLD(U8(10), q, z)
	VPTERNLOGD(U8(xor3), z, y, x)
	VPADDD(x, w[i], w[i])
}

// transpose swaps rows and columns of 16 rows of 16 words: word j of row i becomes word i
// of row j.
func transpose(w []reg.VecVirtual) {
	// Pairs of words, then of pairs, within the four lanes of 16 bytes.
	for i := 0; i < 16; i += 2 {
		x := ZMM()
		VPUNPCKHDQ(w[i+1], w[i], x)
		VPUNPCKLDQ(w[i+1], w[i], w[i])
		VMOVDQA64(x, w[i+1])
	}
	for i := 0; i < 16; i += 4 {
		x, y := ZMM(), ZMM()
		VPUNPCKHQDQ(w[i+2], w[i], x)
		VPUNPCKLQDQ(w[i+2], w[i], w[i])
		VPUNPCKHQDQ(w[i+3], w[i+1], y)
		VPUNPCKLQDQ(w[i+3], w[i+1], w[i+2])
		VMOVDQA64(x, w[i+1])
		VMOVDQA64(y, w[i+3])
	}
	// Now lane l of w[4q+c] holds word 4l+c of rows 4q to 4q+3. What follows gathers lane l
	// of every q.
	for c := range 4 {
		a, b, d, e := ZMM(), ZMM(), ZMM(), ZMM()
		VSHUFI32X4(U8(0x88), w[4+c], w[c], a) // lanes 0 2 of q = 0 and 1
		VSHUFI32X4(U8(0xdd), w[4+c], w[c], b) // lanes 1 3
		VSHUFI32X4(U8(0x88), w[12+c], w[8+c], d)
		VSHUFI32X4(U8(0xdd), w[12+c], w[8+c], e)
		VSHUFI32X4(U8(0x88), d, a, w[c])
		VSHUFI32X4(U8(0xdd), d, a, w[8+c])
		VSHUFI32X4(U8(0x88), e, b, w[4+c])
		VSHUFI32X4(U8(0xdd), e, b, w[12+c])
	}
}
