//go:build !purego

package simd

import (
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// The instruction sets of each tier, named one by one. cpuid reports AVX and AVX2
// only if the system saves the YMM registers (XCR0 bits 1 and 2), and any AVX512
// feature only if it saves the ZMM and mask registers too (XCR0 bits 5 to 7). AESNI,
// SHA and CLMUL use XMM registers, which are always saved on amd64.
var (
	needAVX2 = []cpuid.FeatureID{cpuid.AVX2, cpuid.AVX, cpuid.AESNI, cpuid.CLMUL, cpuid.SSSE3, cpuid.SSE4,
		cpuid.BMI1, cpuid.BMI2, cpuid.POPCNT, cpuid.LZCNT}
	needAVX512 = append([]cpuid.FeatureID{cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL,
		cpuid.AVX512VBMI, cpuid.AVX512VBMI2, cpuid.VAES, cpuid.VPCLMULQDQ}, needAVX2...)
)

var (
	// hasVAES: VAES and VPCLMULQDQ have CPUID bits of their own (leaf 7, ECX 9 and
	// 10), which cpuid reports without AVX-512: Zen 3 and Alder Lake have them and no
	// AVX-512. The VEX encodings need the state of the YMM registers only, which AVX2
	// implies.
	hasVAES = cpuid.CPU.Supports(needAVX2...) && cpuid.CPU.Supports(cpuid.VAES, cpuid.VPCLMULQDQ)

	// hasSHA: the SHA-NI kernels use SSSE3 and SSE4.1 too.
	hasSHA = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)
)

// VAES reports whether kernels of the tier AVX2 may use VAES and VPCLMULQDQ on YMM
// registers.
func VAES() bool { return hasVAES }

// SHA reports whether kernels of the tiers AVX2 and AVX512 may use SHA-NI.
func SHA() bool { return hasSHA }

// detect lists the tiers of this CPU, best first.
func detect() []Tier {
	var list []Tier
	if cpuid.CPU.Supports(needAVX512...) {
		list = append(list, AVX512)
	}
	if cpuid.CPU.Supports(needAVX2...) {
		list = append(list, AVX2)
	}
	return append(list, Generic)
}

// Features returns the instruction sets that the tier in use relies on, in
// lower case; nothing for Generic.
func Features() []string {
	var ids []cpuid.FeatureID
	switch active {
	case AVX512:
		ids = append(ids, needAVX512...)
	case AVX2:
		ids = append(ids, needAVX2...)
		if hasVAES {
			ids = append(ids, cpuid.VAES, cpuid.VPCLMULQDQ)
		}
	default:
		return nil
	}
	if hasSHA {
		ids = append(ids, cpuid.SHA)
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = strings.ToLower(id.String())
	}
	return names
}
