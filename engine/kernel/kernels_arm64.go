//go:build !purego

package kernel

import (
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// needARM64 is what the arm64 kernels use. cpuid asks the system for them
// (HWCAP on Linux, sysctl on macOS), so the registers are saved where they are
// reported.
var needARM64 = []cpuid.FeatureID{cpuid.ASIMD, cpuid.AESARM, cpuid.PMULL, cpuid.SHA2}

// detect lists the tiers of this CPU, best first.
func detect() []tier {
	if cpuid.CPU.Supports(needARM64...) {
		return []tier{tierARM64, tierGeneric}
	}
	return []tier{tierGeneric}
}

// Features returns the instruction sets that the tier in use relies on, in
// lower case; nothing for the portable one.
func Features() []string {
	if active != tierARM64 {
		return nil
	}
	names := make([]string, len(needARM64))
	for i, id := range needARM64 {
		names[i] = strings.ToLower(id.String())
	}
	return names
}
