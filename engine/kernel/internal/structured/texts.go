package structured

import (
	"bytes"
	"math/rand/v2"
)

// IsText reports whether v is text, rune by rune. Tests compare the checks of text with it.
func IsText(v []byte) bool {
	for _, c := range string(v) {
		if c == 0xfffd && !bytes.Contains(v, []byte("\ufffd")) || c < 0x20 || c >= 0x7f && c < 0xa0 {
			return false
		}
	}
	return bytes.Equal([]byte(string([]rune(string(v)))), v)
}

// EdgeTexts calls f with many short strings of bytes around the limits of UTF-8.
func EdgeTexts(f func(v []byte)) {
	r := rand.New(rand.NewPCG(1, 1))
	edges := []byte{0, 0x1f, 0x20, 0x7e, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff, 'a'}
	for range 300000 {
		v := make([]byte, r.IntN(6))
		for i := range v {
			v[i] = edges[r.IntN(len(edges))]
		}
		if r.IntN(2) == 0 {
			v = append([]byte("plain text"), v...)
		}
		f(v)
	}
}
