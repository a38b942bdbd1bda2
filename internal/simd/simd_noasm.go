//go:build purego || !(amd64 || arm64)

package simd

// SHA reports false: there is no assembly here.
func SHA() bool { return false }

// detect returns only Generic.
func detect() []Tier { return []Tier{Generic} }

// Features returns nothing: Generic relies on no instruction set.
func Features() []string { return nil }
