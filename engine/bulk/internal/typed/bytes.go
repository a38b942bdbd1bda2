package typed

const hexDigits = "0123456789abcdef"

// AppendUUID appends the text of a UUID, in lower case with hyphens, to dst.
func AppendUUID(dst []byte, u *[16]byte) []byte {
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// ParseUUID reads the text that AppendUUID writes, and reports whether it is one.
func ParseUUID(u *[16]byte, text []byte) bool {
	if len(text) != 36 {
		return false
	}
	at := 0
	for i := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			if text[at] != '-' {
				return false
			}
			at++
		}
		high, low := hexValue[text[at]], hexValue[text[at+1]]
		if high|low == noHex {
			return false
		}
		u[i] = high<<4 | low
		at += 2
	}
	return true
}

// AppendHex appends two hexadecimal digits in lower case for each byte of b to dst.
func AppendHex(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

// appendUnhex appends the bytes whose hexadecimal digits, in lower case, are text.
func appendUnhex(dst, text []byte) ([]byte, bool) {
	for i := 0; i+1 < len(text); i += 2 {
		high, low := hexValue[text[i]], hexValue[text[i+1]]
		if high|low == noHex {
			return dst, false
		}
		dst = append(dst, high<<4|low)
	}
	return dst, true
}

// noHex is the entry of hexValue for a character that is no digit. All its bits are set, so
// that its bitwise or with any value is noHex.
const noHex = 0xff

// hexValue is the value of each hexadecimal digit.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = noHex
	}
	for i := range len(hexDigits) {
		t[hexDigits[i]] = byte(i)
	}
	return t
}()
