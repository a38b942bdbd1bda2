// Package simd is the registry of CPU tiers. The tokenizer and the kernels of the
// transforms share it, so that one name forces the same tier for all of them.
//
// A tier is a set of instruction sets. Every package with assembly has at most one
// kernel per tier and loop, and a portable Go version of the loop, the tier Generic.
// A tier is available if the CPU and the operating system support every instruction
// set that any kernel of the tier uses.
package simd

import (
	"fmt"
	"slices"
	"strings"
)

// Tier is a set of instruction sets that kernels rely on.
type Tier uint8

const (
	Generic Tier = iota // portable Go
	ARM64               // NEON, AES, PMULL, SHA2
	AVX2                // AVX2 with AES-NI; VAES and SHA-NI where the CPU has them
	AVX512              // AVX-512 with VBMI2, VAES and VPCLMULQDQ
)

// String returns the name for Force.
func (t Tier) String() string {
	switch t {
	case AVX512:
		return "avx512"
	case AVX2:
		return "avx2"
	case ARM64:
		return "arm64"
	}
	return "generic"
}

// tiers lists what this CPU and build can run, best first; the last is Generic.
var tiers = detect()

// active is the tier in use. Only Force writes it. Force must not run concurrently
// with a kernel, so hot paths read a plain byte.
var active = tiers[0]

// Active returns the tier in use: the best one, unless Force chose another.
func Active() Tier { return active }

// Has reports whether this CPU and build can run the tier t, in use or not.
func Has(t Tier) bool { return slices.Contains(tiers, t) }

// Kernel returns the name of the tier in use.
func Kernel() string { return active.String() }

// Kernels returns the names of the tiers that this CPU and build can run, best
// first. The last is always "generic".
func Kernels() []string {
	names := make([]string, len(tiers))
	for i, t := range tiers {
		names[i] = t.String()
	}
	return names
}

// Force chooses the tier for the tokenizer and all transforms: a name that Kernels
// returns, or "auto" for the best. It is for start-up and tests and must not run
// concurrently with any kernel. Key schedules made before the call stay valid.
func Force(name string) error {
	if name == "auto" {
		active = tiers[0]
		return nil
	}
	for _, t := range tiers {
		if t.String() == name {
			active = t
			return nil
		}
	}
	return fmt.Errorf("kernel: %q does not run here: choose auto, %s", name, strings.Join(Kernels(), ", "))
}
