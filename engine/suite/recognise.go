package suite

import (
	"bytes"

	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// maxRecognised is the longest ciphertext in bytes that is recognised: identifiers are
// shorter than the values of longer ones.
const maxRecognised = 16 * hctr2.MaxBlocks

// recognisedForms are the forms that a pseudonym may have: the project's, or one that
// another token asked for. All encode the same ciphertext.
var recognisedForms = [...]textform.Form{textform.Pair62, textform.Hex, textform.B64u, textform.B32, textform.UUID}

// Recognise counts the values (off, len pairs in src) that are already pseudonyms of the
// key domain under which p makes pseudonyms, in any form, of any living generation, with or
// without trailing spaces. It is for samples, to warn of input that is about to be
// pseudonymised twice.
//
// Pseudonyms of a reversible project are deciphered and checked. The probability that an
// ordinary value is counted is 0 for most lengths, which no pseudonym has; for 22, 26, 32
// or 36 characters of the right alphabet, as random UUIDs and MD5 digests have, it is below
// 2^-25 per living generation with tag 0 and policy same, below 2^-40 with another policy,
// and below 2^-64 and 2^-128 with a tag. One in a few million is therefore no evidence: a
// caller should require three of them, or half of a small batch.
//
// Pseudonyms of an irreversible project are recognised by the code of pair62 alone: all pairs
// of the 32 characters are codes, and the first names a living generation. This holds for one
// in 2^28 random MD5 digests and one in 2^58 random strings of letters and digits.
//
// Recognise returns 0 for plans that read pseudonyms, for format-preserving ones, whose
// pseudonyms look like values, and for irreversible ones in other forms than pair62. It
// does not recognise pseudonyms of values over 239 bytes.
//
// It uses constant memory, allocates nothing per value, wipes what it deciphers, and is
// safe for concurrent use.
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
		if s.isOwn(r, bytes.TrimRight(src[spans[i]:][:spans[i+1]], " ")) {
			n++
		}
	}
	secmem.Wipe(s.msg[:])
	return n
}

// ownDomain returns the reader of the pseudonyms of the plan's own domain, which its first
// call makes, or nil if there is no memory for it. For irreversible plans it has no ciphers
// and only the living generations.
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

// ownDomain recognises pseudonyms of one domain.
type ownDomain struct {
	living [MaxGenerations]bool
	reader *backward // reversible
	newest []int     // generations to try, with reader
}

// recogniser is the scratch of Recognise.
type recogniser struct{ c, msg [maxRecognised]byte }

// isOwn reports whether x is a pseudonym of the domain d.
func (s *recogniser) isOwn(d *ownDomain, x []byte) bool {
	if len(x) < 22 || len(x) > 2*maxRecognised { // b64u is the shortest form, pair62 the longest
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

// opens reports whether the n bytes in s.c are the ciphertext, under generation gen, of a
// value that is not empty.
func (s *recogniser) opens(r *backward, gen, n int) bool {
	if r.ciphers[gen] == nil {
		return false
	}
	r.ciphers[gen].Decrypt(s.msg[:n], s.c[:n])
	l, ok := r.open(s.msg[:n])
	return ok && l > 0
}
