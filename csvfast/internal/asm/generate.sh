#!/usr/bin/env bash
# Writes all generated assembly of csvfast; the result must be what is committed.
# Every generator is a main package here; one run writes one file.
set -euo pipefail
cd "$(dirname "$0")"
gen() { # package, tier, file
	go run "./$1" "$2" >"../../$3.new"
	mv "../../$3.new" "../../$3"
}
gen index avx512 index_avx512_amd64.s
