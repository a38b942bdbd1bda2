package csvfast

import (
	"encoding/binary"
	"math/bits"
)

// The portable index computes the masks by arithmetic on words of 8 bytes (SWAR). It is the
// specification of the kernels, which are tested against it, state included.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// zeros returns 0x80 in each byte of w that is zero, 0 in the others; exact.
func zeros(w uint64) uint64 {
	return ^(w&^highs + ^uint64(highs) | w) & highs
}

// bytemask gathers the high bits of the bytes of m, which has no others, into
// the 8 low bits.
func bytemask(m uint64) uint64 {
	return m >> 7 * 0x0102040810204080 >> 56
}

// masks returns the masks of a block: delimiters and LFs, LFs, quotes.
func masks(p *[64]byte, comma, quote uint64) (all, nl, q uint64) {
	for i := 0; i < 64; i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		c, n, u := zeros(w^comma), zeros(w^'\n'*ones), zeros(w^quote)
		all |= bytemask(c|n) << i
		if n != 0 {
			nl |= bytemask(n) << i
		}
		if u != 0 {
			q |= bytemask(u) << i
		}
	}
	return all, nl, q
}

// plainGeneric indexes whole blocks up to the first that holds a quote. p starts neither inside
// quotes nor directly after a closing quote. It sets st.blocks and returns the number of
// entries. out is longer than needed by entryPadding entries.
func (st *indexState) plainGeneric(p []byte, base uint32, out []uint32) int {
	n, i := 0, 0
	comma, quote := st.comma*ones, st.quote*ones
	for ; i < len(p); i += 64 {
		all, nl, q := masks((*[64]byte)(p[i:]), comma, quote)
		if q != 0 {
			break
		}
		n = st.plainBlock(all, nl, base+uint32(i), out, n)
	}
	st.blocks = uint64(i / 64)
	return n
}

// strictGeneric indexes whole blocks with quotes.
func (st *indexState) strictGeneric(p []byte, base uint32, out []uint32) int {
	n := 0
	comma, quote := st.comma*ones, st.quote*ones
	for i := 0; i < len(p); i += 64 {
		b := (*[64]byte)(p[i:])
		all, nl, q := masks(b, comma, quote)
		n = st.strictBlock(b, all, nl, q, prefixXOR(q), base+uint32(i), out, n)
	}
	return n
}

// plainBlock indexes a block without quotes.
func (st *indexState) plainBlock(all, nl uint64, base uint32, out []uint32, n int) int {
	c := uint64(bits.OnesCount64(nl))
	st.rows += c
	st.lines += c
	st.mayOpen = all >> 63
	st.quoted, st.doubled = 0, 0
	o := out[n:]
	k := 0
	for ; all != 0; all &= all - 1 {
		at := bits.TrailingZeros64(all)
		o[k] = base + uint32(at) | uint32(nl>>at)<<31
		k++
	}
	return n + k
}

// prefixXOR returns a mask with bit i set when an odd number of the bits 0…i of q are.
func prefixXOR(q uint64) uint64 {
	q ^= q << 1
	q ^= q << 2
	q ^= q << 4
	q ^= q << 8
	q ^= q << 16
	return q ^ q<<32
}

// strictBlock indexes any block. in is prefixXOR(q).
func (st *indexState) strictBlock(p *[64]byte, all, nl, q, in uint64, base uint32, out []uint32, n int) int {
	in ^= st.inside
	st.inside = uint64(int64(in) >> 63)

	sep, open, closing := all&^in, q&in, q&^in
	behind := closing<<1 | st.closed
	st.bad |= open &^ ((sep|closing)<<1 | st.mayOpen)
	odd := behind &^ (sep | open)
	if odd|st.closedCR != 0 {
		cr := uint64(0)
		for m := odd; m != 0; m &= m - 1 {
			if at := bits.TrailingZeros64(m); p[at] == '\r' {
				cr |= 1 << at
			}
		}
		st.bad |= odd&^cr | (cr<<1|st.closedCR)&^nl
		st.closedCR = cr >> 63
	}
	st.mayOpen, st.closed = (sep|closing)>>63, closing>>63

	quoted, carry := bits.Add64(^sep, q, st.quoted&1)
	st.quoted = -carry
	doubled, carry := bits.Add64(^sep, open&behind, st.doubled&1)
	st.doubled = -carry
	doubled &= sep

	st.quotes |= q
	st.doubles |= doubled
	nl1 := nl & sep
	st.rows += uint64(bits.OnesCount64(nl1))
	st.lines += uint64(bits.OnesCount64(nl))
	o := out[n:]
	k := 0
	for ; sep != 0; sep &= sep - 1 {
		at := bits.TrailingZeros64(sep)
		o[k] = base + uint32(at) | uint32(nl1>>at)<<31 | uint32(quoted>>at&1)<<30 | uint32(doubled>>at&1)<<29
		k++
	}
	return n + k
}

// entrySpansGeneric writes the offset and length of the field that each of ents[1:] ends,
// without outer quotes and with the CR of a row end. out is longer than needed by entryPadding
// elements.
func entrySpansGeneric(ents []uint32, base uint32, out []uint32) {
	p := ents[0]
	for i, v := range ents[1:] {
		q := v >> 30 & 1
		from := p&entryPos + 1 + q
		out[2*i] = base + from
		out[2*i+1] = v&entryPos - from - q
		p = v
	}
}
