package textform

// Form is an encoding of a ciphertext C (any bytes) as text. The zero value is not a form.
type Form uint8

// The forms. Lengths are for C of n bytes.
const (
	Pair62 Form = iota + 1 // 2n characters of a–z A–Z 0–9, the first with the generation mark
	Hex                    // 2n digits, lower case; upper case accepted
	B64u                   // ⌈8n/6⌉, RFC 4648 §5 without padding
	B32                    // ⌈8n/5⌉, RFC 4648 §6 in lower case without padding; upper case accepted
	UUID                   // 36 for n = 16, no other n; upper case accepted
)

var formNames = [...]string{Pair62: "pair62", Hex: "hex", B64u: "b64u", B32: "b32", UUID: "uuid"}

// String returns the name that tokens use.
func (f Form) String() string { return formNames[f] }

// Generations is the number of generations that the mark of pair62 can distinguish.
const Generations = 12

// EncodedLen returns the length of the text of n bytes. For UUID it is always 36; callers refuse any
// n but 16.
func (f Form) EncodedLen(n int) int {
	switch f {
	case B64u:
		return (8*n + 5) / 6
	case B32:
		return (8*n + 4) / 5
	case UUID:
		return 36
	}
	return 2 * n
}

// DecodedLen returns the number of bytes that a text of n characters encodes, or -1 if no text of
// the form has that length.
func (f Form) DecodedLen(n int) int {
	switch f {
	case B64u:
		if n%4 == 1 {
			return -1
		}
		return n * 6 / 8
	case B32:
		if r := n % 8; r == 1 || r == 3 || r == 6 {
			return -1
		}
		return n * 5 / 8
	case UUID:
		if n != 36 {
			return -1
		}
		return 16
	}
	if n%2 != 0 {
		return -1
	}
	return n / 2
}

// Pairs reports whether the form consists of two characters for each byte, as Pair62 and Hex do.
func (f Form) Pairs() bool { return f == Pair62 || f == Hex }

// Marked reports whether texts of the form name their generation.
func (f Form) Marked() bool { return f == Pair62 }

// Mark returns the generation that a text of a marked form names, -1 if it names none.
func (f Form) Mark(text []byte) int {
	if len(text) == 0 {
		return -1
	}
	d := digits62[text[0]]
	if d >= 5*Generations {
		return -1
	}
	return int(d / 5)
}

// Encode writes src in form f to dst[:f.EncodedLen(len(src))]. dst and src must not
// overlap. gen, 0 to 11, is the mark of Pair62; other forms ignore it.
func (f Form) Encode(dst, src []byte, gen int) {
	switch f {
	case Pair62:
		encodePairs(dst, src, &pairs62)
		if len(src) > 0 {
			dst[0] = first62[gen][src[0]]
		}
	case Hex:
		encodePairs(dst, src, &pairs16)
	case B64u:
		encode64(dst[:f.EncodedLen(len(src))], src)
	case B32:
		encode32(dst[:f.EncodedLen(len(src))], src)
	case UUID:
		_ = dst[35]
		encodePairs(dst, src[:4], &pairs16)
		dst[8] = '-'
		encodePairs(dst[9:], src[4:6], &pairs16)
		dst[13] = '-'
		encodePairs(dst[14:], src[6:8], &pairs16)
		dst[18] = '-'
		encodePairs(dst[19:], src[8:10], &pairs16)
		dst[23] = '-'
		encodePairs(dst[24:], src[10:16], &pairs16)
	}
}

// Decode decodes src into dst[:f.DecodedLen(len(src))] and returns the generation that a text of
// Pair62 names, 0 for other forms. ok is false for texts that Encode does not write: another
// length, a foreign character, a pair above 255, non-zero spare bits, a mark above 11. The content
// of dst is then undefined.
func (f Form) Decode(dst, src []byte) (gen int, ok bool) {
	n := f.DecodedLen(len(src))
	if n < 0 {
		return 0, false
	}
	dst = dst[:n]
	if f.Pairs() && n >= 16 && hasDecodeText() {
		return f.decodeLong(dst, src)
	}
	return f.decodeGeneric(dst, src)
}

// decodeLong is decodeGeneric for pairs and hex of a block or more.
func (f Form) decodeLong(dst, src []byte) (gen int, ok bool) {
	if f == Pair62 {
		if gen = f.Mark(src); gen < 0 {
			return 0, false
		}
	}
	paths.decodeLong.Take()
	whole := len(dst) / 16
	if !decodeText(dst, src, whole, ReaderFor(f, gen).tables) {
		return 0, false
	}
	if rest := dst[16*whole:]; len(rest) > 0 {
		// Only the first character has a mark; the rest is as in generation 0.
		g, good := f.decodeGeneric(rest, src[32*whole:])
		if !good || g != 0 {
			return 0, false
		}
	}
	return gen, true
}
