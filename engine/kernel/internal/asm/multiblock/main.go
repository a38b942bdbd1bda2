// Command multiblock generates the AVX-512 kernels of HCTR2 over many messages of the same
// number of blocks: up to 64 messages at a time, one in every lane of sixteen registers.
//
//	go run ./multiblock -kernel text|seal|open|rows|mixed -out ../../hctr2/x_avx512_amd64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
	"github.com/velonym/velonym/engine/kernel/internal/asm/vaes"
)

// The scratch memory holds register contents. One round handles up to 64 values, four in
// each register: 16 registers of S, 16 of UU, and 16 for every block.
const (
	values = 64
	cS     = 0
	cU     = 16 * 64
	cBlock = 2 * 16 * 64
	stride = 16 * 64 // distance from one block to the next
)

var (
	schedule   = layout.Of("hctr2", "schedule")
	blockArgs  = layout.Of("hctr2", "multiBlockArgs")
	textTables = layout.Of("hctr2", "textTables")
)

var kernel = flag.String("kernel", "text", "text, seal, open, rows or mixed")

func main() {
	flag.Parse()
	ConstraintExpr("!purego")
	switch *kernel {
	case "rows":
		layRows()
	case "mixed":
		layMixedRows()
	case "text":
		generate("multiBlockTextAVX512", "enciphers padded values and writes pair-coded text, each at its place", true, false)
	case "seal":
		generate("multiBlockSealAVX512", "enciphers padded values into blocks one after the other", false, false)
	case "open":
		generate("multiBlockOpenAVX512", "deciphers messages into blocks one after the other", false, true)
	}
	Generate()
}

func ptr(a reg.Register, off int) reg.GPVirtual {
	r := GP64()
	MOVQ(Mem{Base: a, Disp: off}, r)
	return r
}

func lanes(s reg.Register, at int) reg.VecVirtual {
	z := ZMM()
	VBROADCASTI32X4(Mem{Base: s, Disp: at}, z)
	return z
}

// generate prints a kernel of five passes over up to 64 values. Within a pass no register
// depends on another, so that the CPU overlaps their steps; scratch carries the results of
// one pass to the next. It is one function since what it prints is: registers live across
// passes.
func generate(name, doc string, text, open bool) {
	TEXT(name, NOSPLIT, "func(a *byte)")
	Pragma("noescape")
	Doc(name + " " + doc + ".")
	args := Load(Param("a"), GP64())
	arg := func(off int) Mem { return Mem{Base: args, Disp: off} }
	s, tab := ptr(args, blockArgs.At("schedule")), ptr(args, blockArgs.At("tables"))
	m, scr := arg(blockArgs.At("m")), ptr(args, blockArgs.At("scratch"))
	other := ZMM() // greatest byte seen, less 0x20
	VPXORQ(other, other, other)
	// Multiplication by a power h of the hash key, from h and h·x⁻⁶⁴: a·h·x⁻¹²⁸ is
	// (a₀·(h·x⁻⁶⁴) + a₁·h)·x⁻⁶⁴, so that sums of products have 192 bits, in l and m·x⁶⁴,
	// and are reduced by one step of Montgomery's.
	type acc struct{ l, m reg.VecVirtual }
	power := func(hp reg.Register) [2]reg.VecVirtual {
		h0, h1 := ZMM(), ZMM()
		VBROADCASTI32X4(Mem{Base: s, Index: hp, Scale: 1, Disp: schedule.At("low") - 16}, h0)
		VBROADCASTI32X4(Mem{Base: s, Index: hp, Scale: 1, Disp: schedule.At("pow") - 16}, h1)
		return [2]reg.VecVirtual{h0, h1}
	}
	// absorb multiplies each v by the power h and adds.
	absorb := func(v []reg.VecVirtual, h [2]reg.VecVirtual, to []acc, fresh bool) {
		h0, h1 := h[0], h[1]
		for g := range v {
			p, q, t, u := ZMM(), ZMM(), ZMM(), ZMM()
			vaes.CLMUL(0x00, h0, v[g], p)
			vaes.CLMUL(0x01, h1, v[g], q)
			vaes.CLMUL(0x10, h0, v[g], t)
			vaes.CLMUL(0x11, h1, v[g], u)
			if fresh {
				VPXORQ(p, q, to[g].l)
				VPXORQ(t, u, to[g].m)
				continue
			}
			VPTERNLOGQ(Imm(0x96), p, q, to[g].l)
			VPTERNLOGQ(Imm(0x96), t, u, to[g].m)
		}
	}
	// reduce leaves the hash in m, without the contribution of the state.
	poly := ZMM()
	{
		c := GP64()
		MOVQ(U64(0xc200000000000000), c)
		VPBROADCASTQ(c, poly)
	}
	reduce := func(from []acc) {
		for g := range from {
			t := ZMM()
			vaes.CLMUL(0x00, poly, from[g].l, t)
			VPSHUFD(Imm(0x4e), from[g].l, from[g].l)
			VPTERNLOGQ(Imm(0x96), t, from[g].l, from[g].m)
		}
	}
	accs := func() (a [4]acc) {
		for g := range a {
			a[g] = acc{ZMM(), ZMM()}
		}
		return a
	}
	// powerOf sets hp to the offset of h^(m-1) for power.
	powerOf := func(hp reg.GPVirtual) {
		MOVQ(arg(blockArgs.At("last")), hp)
	}
	// The contribution of the state to every hash: state·h^(m-1).
	state := ZMM()
	{
		hp, v, sum := GP64(), []reg.VecVirtual{lanes(s, schedule.At("even"))}, []acc{{ZMM(), state}}
		powerOf(hp)
		absorb(v, power(hp), sum, true)
		reduce(sum)
	}
	count := GP64() // registers of this round, in bytes
	cipher := func(x []reg.VecVirtual, at int, round func(k, x, y Op), between func(g int)) {
		for r := 1; r < 14; r++ {
			k := lanes(s, at+16*r)
			for g := range x {
				round(k, x[g], x[g])
			}
			if between != nil && r%3 != 0 && r < 12 {
				between(r - r/3 - 1) // 0 to 7
			}
		}
	}

	if text {
		MOVQ(U32(0), arg(blockArgs.At("heads")))
	}
	Label("round")
	MOVQ(arg(blockArgs.At("n")), count)
	CMPQ(count, Imm(values))
	JLE(LabelRef("rest"))
	MOVQ(U32(values), count)
	Label("rest")
	SHLQ(Imm(4), count) // a register of 64 bytes holds four values

	// 1: gather, pad, store and hash MM to S.
	{
		spans, z, base := ptr(args, blockArgs.At("spans")), GP64(), GP64()
		XORQ(z, z)
		Label("gather")
		MOVQ(arg(blockArgs.At("base")), base)
		load := func(at reg.Register, g int) reg.VecVirtual {
			var half [2]reg.VecVirtual
			for h := range half {
				lo, hi := GP64(), GP64()
				MOVL(Mem{Base: spans, Disp: 32*g + 16*h}, lo.As32())
				MOVL(Mem{Base: spans, Disp: 32*g + 16*h + 8}, hi.As32())
				half[h] = ZMM()
				VBROADCASTI32X4(Mem{Base: at, Index: lo, Scale: 1}, half[h].AsY())
				VINSERTI32X4(Imm(1), Mem{Base: at, Index: hi, Scale: 1}, half[h].AsY(), half[h].AsY())
			}
			v := ZMM()
			vaes.Join(half[0], half[1], v)
			return v
		}
		look := func(v reg.VecVirtual) {
			if text {
				w := ZMM()
				VPSUBB(Mem{Base: tab, Disp: textTables.At("c20")}, v, w)
				VPMAXUB(w, other, other)
			}
		}
		keep, hp, sum := GP64(), GP64(), accs()
		for g := range sum {
			vaes.Zero(sum[g].l)
			vaes.Zero(sum[g].m)
		}
		LEAQ(Mem{Base: scr, Index: z, Scale: 1, Disp: cBlock + stride}, keep)
		powerOf(hp)
		at := GP64()
		LEAQ(Mem{Base: base, Disp: 16}, at)
		CMPQ(hp, Imm(16))
		JEQ(LabelRef("final"))
		Label("whole")
		{
			h := power(hp)
			for g := range sum {
				v := load(at, g)
				look(v)
				VMOVDQU64(v, Mem{Base: keep, Disp: 64 * g})
				absorb([]reg.VecVirtual{v}, h, sum[g:], false)
			}
			SUBQ(Imm(16), hp)
			ADDQ(Imm(16), at)
			ADDQ(U32(stride), keep)
			CMPQ(hp, Imm(16))
			JNE(LabelRef("whole"))
		}
		Label("final")
		{
			full, last, h := ZMM(), GP64(), power(hp)
			// Bytes before the last block, modulo 256 as the lengths are.
			MOVQ(arg(blockArgs.At("last")), last)
			VPBROADCASTB(last.As32(), full)
			li, lane, c16, c20 := ZMM(), ZMM(), ZMM(), ZMM()
			VMOVDQU64(Mem{Base: tab, Disp: textTables.At("length")}, li)
			VMOVDQU64(Mem{Base: tab, Disp: textTables.At("lane")}, lane)
			VMOVDQU64(Mem{Base: tab, Disp: textTables.At("c16")}, c16)
			VMOVDQU64(Mem{Base: tab, Disp: textTables.At("c20")}, c20)
			for g := range sum {
				v, L, k := load(at, g), ZMM(), K()
				VBROADCASTI64X4(Mem{Base: spans, Disp: 32 * g}, L)
				VPERMB(L, li, L)
				VPSUBB(full, L, L)
				VPCMPUB(Imm(5), L, lane, k)
				if text {
					in, w := K(), ZMM()
					KNOTQ(k, in)
					VPSUBB_Z(c20, v, in, w)
					VPMAXUB(w, other, other)
				}
				VPSUBB(L, c16, k, v)
				VMOVDQU64(v, Mem{Base: keep, Disp: 64 * g})
				absorb([]reg.VecVirtual{v}, h, sum[g:], false)
			}
		}
		var first [4]reg.VecVirtual
		for g := range first {
			first[g] = load(base, g)
			look(first[g])
		}
		reduce(sum[:])
		for g, v := range first {
			VPTERNLOGQ(Imm(0x96), state, v, sum[g].m)
			VMOVDQU64(sum[g].m, Mem{Base: scr, Index: z, Scale: 1, Disp: cS + 64*g})
		}
		ADDQ(U32(128), spans)
		ADDQ(U32(256), z)
		CMPQ(z, count)
		JL(LabelRef("gather"))
		MOVQ(spans, arg(blockArgs.At("spans")))
	}

	// 2: UU = AES(MM), S = MM ⊕ UU ⊕ L, with the first round key of what follows. Between
	// the rounds the first blocks of the last round of values are written.
	{
		z := GP64()
		XORQ(z, z)
		at, round, last := schedule.At("enc"), vaes.AESENC, vaes.AESENCLAST
		if open {
			at, round, last = schedule.At("inv"), vaes.AESDEC, vaes.AESDECLAST
		}
		var heads, dst reg.GPVirtual
		var c pairs
		if text {
			heads, dst = ptr(args, blockArgs.At("heads")), ptr(args, blockArgs.At("dst"))
			c = pairTables(tab)
		}
		Label("head")
		var x [8]reg.VecVirtual
		k := lanes(s, at)
		for g := range x {
			x[g] = ZMM()
			VPXORQ(Mem{Base: scr, Index: z, Scale: 1, Disp: cS + 64*g}, k, x[g])
		}
		head := func(g int) {
			u := ZMM()
			VMOVDQU64(Mem{Base: scr, Index: z, Scale: 1, Disp: cBlock + 64*g}, u)
			c.write(u, true, dst, heads)
			ADDQ(Imm(16), heads)
		}
		if text {
			TESTQ(heads, heads)
			JEQ(LabelRef("headless"))
			cipher(x[:], at, round, head)
			Label("headed")
		} else {
			cipher(x[:], at, round, nil)
		}
		l, k0, kl := lanes(s, schedule.At("l")), lanes(s, schedule.At("enc")), lanes(s, at+16*14)
		VPXORQ(k0, l, l)
		for g := range x {
			y := ZMM()
			mm := Mem{Base: scr, Index: z, Scale: 1, Disp: cS + 64*g}
			VPXORQ(mm, l, y)
			last(kl, x[g], x[g])
			VMOVDQU64(x[g], Mem{Base: scr, Index: z, Scale: 1, Disp: cU + 64*g})
			VPXORQ(x[g], y, y)
			VMOVDQU64(y, mm)
		}
		ADDQ(U32(512), z)
		CMPQ(z, count)
		JL(LabelRef("head"))
		if text {
			JMP(LabelRef("heads"))
			Label("headless")
			cipher(x[:], at, round, nil)
			JMP(LabelRef("headed"))
			// A last round of fewer values leaves some of the previous round's first blocks to
			// write.
			Label("heads")
			TESTQ(heads, heads)
			JEQ(LabelRef("begin"))
			Label("more")
			CMPQ(z, U32(stride))
			JGE(LabelRef("begin"))
			head(0)
			ADDQ(Imm(64), z)
			JMP(LabelRef("more"))
			Label("begin")
		}
	}

	// 3: V = N ⊕ AES(S ⊕ i), eight registers at a time; if only four are left, they come
	// twice. Between the rounds the previous eight registers are written.
	{
		block, cnt, z, z2 := GP64(), ZMM(), GP64(), GP64()
		vaes.Zero(cnt)
		LEAQ(Mem{Base: scr, Disp: cBlock + stride}, block)
		{
			left := GP64()
			MOVQ(m, left)
			DECQ(left)
			MOVQ(left, arg(blockArgs.At("left")))
		}
		var at, out, lastOut reg.GPVirtual
		var lastAt [2]reg.GPVirtual
		var x, y [8]reg.VecVirtual
		var c pairs
		if text {
			at, out, lastOut = GP64(), ptr(args, blockArgs.At("dst")), GP64()
			lastAt = [2]reg.GPVirtual{GP64(), GP64()}
			XORQ(lastAt[0], lastAt[0])
			c = pairTables(tab)
		}
		for g := range x {
			x[g], y[g] = ZMM(), ZMM()
			if text {
				vaes.Zero(y[g])
			}
		}
		tail := func(g int) {
			c.write(y[g], false, lastOut, lastAt[g/4])
			ADDQ(Imm(16), lastAt[g/4])
		}
		Label("stream")
		one := ZMM()
		VBROADCASTI32X4(Mem{Base: tab, Disp: textTables.At("one")}, one)
		VPADDQ(one, cnt, cnt)
		XORQ(z, z)
		if text {
			MOVQ(arg(blockArgs.At("at")), at)
			ADDQ(Imm(32), out)
		}
		Label("streams")
		LEAQ(Mem{Base: z, Disp: 256}, z2)
		CMPQ(z2, count)
		CMOVQGE(z, z2)
		place := func(base reg.Register, g, disp int) Mem {
			if g < 4 {
				return Mem{Base: base, Index: z, Scale: 1, Disp: disp + 64*g}
			}
			return Mem{Base: base, Index: z2, Scale: 1, Disp: disp + 64*(g-4)}
		}
		for g := range x {
			VPXORQ(place(scr, g, cS), cnt, x[g])
		}
		if text {
			TESTQ(lastAt[0], lastAt[0])
			JEQ(LabelRef("tailless"))
			cipher(x[:], schedule.At("enc"), vaes.AESENC, tail)
			Label("written")
		} else {
			cipher(x[:], schedule.At("enc"), vaes.AESENC, nil)
		}
		kl := lanes(s, schedule.At("enc")+16*14)
		for g := range x {
			VPXORQ(place(block, g, 0), kl, y[g])
		}
		for g := range x {
			vaes.AESENCLAST(y[g], x[g], y[g])
			VMOVDQU64(y[g], place(block, g, 0))
		}
		if text {
			MOVQ(at, lastAt[0])
			MOVQ(z2, lastAt[1])
			SUBQ(z, lastAt[1])
			SHRQ(Imm(2), lastAt[1])
			ADDQ(at, lastAt[1])
			MOVQ(out, lastOut)
			ADDQ(U32(128), at)
		}
		ADDQ(U32(512), z)
		CMPQ(z, count)
		JL(LabelRef("streams"))
		ADDQ(U32(stride), block)
		DECQ(arg(blockArgs.At("left")))
		JNE(LabelRef("stream"))
		if text {
			for g := range y {
				tail(g)
			}
			JMP(LabelRef("close"))
			Label("tailless")
			cipher(x[:], schedule.At("enc"), vaes.AESENC, nil)
			JMP(LabelRef("written"))
			Label("close")
		}
	}

	// 4: U = UU ⊕ Hash(V).
	{
		z := GP64()
		XORQ(z, z)
		Label("tail")
		block, hp, sum := GP64(), GP64(), accs()
		LEAQ(Mem{Base: scr, Index: z, Scale: 1, Disp: cBlock + stride}, block)
		powerOf(hp)
		take := func(fresh bool) {
			v := make([]reg.VecVirtual, 4)
			for g := range v {
				v[g] = ZMM()
				VMOVDQU64(Mem{Base: block, Disp: 64 * g}, v[g])
			}
			absorb(v, power(hp), sum[:], fresh)
		}
		take(true)
		CMPQ(hp, Imm(16))
		JEQ(LabelRef("tailed"))
		Label("tails")
		SUBQ(Imm(16), hp)
		ADDQ(U32(stride), block)
		take(false)
		CMPQ(hp, Imm(16))
		JNE(LabelRef("tails"))
		Label("tailed")
		reduce(sum[:])
		for g := range sum {
			VPTERNLOGQ(Imm(0x96), Mem{Base: scr, Index: z, Scale: 1, Disp: cU + 64*g}, state, sum[g].m)
			VMOVDQU64(sum[g].m, Mem{Base: scr, Index: z, Scale: 1, Disp: cBlock + 64*g})
		}
		ADDQ(U32(256), z)
		CMPQ(z, count)
		JL(LabelRef("tail"))
	}

	if text {
		// The first blocks are written in the next round.
		at := ptr(args, blockArgs.At("at"))
		MOVQ(at, arg(blockArgs.At("heads")))
		SHRQ(Imm(2), count) // 4 bytes per value
		ADDQ(count, at)
		MOVQ(at, arg(blockArgs.At("at")))
		SHRQ(Imm(2), count)
	} else {
		writeBlocks(args, scr, count) // 5
		SHRQ(Imm(4), count)
	}
	SUBQ(count, arg(blockArgs.At("n")))
	JNE(LabelRef("round"))
	if text {
		heads, dst, left, block := ptr(args, blockArgs.At("heads")), ptr(args, blockArgs.At("dst")), GP64(), GP64()
		c := pairTables(tab)
		LEAQ(Mem{Base: scr, Disp: cBlock}, block)
		MOVQ(count, left)
		Label("end")
		u := ZMM()
		VMOVDQU64(Mem{Base: block}, u)
		c.write(u, true, dst, heads)
		ADDQ(Imm(16), heads)
		ADDQ(Imm(64), block)
		SUBQ(Imm(4), left)
		JNE(LabelRef("end"))
		k, r := K(), GP64()
		VPCMPUB(Imm(6), Mem{Base: tab, Disp: textTables.At("c5e")}, other, k)
		KMOVQ(k, r)
		MOVQ(r, arg(blockArgs.At("other")))
	}
	VZEROUPPER()
	RET()
}
