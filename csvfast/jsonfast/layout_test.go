package jsonfast

import (
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestLayout checks the offsets of the fields that the kernels' generators use.
func TestLayout(t *testing.T) {
	simdtest.Layout(t, "../internal/asm/arrayquotes", "state", arrayState{})
	simdtest.Layout(t, "../internal/asm/arrayquotes", "note", arrayNote{})
	simdtest.Layout(t, "../internal/asm/shape", "node", shapeNode{})
	simdtest.Layout(t, "../internal/asm/shape", "value", shapeValue{})
	simdtest.Layout(t, "../internal/asm/shape", "state", shapeState{})
}
