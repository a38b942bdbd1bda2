package copybetween

import (
	"bytes"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestStructured changes the length of one value, or of the text before it, after every
// number of equal ones, and fails unless the kernels ran.
func TestStructured(t *testing.T) {
	step, least := 1, int64(500)
	if testing.Short() {
		step, least = 9, 50
	}
	simd.CountPaths(true)
	t.Cleanup(func() { simd.CountPaths(false) })
	var outLen OutLen
	for i := range outLen {
		outLen[i] = uint32(i * 2 % 90)
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		byKernel.Reset()
		for _, change := range [][2]int{{13, 0}, {13, 200}, {13, 64}, {0, 3}, {63, 3}, {64, 3}, {1, 63}, {90, 65}} {
			for at := 0; at < 300; at += step {
				c := &textCase{outLen: outLen}
				for i := range at + 20 {
					n, gap := 13, 9
					if i == at {
						n, gap = change[0], change[1]
					}
					c.add(strings.Repeat("abcdefghij,;.-_", gap/15+1)[:gap], n)
				}
				for _, room := range []int{0, 64} {
					c.check(t, room, room)
				}
			}
		}
		switch n := byKernel.Taken(); simd.Active() {
		case simd.AVX512, simd.AVX2:
			if n < least {
				t.Errorf("the kernel copied in %d calls, want %d: the inputs no longer reach it", n, least)
			}
		default:
			if n != 0 {
				t.Errorf("a kernel copied in %d calls of a tier that has none", n)
			}
		}
	})
}

// add appends text and a value of n bytes after it.
func (c *textCase) add(gap string, n int) {
	c.src, c.want = append(c.src, gap...), append(c.want, gap...)
	c.spans, c.at = append(c.spans, uint32(len(c.src)), uint32(n)), append(c.at, uint32(len(c.want)))
	c.src = append(c.src, bytes.Repeat([]byte{'0'}, n)...)
	width := 1 // check writes one byte for a long value
	if n < LongValue {
		width = int(c.outLen[n])
	}
	c.want = append(c.want, bytes.Repeat([]byte{'#'}, width)...)
}
