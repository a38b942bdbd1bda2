package csvfast

import (
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestLayout: the kernels' generator knows where the fields of the index state are.
func TestLayout(t *testing.T) {
	simdtest.Layout(t, "internal/asm/index", "st", indexState{})
}
