package textform

import "github.com/velonym/velonym/internal/simd"

// paths counts, for tests, the paths that blocks take through this package.
var paths struct {
	encodeAt   simd.Path // EncodeAt by a kernel
	rows       simd.Path // Rows by a kernel
	decodeLong simd.Path // Form.Decode by a kernel
}
