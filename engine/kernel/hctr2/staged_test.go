//go:build !purego && (amd64 || arm64)

package hctr2

import (
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestTextBlocks compares the check of many texts at once with the rules.
func TestTextBlocks(t *testing.T) {
	simdtest.Alone(t)
	simdtest.EachKernel(t, func(t *testing.T) {
		var src []byte
		var spans []uint32
		structured.EdgeTexts(func(v []byte) {
			spans = append(spans, uint32(len(src)), uint32(len(v)))
			src = append(src, v...)
		})
		for len(spans) > 0 {
			var g copied
			n := min(16, len(spans)/2)
			g.fill(src, spans[:2*n])
			want := 0
			for want < n && structured.IsText(src[spans[2*want]:][:spans[2*want+1]]) {
				want++
			}
			if got := g.texts(n); got != want {
				t.Fatalf("a prefix of %d texts, want %d; then %q", got, want, src[spans[2*want]:][:spans[2*want+1]])
			}
			spans = spans[2*max(1, want):]
		}
	})
}
