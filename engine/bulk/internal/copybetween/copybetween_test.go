package copybetween

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// textCase is text with values in it, and the text that replaces it if every byte of a
// result is a #.
type textCase struct {
	src    []byte
	spans  []uint32
	outLen OutLen
	want   []byte
	at     []uint32
}

func newTextCase(r *rand.Rand, values, longest, widest int) *textCase {
	c := &textCase{}
	for n := 1; n < LongValue; n++ {
		c.outLen[n] = uint32(r.IntN(100))
	}
	text := func(n int) {
		for range n {
			b := byte('a' + r.IntN(26))
			c.src, c.want = append(c.src, b), append(c.want, b)
		}
	}
	for range values {
		text(r.IntN(widest + 1))
		n := r.IntN(longest + 1)
		c.spans = append(c.spans, uint32(len(c.src)), uint32(n))
		c.at = append(c.at, uint32(len(c.want)))
		c.src = append(c.src, bytes.Repeat([]byte{'0'}, n)...)
		if n < LongValue {
			c.want = append(c.want, bytes.Repeat([]byte{'#'}, int(c.outLen[n]))...)
		} else {
			c.want = append(c.want, '#')
		}
	}
	text(r.IntN(widest + 1))
	return c
}

// check calls Text as its users do and compares the result with c.want. src and dst lie
// before pages that fault, with srcRoom and dstRoom bytes between.
func (c *textCase) check(t *testing.T, srcRoom, dstRoom int) {
	t.Helper()
	page := simdtest.PageEnd(t, len(c.src)+srcRoom)
	src := page[:copy(page, c.src)]
	dst := simdtest.PageEnd(t, len(c.want)+dstRoom)
	at := make([]uint32, len(c.at))
	from, to := 0, 0
	for v := 0; ; v++ {
		var done int
		done, from, to = Text(dst, src, c.spans[2*v:], at[v:], &c.outLen, from, to)
		if v += done; v == len(at) {
			break
		}
		if c.spans[2*v+1] < LongValue {
			t.Fatalf("stopped before value %d of %d bytes, want only before LongValue or more", v, c.spans[2*v+1])
		}
		to += copy(dst[to:], src[from:c.spans[2*v]])
		at[v] = uint32(to)
		to++
		from = int(c.spans[2*v] + c.spans[2*v+1])
	}
	to += copy(dst[to:], src[from:])
	if to != len(c.want) {
		t.Fatalf("%d bytes, want %d", to, len(c.want))
	}
	for v, a := range at {
		if a != c.at[v] {
			t.Fatalf("result %d goes to offset %d, want %d", v, a, c.at[v])
		}
		n := uint32(1)
		if k := c.spans[2*v+1]; k < LongValue {
			n = c.outLen[k]
		}
		copy(dst[a:], bytes.Repeat([]byte{'#'}, int(n)))
	}
	if !bytes.Equal(dst[:to], c.want) {
		t.Fatalf("got  %q\nwant %q", dst[:to], c.want)
	}
}

// TestTextKernels checks that the text between values of any length is copied to the right
// offsets, and that nothing outside of the given memory is touched.
func TestTextKernels(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 600 {
			c := newTextCase(r, r.IntN(40), []int{0, 13, 63, 90}[r.IntN(4)], []int{0, 3, 70, 200, 1000}[i%5])
			c.check(t, []int{0, 1, 63, 64, 128}[r.IntN(5)], []int{0, 1, 31, 64, 100}[r.IntN(5)])
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add(uint64(1), uint16(20), uint8(13), uint16(70), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, values uint16, longest uint8, widest uint16, room uint8) {
		c := newTextCase(rand.New(rand.NewPCG(seed, 1)), int(values%500), int(longest), int(widest%2000))
		defer simd.Force("auto")
		for _, name := range simd.Kernels() {
			if err := simd.Force(name); err != nil {
				t.Fatal(err)
			}
			c.check(t, int(room), int(room))
		}
	})
}
