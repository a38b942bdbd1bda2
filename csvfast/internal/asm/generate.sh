#!/usr/bin/env bash
# Writes all generated assembly of csvfast, csvfast/jsonfast and bench; the result must
# be what is committed. Every generator is a main package here; one run writes one file.
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

tiers() { # package, file without tier, further flags
	local in=$1 out=$2
	shift 2
	go run "./$in" "$@" -tier avx512 -out "../../${out}_avx512_amd64.s"
	go run "./$in" "$@" -tier avx2 -out "../../${out}_avx2_amd64.s"
	go run "./$in" "$@" -tier arm64 -out "../../${out}_neon_arm64.s"
}
tiers special special -format csv
tiers special jsonfast/special -format json
tiers arrayquotes jsonfast/arrayquotes
tiers shape jsonfast/shape
tiers utf8 jsonfast/utf8
