//go:build purego || !(amd64 || arm64)

package csvfast

func specialTier(v []byte, a, b byte) int { return specialGeneric(v, a, b) }
