#!/usr/bin/env bash
# Writes the generated assembly of JSON, of UTF-8 and of the writers. generate.sh
# calls it.
set -euo pipefail
cd "$(dirname "$0")"
gen() { # package, file without tier, tiers
	for tier in $3; do
		case $tier in
		arm64) file=$2_neon_arm64.s ;;
		*) file=$2_${tier}_amd64.s ;;
		esac
		go run "./$1" -tier "$tier" -out "../../$file"
	done
}
gen jsonarray jsonarray "avx512 avx2 arm64"
gen jsonlines ndjsonshape "avx512 avx2 arm64"
gen jsonutf8 jsonutf8 "avx512 avx2 arm64"
gen write writescan "avx512 avx2 arm64"
