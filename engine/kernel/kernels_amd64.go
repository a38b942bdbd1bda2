//go:build !purego

package kernel

import (
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// What each tier needs, every instruction set that its kernels use named one by
// one. cpuid reports AVX and AVX2 only if the system saves the YMM registers
// (XCR0 bits 1 and 2), and any AVX512 feature only if it saves the ZMM and mask
// registers too (XCR0 bits 5 to 7). AESNI, SHA and PCLMULQDQ use XMM registers,
// which are always saved on amd64.
var (
	needAVX2 = []cpuid.FeatureID{cpuid.AVX2, cpuid.AVX, cpuid.AESNI, cpuid.CLMUL, cpuid.SSSE3, cpuid.SSE4,
		cpuid.BMI1, cpuid.BMI2, cpuid.POPCNT}
	needAVX512 = append([]cpuid.FeatureID{cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL,
		cpuid.AVX512VBMI, cpuid.AVX512VBMI2, cpuid.VAES, cpuid.VPCLMULQDQ}, needAVX2...)
)

var (
	cpuAVX2   = cpuid.CPU.Supports(needAVX2...)
	cpuAVX512 = cpuid.CPU.Supports(needAVX512...)

	// cpuVAES says that AES runs on YMM registers. VAES and VPCLMULQDQ have
	// CPUID bits of their own (leaf 7, ECX 9 and 10) which cpuid passes on
	// without asking for AVX-512: Zen 3 and Alder Lake have them and no
	// AVX-512. The VEX encodings need no state but the YMM registers, which
	// AVX2 vouches for.
	cpuVAES = cpuAVX2 && cpuid.CPU.Supports(cpuid.VAES, cpuid.VPCLMULQDQ)

	// cpuSHA says that SHA-NI is there; its kernels use SSSE3 and SSE4.1 too.
	cpuSHA = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)
)

// detect lists the tiers of this CPU, best first.
func detect() []tier {
	var list []tier
	if cpuAVX512 {
		list = append(list, tierAVX512)
	}
	if cpuAVX2 {
		list = append(list, tierAVX2)
	}
	return append(list, tierGeneric)
}

// Features returns the instruction sets that the tier in use relies on, in
// lower case; nothing for the portable one.
func Features() []string {
	var ids []cpuid.FeatureID
	switch active {
	case tierAVX512:
		ids = append(ids, needAVX512...)
	case tierAVX2:
		ids = append(ids, needAVX2...)
		if cpuVAES {
			ids = append(ids, cpuid.VAES, cpuid.VPCLMULQDQ)
		}
	default:
		return nil
	}
	if cpuSHA {
		ids = append(ids, cpuid.SHA)
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = strings.ToLower(id.String())
	}
	return names
}
