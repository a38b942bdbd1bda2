//go:build purego || !(amd64 || arm64)

package aes

func expandKey(enc, inv *Schedule, key *[32]byte) { expandKeyGeneric(enc, inv, key) }

func blocksKernel(*Schedule, []byte, bool) bool { return false }
