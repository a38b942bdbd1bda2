//go:build !purego

package csvfast

import (
	"slices"

	"github.com/klauspost/cpuid/v2"
)

// available lists the tiers of this CPU, best first.
func available() []tier {
	var tiers []tier
	if cpuid.CPU.Supports(cpuid.ASIMD, cpuid.AESARM, cpuid.PMULL) {
		tiers = append(tiers, tierARM64)
	}
	return slices.Clip(append(tiers, tierGeneric))
}
