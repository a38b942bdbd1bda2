set -euo pipefail
go run . -tier avx512 -out ../../../hmac_avx512_amd64.s
go run . -tier avx2 -out ../../../hmac_avx2_amd64.s
go run . -tier arm64 -out ../../../hmac_neon_arm64.s
