//go:build purego || !(amd64 || arm64)

package ff1

func (f *Cipher) run(dst []byte, at []uint32, base []byte, spans []uint32, bad []Error, dec bool) []Error {
	return f.generic(dst, at, base, spans, bad, dec)
}
