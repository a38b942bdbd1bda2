//go:build purego || !(amd64 || arm64)

package jsonfast

func specialTier(v []byte) int { return specialGeneric(v) }
