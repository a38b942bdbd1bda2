package kernel

import (
	"fmt"
	"strings"
)

// tier is a set of kernels that one CPU can run, one kernel a primitive.
type tier uint8

const (
	tierGeneric tier = iota // portable Go
	tierARM64               // NEON, AES, PMULL, SHA2
	tierAVX2                // AVX2 with AES-NI; wider AES and SHA-NI where the CPU has them
	tierAVX512              // AVX-512 with VBMI2, VAES and VPCLMULQDQ
)

// String returns the name that SetKernel takes.
func (t tier) String() string {
	switch t {
	case tierAVX512:
		return "avx512"
	case tierAVX2:
		return "avx2"
	case tierARM64:
		return "arm64"
	}
	return "generic"
}

// tiers lists what this CPU can run, best first; the last is tierGeneric.
var tiers = detect()

// active is the tier in use. It is written by SetKernel only, which is not for
// concurrent use with anything here, so that the hot paths read a plain byte.
var active = tiers[0]

// Kernels returns the names of the tiers that this CPU and build can run, best
// first, always ending in "generic".
func Kernels() []string {
	names := make([]string, len(tiers))
	for i, t := range tiers {
		names[i] = t.String()
	}
	return names
}

// Kernel returns the name of the tier in use: the best one, unless SetKernel
// chose another.
func Kernel() string { return active.String() }

// SetKernel chooses a tier for all primitives: a name that Kernels returns, or
// "auto" for the best. It is meant for start-up and tests and must not run
// while other functions of this package do. Keys made before the call stay
// valid.
func SetKernel(name string) error {
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
