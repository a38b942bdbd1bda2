//go:build purego || !(amd64 || arm64)

package csvfast

// available lists the tiers of this CPU, best first.
func available() []tier { return []tier{tierGeneric} }
