//go:build !purego

package csvfast

import "github.com/klauspost/cpuid/v2"

// Every feature that a tier's kernels use, here or in the other rooms, so that
// one name means one thing everywhere.
var (
	needAVX512 = []cpuid.FeatureID{
		cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VBMI, cpuid.AVX512VBMI2,
		cpuid.VAES, cpuid.VPCLMULQDQ, cpuid.CLMUL, cpuid.BMI1, cpuid.BMI2, cpuid.POPCNT, cpuid.LZCNT,
	}
	needAVX2 = []cpuid.FeatureID{
		cpuid.AVX, cpuid.AVX2, cpuid.AESNI, cpuid.CLMUL, cpuid.BMI1, cpuid.BMI2, cpuid.POPCNT, cpuid.LZCNT,
	}
)

// available lists the tiers of this CPU, best first. cpuid looks at the
// operating system's state too: it shows AVX-512 only where registers are saved.
func available() []tier {
	var tiers []tier
	if cpuid.CPU.Supports(needAVX2...) {
		if cpuid.CPU.Supports(needAVX512...) {
			tiers = append(tiers, tierAVX512)
		}
		tiers = append(tiers, tierAVX2)
	}
	return append(tiers, tierGeneric)
}
