// Command special writes the kernels that find the first byte that a writer must
// quote or escape: of a CSV field, or of a JSON string.
//
//	go run ./special -format csv -tier avx512 -out ../../special_avx512_amd64.s
package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// This command's own flags; avo registers others, such as -out.
var (
	tier   = flag.String("tier", "avx512", "avx512, avx2 or arm64")
	format = flag.String("format", "csv", "csv or json")
)

func main() {
	flag.Parse()
	switch *tier {
	case "avx512", "avx2":
	case "arm64":
		if err := neon(flag.Lookup("out").Value.String(), *format == "csv"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	default:
		fmt.Fprintln(os.Stderr, "unknown tier")
		os.Exit(2)
	}
	if csv := *format == "csv"; *tier == "avx512" {
		wide(csv)
	} else {
		narrow(csv)
	}
	ConstraintExpr("!purego")
	Generate()
}

// fill fills a vector with a byte.
func fill(c Op, v reg.VecVirtual) reg.VecVirtual {
	t, x := GP32(), XMM()
	if r, ok := c.(Mem); ok {
		MOVBLZX(r, t)
	} else {
		MOVL(c, t)
	}
	VMOVD(t, x)
	VPBROADCASTB(x, v)
	return v
}

// parameter returns the address of a byte argument.
func parameter(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// begin opens a function and fills one vector for each byte to look for.
func begin(csv bool, suffix string, vector func() reg.VecVirtual) (special []reg.VecVirtual) {
	if csv {
		TEXT("special"+suffix, NOSPLIT, "func(p *byte, n int, a, b byte) int")
		special = append(special, fill(parameter("a"), vector()), fill(parameter("b"), vector()),
			fill(U32('\n'), vector()), fill(U32('\r'), vector()))
	} else {
		TEXT("special"+suffix, NOSPLIT, "func(p *byte, n int) int")
		special = append(special, fill(U32('"'), vector()), fill(U32('\\'), vector()))
	}
	Pragma("noescape")
	return special
}

func wide(csv bool) {
	special := begin(csv, "AVX512", ZMM)
	var space reg.VecVirtual
	if !csv {
		space = fill(U32(0x20), ZMM())
	}
	p := Load(Param("p"), GP64())
	n := Load(Param("n"), GP64())
	at, left, hit := GP64(), GP64(), GP64()
	XORL(at.As32(), at.As32())
	look := func(v reg.VecVirtual) {
		k := K()
		VPCMPEQB(special[0], v, k)
		for _, s := range special[1:] {
			m := K()
			VPCMPEQB(s, v, m)
			KORQ(m, k, k)
		}
		if !csv {
			m := K()
			VPCMPUB(U8(1), space, v, m)
			KORQ(m, k, k)
		}
		KMOVQ(k, hit)
	}
	MOVQ(n, left)
	v := ZMM()
	Label("block")
	SUBQ(U8(64), left)
	JB(LabelRef("tail"))
	VMOVDQU64(Mem{Base: p, Index: at, Scale: 1}, v)
	look(v)
	TESTQ(hit, hit)
	JNZ(LabelRef("hit"))
	ADDQ(U8(64), at)
	JMP(LabelRef("block"))
	Label("tail")
	ADDQ(U8(64), left)
	mask, k := GP64(), K()
	MOVQ(I32(-1), mask)
	BZHIQ(left, mask, mask)
	KMOVQ(mask, k)
	VMOVDQU8_Z(Mem{Base: p, Index: at, Scale: 1}, k, v)
	look(v)
	ANDQ(mask, hit)
	Comment("no hit: 64 is beyond the end")
	TZCNTQ(hit, hit)
	ADDQ(at, hit)
	CMPQ(hit, n)
	CMOVQHI(n, hit)
	Store(hit, ReturnIndex(0))
	VZEROUPPER()
	RET()
	Label("hit")
	TZCNTQ(hit, hit)
	ADDQ(at, hit)
	Store(hit, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func narrow(csv bool) {
	special := begin(csv, "AVX2", YMM)
	var space reg.VecVirtual
	if !csv {
		space = fill(U32(0x1f), YMM())
	}
	p := Load(Param("p"), GP64())
	n := Load(Param("n"), GP64())
	at, last, hit := GP64(), GP64(), GP32()
	XORL(at.As32(), at.As32())
	LEAQ(Mem{Base: n, Disp: -32}, last)
	Label("block")
	v, k, m := YMM(), YMM(), YMM()
	VMOVDQU(Mem{Base: p, Index: at, Scale: 1}, v)
	VPCMPEQB(special[0], v, k)
	for _, s := range special[1:] {
		VPCMPEQB(s, v, m)
		VPOR(m, k, k)
	}
	if !csv {
		VPMINUB(space, v, m)
		VPCMPEQB(m, v, m)
		VPOR(m, k, k)
	}
	VPMOVMSKB(k, hit)
	TESTL(hit, hit)
	JNZ(LabelRef("hit"))
	CMPQ(at, last)
	JAE(LabelRef("none"))
	ADDQ(U8(32), at)
	Comment("the last vector ends at the end and overlaps the one before")
	CMPQ(at, last)
	CMOVQHI(last, at)
	JMP(LabelRef("block"))
	Label("none")
	Store(n, ReturnIndex(0))
	VZEROUPPER()
	RET()
	Label("hit")
	TZCNTL(hit, hit)
	ADDQ(hit.As64(), at)
	Store(at, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
