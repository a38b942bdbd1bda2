package csvfast

import (
	"fmt"
	"slices"
)

// tier names a set of kernels. All loops of the package switch on active.
type tier uint8

const (
	tierGeneric tier = iota
	tierARM64
	tierAVX2
	tierAVX512
)

var tierNames = [...]string{tierGeneric: "generic", tierARM64: "arm64", tierAVX2: "avx2", tierAVX512: "avx512"}

// active is the tier in use. It is written by SetKernel alone.
var active = available()[0]

// Kernels returns the tiers that this CPU can run, best first. The last is
// always "generic".
func Kernels() []string {
	var names []string
	for _, t := range available() {
		names = append(names, tierNames[t])
	}
	return names
}

// Kernel returns the tier in use.
func Kernel() string { return tierNames[active] }

// SetKernel chooses a tier by its name, or the best one for "auto". It is for
// start-up and tests: it must not run while anything of this package does.
func SetKernel(name string) error {
	tiers := available()
	if name == "auto" {
		active = tiers[0]
		return nil
	}
	for _, t := range tiers {
		if tierNames[t] == name {
			active = t
			return nil
		}
	}
	if slices.Contains(tierNames[:], name) {
		return fmt.Errorf("csvfast: this CPU cannot run kernel %s; it can run %v", name, Kernels())
	}
	return fmt.Errorf("csvfast: unknown kernel; choose auto or one of %v", Kernels())
}
