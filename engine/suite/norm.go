package suite

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Step is one normalisation of a value before its transform.
type Step uint8

// The steps. The zero value is none of them.
const (
	Trim       Step = iota + 1 // drop Unicode White_Space at both ends
	NFC                        // Unicode normalisation form C
	Upper                      // simple case mapping, rune by rune
	Lower                      // simple case mapping, rune by rune
	DigitsOnly                 // keep the bytes 0 to 9; refuse decimal digits of other scripts
)

var stepNames = [...]string{Trim: "trim", NFC: "nfc", Upper: "upper", Lower: "lower", DigitsOnly: "digits"}

// String returns the name that ParseNorm reads.
func (s Step) String() string { return nameOf(int(s), stepNames[:]) }

// Norm is a list of steps, applied in order. Empty: bytes are left as they are.
type Norm []Step

// ParseNorm reads steps by name: trim, nfc, upper, lower, digits.
func ParseNorm(names []string) (Norm, error) {
	if len(names) == 0 {
		return nil, nil
	}
	n := make(Norm, len(names))
	for i, s := range names {
		v, err := parseName(s, "norm step", stepNames[:])
		if err != nil {
			return nil, err
		}
		n[i] = Step(v)
	}
	return n, nil
}

// UnicodeVersion is the version of Unicode that the nfc step uses.
const UnicodeVersion = norm.Version

// normalise appends the normal form of v to dst. code is 0, or why v has none:
// ValueNotText if a step needs text and v is not text, ValueNotInAlphabet if the digits
// step meets a decimal digit of another script, ValueEmpty if nothing is left of a value
// that held more than White_Space. tmp and it are scratch; d and t are dst and tmp, which
// may have grown.
func (n Norm) normalise(it *norm.Iter, dst, tmp, v []byte) (d, t []byte, code Code) {
	start := len(dst)
	dst = append(dst, v...)
	for _, s := range n {
		cur := dst[start:]
		ascii := isASCII(cur)
		if s == DigitsOnly {
			if !ascii && holdsForeignDigit(cur) {
				return dst[:start], tmp, ValueNotInAlphabet
			}
			dst = dst[:start+keepDigits(cur)]
			continue
		}
		if !ascii && !utf8.Valid(cur) {
			return dst[:start], tmp, ValueNotText
		}
		switch s {
		case Trim:
			dst = dst[:start+copy(cur, trimSpace(cur))]
		case NFC:
			if ascii || norm.NFC.QuickSpan(cur) == len(cur) {
				continue
			}
			tmp = append(tmp[:0], cur...)
			dst = dst[:start]
			for it.Init(norm.NFC, tmp); !it.Done(); {
				dst = append(dst, it.Next()...)
			}
		case Upper, Lower:
			if ascii {
				mapASCII(cur, s == Upper)
				continue
			}
			tmp = append(tmp[:0], cur...)
			dst = mapRunes(dst[:start], tmp, s == Upper)
		}
	}
	if len(dst) == start && !isBlank(v) {
		return dst, tmp, ValueEmpty
	}
	return dst, tmp, 0
}

// empties reports whether the steps make a value of White_Space alone empty.
func (n Norm) empties() bool { return slices.Contains(n, Trim) || slices.Contains(n, DigitsOnly) }

// isBlank reports whether v is empty or White_Space alone.
func isBlank(v []byte) bool { return bytes.IndexFunc(v, notSpace) < 0 }

func notSpace(r rune) bool { return !unicode.IsSpace(r) }

// holdsForeignDigit reports whether v holds a decimal digit (category Nd) outside ASCII.
// Bytes that are not UTF-8 are not digits.
func holdsForeignDigit(v []byte) bool {
	return bytes.IndexFunc(v, func(r rune) bool { return r >= utf8.RuneSelf && unicode.IsDigit(r) }) >= 0
}

// keepDigits moves the bytes 0 to 9 of v to its front and returns how many there are.
func keepDigits(v []byte) int {
	k := 0
	for _, c := range v {
		v[k] = c
		if c-'0' <= 9 {
			k++
		}
	}
	return k
}

// mapRunes appends the upper or lower case of v to dst.
func mapRunes(dst, v []byte, upper bool) []byte {
	for i := 0; i < len(v); {
		r, w := utf8.DecodeRune(v[i:])
		i += w
		if upper {
			r = unicode.ToUpper(r)
		} else {
			r = unicode.ToLower(r)
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

func mapASCII(b []byte, upper bool) {
	first := byte('A')
	if upper {
		first = 'a'
	}
	for i, c := range b {
		if c-first < 26 {
			b[i] = c ^ 0x20
		}
	}
}

func isASCII(v []byte) bool {
	for len(v) >= 8 {
		if binary.LittleEndian.Uint64(v)&0x8080808080808080 != 0 {
			return false
		}
		v = v[8:]
	}
	var or byte
	for _, b := range v {
		or |= b
	}
	return or < 0x80
}
