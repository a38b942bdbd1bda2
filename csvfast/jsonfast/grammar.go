package jsonfast

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// The functions of this file read JSON by the grammar of RFC 8259, one byte or eight at a time.
// They are the specification of the kernels, they read what no kernel does (members, numbers,
// nesting), and only they return errors: where a kernel stops, they continue and find the error.
//
// Each returns the position after what it has read and "", or the offset of an error and its
// reason.

// Words of eight equal bytes, for reading eight bytes at a time.
const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// leadingMark refuses a byte order mark at the start of buf.
func leadingMark(buf []byte) (int, string) {
	if len(buf) >= 3 && buf[0] == 0xef && buf[1] == 0xbb && buf[2] == 0xbf {
		return 0, reasonBOM
	}
	return 0, ""
}

// skipSpace returns the position of the first byte from i on that is not JSON white space, or
// len(buf).
func skipSpace(buf []byte, i int) int {
	for i < len(buf) {
		switch buf[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
	}
	return i
}

// pastColon skips the ':' after a member name that ends at i, and the white
// space around it.
func pastColon(buf []byte, i int) (int, string) {
	i = skipSpace(buf, i)
	if i == len(buf) {
		return i, reasonEnd
	}
	if buf[i] != ':' {
		return i, reasonColon
	}
	return skipSpace(buf, i+1), ""
}

// plainRun returns the position of the first byte from i on that needs a check inside a string (a
// quote, a backslash, a control character or a byte from 0x80 up), or len(buf).
func plainRun(buf []byte, i int) int {
	for len(buf)-i >= 8 {
		w := binary.LittleEndian.Uint64(buf[i:])
		// A byte below its subtrahend borrows from the next higher byte, so higher bits may be
		// set wrongly; the lowest set bit is always right.
		m := (w | (w - 0x20*eachByte) | ((w ^ '"'*eachByte) - eachByte) | ((w ^ '\\'*eachByte) - eachByte)) & highBits
		if m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(buf) && stringClass[buf[i]] == 0 {
		i++
	}
	return i
}

// stringClass is 1 for the bytes at which plainRun stops.
var stringClass = func() (t [256]uint8) {
	for c := range t {
		if c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			t[c] = 1
		}
	}
	return
}()

// checkString reads a string from i, after its opening quote, and returns the position of its
// closing quote and whether it holds a backslash.
func checkString(buf []byte, i int) (end int, escaped bool, reason string) {
	for {
		i = plainRun(buf, i)
		if i >= len(buf) {
			return len(buf), escaped, reasonEnd
		}
		switch c := buf[i]; {
		case c == '"':
			return i, escaped, ""
		case c == '\\':
			escaped = true
			if i, reason = checkEscape(buf, i); reason != "" {
				return i, escaped, reason
			}
		case c < 0x20:
			return i, escaped, reasonControl
		default:
			for i < len(buf) && buf[i] >= utf8.RuneSelf {
				r, n := utf8.DecodeRune(buf[i:])
				if r == utf8.RuneError && n <= 1 {
					return i, escaped, reasonUTF8
				}
				i += n
			}
		}
	}
}

// checkEscape reads the escape whose backslash is at i; a surrogate pair is
// one escape of twelve bytes.
func checkEscape(buf []byte, i int) (int, string) {
	if i+1 >= len(buf) {
		return len(buf), reasonEnd
	}
	switch buf[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, ""
	case 'u':
	default:
		return i, reasonEscape
	}
	u := hex4(buf, i+2)
	switch {
	case u == hexEnd:
		return len(buf), reasonEnd
	case u < 0:
		return i, reasonEscape
	case u < 0xd800 || u >= 0xe000:
		return i + 6, ""
	case u >= 0xdc00:
		return i, reasonSurrogate
	}
	for k, c := range [2]byte{'\\', 'u'} {
		if i+6+k >= len(buf) {
			return len(buf), reasonEnd
		}
		if buf[i+6+k] != c {
			return i, reasonSurrogate
		}
	}
	switch l := hex4(buf, i+8); {
	case l == hexEnd:
		return len(buf), reasonEnd
	case l < 0xdc00 || l >= 0xe000:
		return i, reasonSurrogate
	}
	return i + 12, ""
}

// hexEnd is the result of hex4 if the text ends before four digits.
const hexEnd = -2

// hex4 returns the value of the four hexadecimal digits at i, -1 if one of the characters is not
// a digit, or hexEnd.
func hex4(buf []byte, i int) int {
	if i+4 > len(buf) {
		for _, c := range buf[min(i, len(buf)):] {
			if hexDigit[c] > 15 {
				return -1
			}
		}
		return hexEnd
	}
	d := buf[i : i+4 : i+4]
	h0, h1, h2, h3 := hexDigit[d[0]], hexDigit[d[1]], hexDigit[d[2]], hexDigit[d[3]]
	if h0|h1|h2|h3 > 15 {
		return -1
	}
	return int(h0)<<12 | int(h1)<<8 | int(h2)<<4 | int(h3)
}

// hexDigit holds the value of each hexadecimal digit, and 0xff for other bytes.
var hexDigit = func() (t [256]uint8) {
	for c := range t {
		t[c] = 0xff
	}
	for c := byte(0); c < 10; c++ {
		t['0'+c] = c
	}
	for c := byte(0); c < 6; c++ {
		t['a'+c], t['A'+c] = c+10, c+10
	}
	return
}()

// checkNumber reads a number at i.
func checkNumber(buf []byte, i int) (int, string) {
	if buf[i] == '-' {
		i++
	}
	if i < len(buf) && buf[i] == '0' {
		i++
		if i < len(buf) && isDigit(buf[i]) {
			return i, reasonNumber
		}
	} else {
		var reason string
		if i, reason = digits(buf, i); reason != "" {
			return i, reason
		}
	}
	if i < len(buf) && buf[i] == '.' {
		var reason string
		if i, reason = digits(buf, i+1); reason != "" {
			return i, reason
		}
	}
	if i < len(buf) && buf[i]|0x20 == 'e' {
		i++
		if i < len(buf) && (buf[i] == '+' || buf[i] == '-') {
			i++
		}
		return digits(buf, i)
	}
	return i, ""
}

// digits reads one digit or more at i.
func digits(buf []byte, i int) (int, string) {
	if i == len(buf) {
		return i, reasonEnd
	}
	if !isDigit(buf[i]) {
		return i, reasonNumber
	}
	for i < len(buf) && isDigit(buf[i]) {
		i++
	}
	return i, ""
}

func isDigit(c byte) bool { return c-'0' < 10 }

// checkScalar reads a number or one of the three words at i.
func checkScalar(buf []byte, i int) (int, string) {
	word := ""
	switch c := buf[i]; {
	case c == '-' || isDigit(c):
		return checkNumber(buf, i)
	case c == 't':
		word = "true"
	case c == 'f':
		word = "false"
	case c == 'n':
		word = "null"
	default:
		return i, reasonValue
	}
	for k := 1; k < len(word); k++ {
		if i+k == len(buf) {
			return i + k, reasonEnd
		}
		if buf[i+k] != word[k] {
			return i + k, reasonLiteral
		}
	}
	return i + len(word), ""
}

// checkValue reads any value at i, which lies in depth arrays and objects. It keeps the open
// brackets as bits and therefore does not recurse.
func checkValue(buf []byte, i, depth int) (int, string) {
	var inObject [maxDepth / 64]uint64 // bit d: level d is an object
	base := depth
	for {
		// A value starts at i.
		if i == len(buf) {
			return i, reasonEnd
		}
		var reason string
		switch c := buf[i]; c {
		case '"':
			if i, _, reason = checkString(buf, i+1); reason != "" {
				return i, reason
			}
			i++
		case '{', '[':
			if depth == maxDepth {
				return i, reasonDepth
			}
			i = skipSpace(buf, i+1)
			if i < len(buf) && buf[i] == c+2 { // '}' and ']' are two above '{' and '['
				i++
				break
			}
			if c == '{' {
				inObject[depth/64] |= 1 << (depth % 64)
				if i, reason = pastName(buf, i); reason != "" {
					return i, reason
				}
			} else {
				inObject[depth/64] &^= 1 << (depth % 64)
			}
			depth++
			continue
		default:
			if i, reason = checkScalar(buf, i); reason != "" {
				return i, reason
			}
		}
		// A value ends at i: read closing brackets up to the comma before the next value.
		for {
			if depth == base {
				return i, ""
			}
			i = skipSpace(buf, i)
			if i == len(buf) {
				return i, reasonEnd
			}
			object := inObject[(depth-1)/64]>>((depth-1)%64)&1 != 0
			if buf[i] == ',' {
				i = skipSpace(buf, i+1)
				if object {
					if i, reason = pastName(buf, i); reason != "" {
						return i, reason
					}
				}
				break
			}
			if object && buf[i] == '}' || !object && buf[i] == ']' {
				i++
				depth--
				continue
			}
			return i, reasonComma
		}
	}
}

// pastName reads a member name at i and the ':' after it.
func pastName(buf []byte, i int) (int, string) {
	if i == len(buf) {
		return i, reasonEnd
	}
	if buf[i] != '"' {
		return i, reasonKey
	}
	i, _, reason := checkString(buf, i+1)
	if reason != "" {
		return i, reason
	}
	return pastColon(buf, i+1)
}
