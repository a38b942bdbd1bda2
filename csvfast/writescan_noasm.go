//go:build purego || !(amd64 || arm64)

package csvfast

func jsonSpecialTier(v []byte) int { return jsonSpecialGeneric(v) }

func csvSpecialTier(v []byte, a, b byte) int { return csvSpecialGeneric(v, a, b) }
