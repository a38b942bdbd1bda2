package suite

import (
	"bytes"
	"fmt"
	"unicode"

	"github.com/velonym/velonym/engine/spec"
)

// Cause explains why the plan refused value v with code c, and the remedy, if the
// characters of v show more than the code says; otherwise it returns "". It deciphers
// nothing, and its result holds no byte of v. A nil plan explains values that every plan
// refuses.
func (p *Plan) Cause(v []byte, c Code) string {
	if c != NotAPseudonym && c != ValueNotInAlphabet {
		return ""
	}
	if c == ValueNotInAlphabet && holdsForeignDigit(v) {
		return "holds a digit of another script; write it as one of 0 to 9"
	}
	if t := trimSpace(v); len(t) > 0 && len(t) < len(v) {
		return "white space at its ends, as CHAR columns of databases have it; norm step trim takes it away"
	}
	if c == NotAPseudonym && p != nil {
		if g := p.destroyedGeneration(v); g >= 0 {
			return fmt.Sprintf("made by generation %d of the project's keys, which is not here: it was destroyed, or this keystore is an older copy", g)
		}
	}
	return ""
}

// destroyedGeneration returns the generation that the pseudonym x names in its form, if that
// is not a living one, and -1 otherwise.
func (p *Plan) destroyedGeneration(x []byte) int {
	r := &p.reverse
	if p.op == spec.Pseudonymise || r.fpe != nil || !r.form.Marked() {
		return -1
	}
	n := r.form.DecodedLen(len(x))
	if !r.lengthOK(n) {
		return -1
	}
	g, ok := r.form.Decode(make([]byte, n), x)
	if !ok || p.keys[0].living[g] {
		return -1
	}
	return g
}

// trimSpace returns v without White_Space at its ends.
func trimSpace(v []byte) []byte { return bytes.TrimFunc(v, unicode.IsSpace) }

// trimSpans gives b the spans of its pseudonyms without White_Space at their ends, if the
// plan reads pseudonyms and has norm step trim, and returns the former spans. No form
// contains White_Space, and databases pad CHAR columns with it.
func (p *Plan) trimSpans(b *Batch) (former []uint32) {
	former = b.Spans
	if !p.trim {
		return former
	}
	w := &b.work
	w.paths.trimmed++
	w.trimmed = append(w.trimmed[:0], b.Spans...)
	for i := 0; i < len(w.trimmed); i += 2 {
		off, n := w.trimmed[i], w.trimmed[i+1]
		if n == 0 || isGraphic(b.Src[off]) && isGraphic(b.Src[off+n-1]) {
			continue
		}
		v := b.Src[off:][:n]
		left := bytes.TrimLeftFunc(v, unicode.IsSpace)
		w.trimmed[i] = off + uint32(len(v)-len(left))
		w.trimmed[i+1] = uint32(len(trimSpace(left)))
	}
	b.Spans = w.trimmed
	return former
}

// isGraphic reports whether c is a visible ASCII character.
func isGraphic(c byte) bool { return c-0x21 < 0x7f-0x21 }
