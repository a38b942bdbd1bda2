package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// shani writes the kernel that hashes two values at a time with SHA-NI.
// It is one function since what it prints is: registers live from end to end.
func shani() {
	k64 := words("hmacKSHA", roundConstants[:])
	swap := words("hmacSwapSHA", swap32)
	// The end of a block of 32 bytes of content: the end bit, zeros, and the length of a
	// message of 96 bytes in bits.
	rest := words("hmacRestSHA", []uint32{0x80000000, 0, 0, 0, 0, 0, 0, 768})

	TEXT("hmacSHANI", NOSPLIT, "func(mid *uint32, msgs *byte, pairs, blocks int, dst *byte)")
	mid := Load(Param("mid"), GP64())
	msgs := Load(Param("msgs"), GP64())
	pairs := Load(Param("pairs"), GP64())
	blocks := Load(Param("blocks"), GP64())
	dst := Load(Param("dst"), GP64())
	frame := AllocLocal(4 * 16)
	stride := GP64()
	MOVQ(blocks, stride)
	SHLQ(U8(6), stride)
	table := GP64()
	LEAQ(k64, table)
	left, next := GP64(), GP64()

	var a, c [2]reg.VecVirtual
	var m [2][4]reg.VecVirtual
	for u := range 2 {
		a[u], c[u] = XMM(), XMM()
		for i := range m[u] {
			m[u][i] = XMM()
		}
	}
	keep := func() {
		for u := range 2 {
			MOVOU(a[u], frame.Offset(32*u))
			MOVOU(c[u], frame.Offset(32*u+16))
		}
	}
	compress := func() {
		for i := range 16 {
			for u := range 2 {
				w := m[u][i%4]
				if i >= 4 {
					t := XMM()
					SHA256MSG1(m[u][(i+1)%4], w)
					MOVO(m[u][(i+3)%4], t)
					PALIGNR(U8(4), m[u][(i+2)%4], t)
					PADDD(t, w)
					SHA256MSG2(m[u][(i+3)%4], w)
				}
				MOVO(w, reg.X0)
				PADDD(Mem{Base: table, Disp: 16 * i}, reg.X0)
				SHA256RNDS2(reg.X0, a[u], c[u])
				PSHUFD(U8(0x0e), reg.X0, reg.X0)
				SHA256RNDS2(reg.X0, c[u], a[u])
			}
		}
		for u := range 2 {
			t := XMM()
			MOVOU(frame.Offset(32*u), t)
			PADDD(t, a[u])
			t = XMM()
			MOVOU(frame.Offset(32*u+16), t)
			PADDD(t, c[u])
		}
	}
	start := func(at int) {
		for u := range 2 {
			MOVOU(Mem{Base: mid, Disp: at}, a[u])
			MOVOU(Mem{Base: mid, Disp: at + 16}, c[u])
		}
	}

	Label("pair")
	start(0)
	MOVQ(blocks, left)
	Label("block")
	keep()
	LEAQ(Mem{Base: msgs, Index: stride, Scale: 1}, next)
	{
		sw := XMM()
		MOVOU(swap, sw)
		for i := range 4 {
			MOVOU(Mem{Base: msgs, Disp: 16 * i}, m[0][i])
			PSHUFB(sw, m[0][i])
			MOVOU(Mem{Base: next, Disp: 16 * i}, m[1][i])
			PSHUFB(sw, m[1][i])
		}
	}
	compress()
	ADDQ(U32(64), msgs)
	DECQ(left)
	JNE(LabelRef("block"))
	Comment("Past the second value's blocks too.")
	ADDQ(stride, msgs)
	for u := range 2 {
		// a holds F E B A, c holds H G D C, lowest word first.
		MOVO(a[u], m[u][0])
		PUNPCKHQDQ(c[u], m[u][0]) // B A D C
		PSHUFD(U8(0xb1), m[u][0], m[u][0])
		MOVO(a[u], m[u][1])
		PUNPCKLQDQ(c[u], m[u][1]) // F E H G
		PSHUFD(U8(0xb1), m[u][1], m[u][1])
		MOVOU(rest, m[u][2])
		MOVOU(rest.Offset(16), m[u][3])
	}
	start(32)
	keep()
	compress()
	{
		sw := XMM()
		MOVOU(swap, sw)
		for u := range 2 {
			PUNPCKHQDQ(c[u], a[u])
			PSHUFD(U8(0xb1), a[u], a[u])
			PSHUFB(sw, a[u])
			MOVOU(a[u], Mem{Base: dst, Disp: 16 * u})
		}
	}
	ADDQ(U32(32), dst)
	DECQ(pairs)
	JNE(LabelRef("pair"))
	Comment("Chained states can be worked back from, so none stays on the stack.")
	PXOR(reg.X0, reg.X0)
	for i := range 4 {
		MOVOU(reg.X0, frame.Offset(16*i))
	}
	RET()
}
