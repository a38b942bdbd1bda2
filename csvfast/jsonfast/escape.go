package jsonfast

import (
	"encoding/binary"
	"unicode/utf8"
)

// Unescape appends the value of a JSON string to dst. raw is the text between its quotes, which
// a scan of this package has accepted. dst may be raw[:0]: the value is never longer than raw.
// It allocates only what append needs.
func Unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		// Strings have many escapes or none.
		for len(raw)-i >= 8 {
			w := binary.LittleEndian.Uint64(raw[i:])
			if zeroByte(w^'\\'*eachByte) != 0 {
				break
			}
			dst = binary.LittleEndian.AppendUint64(dst, w)
			i += 8
		}
		for i < len(raw) && raw[i] != '\\' {
			dst = append(dst, raw[i])
			i++
		}
		if i+1 >= len(raw) {
			return append(dst, raw[i:]...)
		}
		switch c := raw[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := rune(hex4(raw, i+2))
			i += 4
			if r>>10 == 0xd800>>10 { // the first of two surrogates
				r = 0x10000 + (r&0x3ff)<<10 | rune(hex4(raw, i+4))&0x3ff
				i += 6
			}
			dst = utf8.AppendRune(dst, r)
		default: // '"', '\\', '/'
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}

// AppendEscaped appends the text of a JSON string with the value v, without the quotes, to dst. v
// must be valid UTF-8. It escapes only what RFC 8259 requires: the quote, the backslash and
// U+0000 to U+001F, in the two-character forms if they exist.
func AppendEscaped(dst, v []byte) []byte {
	for {
		n := special(v)
		dst = append(dst, v[:n]...)
		if n == len(v) {
			return dst
		}
		const hex = "0123456789abcdef"
		switch c := v[n]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		v = v[n+1:]
	}
}
