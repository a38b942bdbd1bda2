// Command aes generates AES-256 of many independent blocks, and the key expansion of
// AES-NI.
//
//	go run ./aes -kernel wide|narrow|keys -out ../../aes/x_amd64.s
//	go run ./aes -kernel neon > ../../aes/x_arm64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/vaes"
)

var kernel = flag.String("kernel", "wide", "wide (VAES-512), narrow (AES-NI), keys or neon")

func main() {
	flag.Parse()
	if *kernel == "neon" {
		neon()
		return
	}
	ConstraintExpr("!purego")
	switch *kernel {
	case "wide":
		blocks("encryptAVX512", "enciphers", 64, vaes.AESENC, vaes.AESENCLAST)
		blocks("decryptAVX512", "deciphers", 64, vaes.AESDEC, vaes.AESDECLAST)
	case "narrow":
		blocks("encryptAVX2", "enciphers", 16, VAESENC, VAESENCLAST)
		blocks("decryptAVX2", "deciphers", 16, VAESDEC, VAESDECLAST)
	case "keys":
		keys()
	}
	Generate()
}

// blocks writes a kernel that handles 8 registers of width bytes at a time, then 8 blocks at
// a time, then single blocks.
// It is one function since what it prints is: registers live from end to end.
func blocks(name, doc string, width int, round, last func(k, x, y Op)) {
	TEXT(name, NOSPLIT, "func(keys *byte, dst *byte, src *byte, n int)")
	Pragma("noescape")
	Doc(name + " " + doc + " n blocks under the 15 round keys; dst may be src.")
	k := Load(Param("keys"), GP64())
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	var x [8]reg.VecVirtual
	for i := range x {
		x[i] = XMM()
		if width == 64 {
			x[i] = ZMM()
		}
	}
	key := func(r int) reg.VecVirtual {
		m := Mem{Base: k, Disp: 16 * r}
		if width == 64 {
			z := ZMM()
			VBROADCASTI32X4(m, z)
			return z
		}
		z := XMM()
		VMOVDQU(m, z)
		return z
	}
	per := 8 * width / 16
	rest := "one"
	if width == 64 {
		rest = "eight"
	}
	Label("many")
	CMPQ(n, U32(per))
	JL(LabelRef(rest))
	k0 := key(0)
	for i := range x {
		m := Mem{Base: src, Disp: width * i}
		if width == 64 {
			VPXORQ(m, k0, x[i])
		} else {
			VPXOR(m, k0, x[i])
		}
	}
	for r := 1; r < 14; r++ {
		kr := key(r)
		for i := range x {
			round(kr, x[i], x[i])
		}
	}
	kl := key(14)
	for i := range x {
		last(kl, x[i], x[i])
		m := Mem{Base: dst, Disp: width * i}
		if width == 64 {
			VMOVDQU64(x[i], m)
		} else {
			VMOVDQU(x[i], m)
		}
	}
	ADDQ(U32(16*per), src)
	ADDQ(U32(16*per), dst)
	SUBQ(U32(per), n)
	JMP(LabelRef("many"))
	op, end := VAESENC, VAESENCLAST
	if doc == "deciphers" {
		op, end = VAESDEC, VAESDECLAST
	}
	if width == 64 {
		Label("eight")
		CMPQ(n, Imm(8))
		JL(LabelRef("one"))
		narrow := func(r int) reg.VecVirtual {
			z := XMM()
			VMOVDQU(Mem{Base: k, Disp: 16 * r}, z)
			return z
		}
		var y [8]reg.VecVirtual
		k0 := narrow(0)
		for i := range y {
			y[i] = XMM()
			VPXOR(Mem{Base: src, Disp: 16 * i}, k0, y[i])
		}
		for r := 1; r < 14; r++ {
			kr := narrow(r)
			for i := range y {
				op(kr, y[i], y[i])
			}
		}
		kl := narrow(14)
		for i := range y {
			end(kl, y[i], y[i])
			VMOVDQU(y[i], Mem{Base: dst, Disp: 16 * i})
		}
		ADDQ(U32(128), src)
		ADDQ(U32(128), dst)
		SUBQ(U32(8), n)
		JMP(LabelRef("eight"))
	}
	Label("one")
	TESTQ(n, n)
	JEQ(LabelRef("done"))
	v := XMM()
	VMOVDQU(Mem{Base: src}, v)
	VPXOR(Mem{Base: k}, v, v)
	for r := 1; r < 14; r++ {
		op(Mem{Base: k, Disp: 16 * r}, v, v)
	}
	end(Mem{Base: k, Disp: 16 * 14}, v, v)
	VMOVDQU(v, Mem{Base: dst})
	ADDQ(Imm(16), src)
	ADDQ(Imm(16), dst)
	DECQ(n)
	JMP(LabelRef("one"))
	Label("done")
	VZEROUPPER()
	RET()
}

// keys writes the key expansion of FIPS 197 §5.2. AESKEYGENASSIST substitutes bytes without
// tables; AESIMC gives the round keys of the equivalent inverse cipher.
func keys() {
	TEXT("expandKeyAVX2", NOSPLIT, "func(enc *byte, inv *byte, key *byte)")
	Pragma("noescape")
	Doc("expandKeyAVX2 writes the 15 round keys of AES-256 and of its equivalent inverse cipher.")
	enc, inv, key := Load(Param("enc"), GP64()), Load(Param("inv"), GP64()), Load(Param("key"), GP64())
	a, b := XMM(), XMM()
	VMOVDQU(Mem{Base: key}, a)
	VMOVDQU(Mem{Base: key, Disp: 16}, b)
	put := func(r int, x reg.VecVirtual) {
		VMOVDQU(x, Mem{Base: enc, Disp: 16 * r})
		if r > 0 && r < 14 {
			y := XMM()
			VAESIMC(x, y)
			x = y
		}
		VMOVDQU(x, Mem{Base: inv, Disp: 16 * (14 - r)})
	}
	// mix xors into every word of x the words below it and the assist word.
	mix := func(x, assist reg.VecVirtual, shuffle uint8) {
		t := XMM()
		VPSHUFD(Imm(uint64(shuffle)), assist, assist)
		VPSLLDQ(Imm(4), x, t)
		VPXOR(t, x, x)
		VPSLLDQ(Imm(8), x, t)
		VPXOR(t, x, x)
		VPXOR(assist, x, x)
	}
	put(0, a)
	put(1, b)
	rcon := 1
	for r := 2; r < 15; r++ {
		t := XMM()
		if r%2 == 0 {
			VAESKEYGENASSIST(Imm(uint64(rcon)), b, t)
			mix(a, t, 0xff)
			put(r, a)
			rcon <<= 1
		} else {
			VAESKEYGENASSIST(Imm(0), a, t)
			mix(b, t, 0xaa)
			put(r, b)
		}
	}
	RET()
}
