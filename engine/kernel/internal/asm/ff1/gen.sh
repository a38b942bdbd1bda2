set -euo pipefail
go run . -tier avx512 -out ../../../ff1_avx512_amd64.s
go run . -tier avx2 -out ../../../ff1_avx2_amd64.s
go run . -tier arm64 -out ../../../ff1_neon_arm64.s
