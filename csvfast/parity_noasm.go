//go:build purego || !(amd64 || arm64)

package csvfast

func parity(buf []byte, quote byte) bool { return parityGeneric(buf, quote) }
