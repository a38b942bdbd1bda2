package kernel

func expandKey(enc, inv *[15][16]byte, key *[32]byte) { expandKeyGeneric(enc, inv, key) }
