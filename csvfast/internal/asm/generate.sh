#!/usr/bin/env bash
# Writes all generated assembly of csvfast and bench; the result must be what is
# committed. Every generator is a main package here; one run writes one file.
set -euo pipefail
cd "$(dirname "$0")"
gen() { # package, tier, file
	go run "./$1" "$2" >"../../$3.new"
	mv "../../$3.new" "../../$3"
}
gen index avx512 index_avx512_amd64.s
gen index avx2 index_avx2_amd64.s
gen index neon index_neon_arm64.s
gen parity avx512 parity_avx512_amd64.s
gen parity avx2 parity_avx2_amd64.s
gen parity neon parity_neon_arm64.s
gen readpass avx2 ../bench/readpass_amd64.s
bash json.sh
