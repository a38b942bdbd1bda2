package suite

import (
	"bytes"

	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// recognised is how many bytes C may have to be recognised: a longer one is a longer
// value than identifiers are.
const recognised = 16 * hctr2.MaxBlocks

// recognisedForms are the forms that a pseudonym may come back in: the project's own,
// or one that another token asked for. All are encodings of one C.
var recognisedForms = [...]textform.Form{textform.Pair62, textform.Hex, textform.B64u, textform.B32, textform.UUID}

// Recognise counts the values of a batch (off, len in src) that are already pseudonyms
// of the key domain that p would make pseudonyms under, in whatever form, of any
// living generation, and with spaces behind them or without. It is for samples, to warn
// of input that is about to be pseudonymised twice.
//
// Pseudonyms of a reversible project are deciphered and checked. The chance that an
// ordinary value is counted is 0 for most shapes, since few lengths are those of a
// pseudonym; for one of 22, 26, 32 or 36 characters of the right alphabet, as random
// UUIDs and MD5 digests have, it is below 2^-25 for each living generation with tag 0
// and policy same, below 2^-40 with another policy, and below 2^-64 and 2^-128 with a
// tag. So one in a few million is nothing yet: ask for three of them, or for half of a
// small batch.
//
// Pseudonyms of an irreversible project are told by the mark of pair62 alone: all the
// pairs of 32 characters are codes and the first names a living generation. One in
// 2^28 random MD5 digests is so, and one in 2^58 random strings of letters and digits.
//
// It is 0 for plans that read pseudonyms, for format-preserving ones, whose pseudonyms
// nothing tells from values, for irreversible ones in other forms than pair62, and for
// pseudonyms of values over 239 bytes.
//
// It uses constant memory, allocates nothing per value, and wipes what it deciphers. It
// is safe for concurrent use.
func (p *Plan) Recognise(src []byte, spans []uint32) (n int) {
	if p.op != spec.Pseudonymise || p.forward.fpe != nil {
		return 0
	}
	r := p.ownDomain()
	if r == nil {
		return 0
	}
	var s recogniser
	for i := 0; i < len(spans); i += 2 {
		if s.own(r, bytes.TrimRight(src[spans[i]:][:spans[i+1]], " ")) {
			n++
		}
	}
	secmem.Wipe(s.msg[:])
	return n
}

// ownDomain is what reads the pseudonyms of the plan's own domain, made at its first
// use and nil if there is no memory for it. For irreversible plans it has no ciphers
// and knows the living generations alone.
func (p *Plan) ownDomain() *ownDomain {
	p.ownOnce.Do(func() {
		f, k := &p.forward, p.keys[0]
		d := &ownDomain{living: k.living}
		if !f.irreversible {
			s := f.spec
			s.Gen, s.Norm = -1, nil
			r, err := newBackward(s, k)
			if err != nil {
				return
			}
			d.reader, d.newest = &r, k.newest
		}
		p.own = d
	})
	return p.own
}

// ownDomain recognises pseudonyms.
type ownDomain struct {
	living [MaxGenerations]bool
	reader *backward // reversible
	newest []int     // generations to try, with reader
}

// recogniser is scratch.
type recogniser struct{ c, msg [recognised]byte }

// own says whether x is a pseudonym that d's domain made.
func (s *recogniser) own(d *ownDomain, x []byte) bool {
	if len(x) < 22 || len(x) > 2*recognised { // b64u is the shortest form, pair62 the longest
		return false
	}
	for _, f := range recognisedForms {
		n := f.DecodedLen(len(x))
		if n < 16 || n > len(s.c) {
			continue
		}
		if d.reader == nil {
			if f.Marked() && n == 16 {
				gen, ok := f.Decode(s.c[:n], x)
				return ok && d.living[gen]
			}
			continue
		}
		if !d.reader.lengthOK(n) {
			continue
		}
		gen, ok := f.Decode(s.c[:n], x)
		if !ok {
			continue
		}
		if f.Marked() {
			if s.opens(d.reader, gen, n) {
				return true
			}
			continue
		}
		for _, g := range d.newest {
			if s.opens(d.reader, g, n) {
				return true
			}
		}
	}
	return false
}

// opens says whether the n bytes in s.c are C of generation gen of a value that is not
// empty.
func (s *recogniser) opens(r *backward, gen, n int) bool {
	if r.ciphers[gen] == nil {
		return false
	}
	r.ciphers[gen].Decrypt(s.msg[:n], s.c[:n])
	l, ok := r.open(s.msg[:n])
	return ok && l > 0
}
