// Command utf8 writes the kernels that validate UTF-8.
// csvfast/jsonfast/utf8.go describes the algorithm.
//
//	go run ./utf8 -tier avx512 -out ../../jsonfast/utf8_avx512_amd64.s
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

// Faults of two bytes in a row, one bit each.
const (
	tooShort     = 1 << 0 // a leading byte without a continuation
	tooLong      = 1 << 1 // a continuation after ASCII
	overlong3    = 1 << 2
	tooLarge     = 1 << 3
	surrogate    = 1 << 4
	overlong2    = 1 << 5
	tooLarge1000 = 1 << 6 // U+110000 or more, by the low half of the first byte
	overlong4    = 1 << 6
	twoConts     = 1 << 7 // two continuations; valid only in longer characters

	carry = tooShort | tooLong | twoConts
)

// Tables indexed by half a byte: a bit is set where that half allows the fault. Two bytes
// have a fault that all three tables allow.
var (
	firstHigh = [16]byte{
		tooLong, tooLong, tooLong, tooLong, tooLong, tooLong, tooLong, tooLong,
		twoConts, twoConts, twoConts, twoConts,
		tooShort | overlong2, tooShort, tooShort | overlong3 | surrogate,
		tooShort | tooLarge | tooLarge1000 | overlong4,
	}
	firstLow = [16]byte{
		carry | overlong3 | overlong2 | overlong4, carry | overlong2, carry, carry, carry | tooLarge,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000,
		carry | tooLarge | tooLarge1000 | surrogate,
		carry | tooLarge | tooLarge1000, carry | tooLarge | tooLarge1000,
	}
	secondHigh = [16]byte{
		tooShort, tooShort, tooShort, tooShort, tooShort, tooShort, tooShort, tooShort,
		tooLong | overlong2 | twoConts | overlong3 | tooLarge1000 | overlong4,
		tooLong | overlong2 | twoConts | overlong3 | tooLarge,
		tooLong | overlong2 | twoConts | surrogate | tooLarge,
		tooLong | overlong2 | twoConts | surrogate | tooLarge,
		tooShort, tooShort, tooShort, tooShort,
	}
)

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

// table writes a read-only table of 16 bytes.
func table(name string, t [16]byte) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, c := range t {
		DATA(i, U8(c))
	}
	return m
}

// generate writes the kernel of one instruction set. It is one function since what it
// prints is: registers live from end to end.
func generate(suffix string, wide bool) {
	width, vector := 32, YMM
	if wide {
		width, vector = 64, ZMM
	}
	fill := func(c byte) reg.VecVirtual {
		t, x, y := GP32(), XMM(), vector()
		MOVL(U32(c), t)
		VMOVD(t, x)
		VPBROADCASTB(x, y)
		return y
	}
	load := func(m Mem) reg.VecVirtual {
		y := vector()
		if wide {
			VMOVDQU64(m, y)
		} else {
			VMOVDQU(m, y)
		}
		return y
	}
	both := func(name string, a, b, dst reg.VecVirtual) {
		switch {
		case name == "and" && wide:
			VPANDQ(a, b, dst)
		case name == "and":
			VPAND(a, b, dst)
		case name == "or" && wide:
			VPORQ(a, b, dst)
		case name == "or":
			VPOR(a, b, dst)
		case wide:
			VPXORQ(a, b, dst)
		default:
			VPXOR(a, b, dst)
		}
	}
	tables := make([]reg.VecVirtual, 3)
	mems := []Mem{
		table("utf8FirstHigh"+suffix, firstHigh),
		table("utf8FirstLow"+suffix, firstLow),
		table("utf8SecondHigh"+suffix, secondHigh),
	}

	TEXT("utf8Blocks"+suffix, NOSPLIT, "func(p *byte, blocks int) (bad uint64)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	n := Load(Param("blocks"), GP64())
	for i, m := range mems {
		tables[i] = vector()
		if wide {
			VBROADCASTI32X4(m, tables[i])
		} else {
			VBROADCASTI128(m, tables[i])
		}
	}
	half, third, fourth, top := fill(0x0f), fill(0xe0-0x80), fill(0xf0-0x80), fill(0x80)
	wrong := vector()
	VPXOR(wrong.AsX(), wrong.AsX(), wrong.AsX())
	high := func(v reg.VecVirtual) reg.VecVirtual {
		h := vector()
		VPSRLW(U8(4), v, h)
		both("and", half, h, h)
		return h
	}

	Label("block")
	for at := 0; at < 64; at += width {
		in, prev := load(Mem{Base: p, Disp: at}), load(Mem{Base: p, Disp: at - 1})
		fault, t := vector(), vector()
		VPSHUFB(high(prev), tables[0], fault)
		both("and", half, prev, t)
		VPSHUFB(t, tables[1], t)
		both("and", t, fault, fault)
		VPSHUFB(high(in), tables[2], t)
		both("and", t, fault, fault)
		Comment("continuations that a character of three or four bytes needs")
		a, b := load(Mem{Base: p, Disp: at - 2}), load(Mem{Base: p, Disp: at - 3})
		VPSUBUSB(third, a, a)
		VPSUBUSB(fourth, b, b)
		both("or", a, b, a)
		both("and", top, a, a)
		both("xor", a, fault, fault)
		both("or", fault, wrong, wrong)
	}
	ADDQ(U8(64), p)
	DECQ(n)
	JNZ(LabelRef("block"))
	bad := GP64()
	if wide {
		k := K()
		VPTESTMB(wrong, wrong, k)
		KMOVQ(k, bad)
	} else {
		zero := YMM()
		VPXOR(zero, zero, zero)
		VPCMPEQB(zero, wrong, wrong)
		VPMOVMSKB(wrong, bad.As32())
		NOTL(bad.As32())
	}
	Store(bad, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
