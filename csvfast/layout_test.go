package csvfast

import (
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestLayout checks the offsets of the index state that the kernels' generator uses.
func TestLayout(t *testing.T) {
	simdtest.Layout(t, "internal/asm/index", "st", indexState{})
}
