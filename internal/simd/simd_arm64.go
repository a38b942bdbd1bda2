//go:build !purego

package simd

import (
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// needARM64 lists the instruction sets of the tier ARM64. cpuid asks the system for
// them (HWCAP on Linux, sysctl on macOS), so the registers are saved where they are
// reported.
var needARM64 = []cpuid.FeatureID{cpuid.ASIMD, cpuid.AESARM, cpuid.PMULL, cpuid.SHA2}

// SHA reports false: it is about SHA-NI of amd64. SHA2 is a part of the tier ARM64.
func SHA() bool { return false }

// detect lists the tiers of this CPU, best first.
func detect() []Tier {
	if cpuid.CPU.Supports(needARM64...) {
		return []Tier{ARM64, Generic}
	}
	return []Tier{Generic}
}

// Features returns the instruction sets that the tier in use relies on, in
// lower case; nothing for Generic.
func Features() []string {
	if active != ARM64 {
		return nil
	}
	names := make([]string, len(needARM64))
	for i, id := range needARM64 {
		names[i] = strings.ToLower(id.String())
	}
	return names
}
