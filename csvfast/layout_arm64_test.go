//go:build !purego

package csvfast

import (
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestLayoutOfMasks is TestLayout for the structure that the arm64 kernel writes.
func TestLayoutOfMasks(t *testing.T) {
	simdtest.Layout(t, "internal/asm/index", "masks", blockMasks{})
}
