package hmacsha256

import "github.com/velonym/velonym/internal/simd"

// paths counts, for tests, the paths that values take through this package.
var paths struct {
	alike   simd.Path // values of one number of blocks
	sorted  simd.Path // values sorted by their blocks
	streams simd.Path // pairs of padded messages
	long    simd.Path // values of more than maxBlocks blocks
}
