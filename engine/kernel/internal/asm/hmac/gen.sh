# Run by ../generate.sh.
set -euo pipefail
go run . -tier avx512 -out ../../../hmacsha256/hmac_avx512_amd64.s
go run . -tier avx2 -out ../../../hmacsha256/hmac_avx2_amd64.s
go run . -tier arm64 -out ../../../hmacsha256/hmac_neon_arm64.s
