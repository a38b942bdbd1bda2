package suite

import (
	"bytes"
	"encoding/binary"
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
	DigitsOnly                 // keep the bytes 0 to 9
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

// UnicodeVersion is the version of Unicode behind the nfc step.
const UnicodeVersion = norm.Version

// normalise appends the normal form of v to dst and returns it, and whether v was
// good for every step. tmp is scratch of the same kind; both may have grown. it is scratch too.
func (n Norm) normalise(it *norm.Iter, dst, tmp, v []byte) (d, t []byte, ok bool) {
	start := len(dst)
	dst = append(dst, v...)
	for _, s := range n {
		cur := dst[start:]
		if s == DigitsOnly {
			k := start
			for _, c := range cur {
				dst[k] = c
				if c-'0' <= 9 {
					k++
				}
			}
			dst = dst[:k]
			continue
		}
		ascii := isASCII(cur)
		if !ascii && !utf8.Valid(cur) {
			return dst[:start], tmp, false
		}
		switch s {
		case Trim:
			c := bytes.TrimFunc(cur, unicode.IsSpace)
			dst = dst[:start+copy(cur, c)]
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
			dst = dst[:start]
			for i := 0; i < len(tmp); {
				r, w := utf8.DecodeRune(tmp[i:])
				i += w
				if s == Upper {
					r = unicode.ToUpper(r)
				} else {
					r = unicode.ToLower(r)
				}
				dst = utf8.AppendRune(dst, r)
			}
		}
	}
	return dst, tmp, true
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
