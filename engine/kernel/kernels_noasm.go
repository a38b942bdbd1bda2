//go:build purego || !(amd64 || arm64)

package kernel

// detect lists the portable tier alone.
func detect() []tier { return []tier{tierGeneric} }

// Features returns the instruction sets that the tier in use relies on, in
// lower case; nothing for the portable one.
func Features() []string { return nil }
