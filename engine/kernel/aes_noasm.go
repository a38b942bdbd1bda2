//go:build purego || !(amd64 || arm64)

package kernel

func expandKey(enc, inv *[15][16]byte, key *[32]byte) { expandKeyGeneric(enc, inv, key) }

func aesSchedule(*[15][16]byte, []byte, bool) bool { return false }
