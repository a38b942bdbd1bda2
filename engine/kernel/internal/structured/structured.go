// Package structured runs the differential tests of kernels over values as files have them: a long
// stretch of one shape and then another one. Faults of kernels appear if the shape changes at the
// end of a lane, a group or a chunk. Every offset around those is therefore tried, for every
// operation and tier, and compared with the portable twin of each value.
package structured

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// Arena is values in one slice of bytes.
type Arena struct {
	Src   []byte
	Spans []uint32 // off, len in Src
}

// Add appends a value.
func (a *Arena) Add(v []byte) {
	a.Spans = append(a.Spans, uint32(len(a.Src)), uint32(len(v)))
	a.Src = append(a.Src, v...)
}

// Value returns value i.
func (a *Arena) Value(i int) []byte { return a.Src[a.Spans[2*i]:][:a.Spans[2*i+1]] }

// Guard moves the values in front of a page that faults, with padding bytes between.
func (a *Arena) Guard(t testing.TB, padding int) {
	t.Helper()
	mem := simdtest.PageEnd(t, len(a.Src)+padding)
	a.Src = mem[:copy(mem, a.Src)]
}

// Shape is eight values of one kind, which a batch repeats.
type Shape struct {
	Name   string
	Values [8][]byte
}

// ShapeOf returns the shape of value(0) to value(7).
func ShapeOf(name string, value func(i int) string) Shape {
	s := Shape{Name: name}
	for i := range s.Values {
		s.Values[i] = []byte(value(i))
	}
	return s
}

// Same returns v for every i, for ShapeOf.
func Same(v string) func(int) string { return func(int) string { return v } }

// Digits returns a shape of values of n digits.
func Digits(n int) Shape {
	return ShapeOf(fmt.Sprint(n, " digits"), func(i int) string {
		return strings.Repeat(fmt.Sprint(9012345678+1111111*i), n/10+1)[:n]
	})
}

// Op is an operation of a package.
type Op struct {
	Name    string
	Base    Shape
	Changes []Shape
	Borders []int // of lanes, groups and chunks
	// Twin returns the result of a value by portable code. ok is false for a value that a call
	// leaves to its caller.
	Twin func(v []byte) (result []byte, ok bool)
	// Run processes all values and records their results.
	Run func(a *Arena, r *Results)
	// Lazy states that a call may leave any value to its caller.
	Lazy bool
}

// Results are the results of an operation.
type Results struct {
	Dst       []byte
	Out       []uint32 // off, len in Dst
	Left      []bool   // values that the call left to its caller
	Pre, Post string   // around every result, in rows; unused if Framed is false
	Framed    bool
}

func (r *Results) reset(n int) {
	r.Dst, r.Out, r.Left = r.Dst[:0], slices.Grow(r.Out[:0], 2*n)[:2*n], slices.Grow(r.Left[:0], n)[:n]
	clear(r.Left)
}

// Tight gives Dst, for every other number of values, a capacity of exactly the rows of the given
// length.
func (r *Results) Tight(a *Arena, row int) {
	if n := len(a.Spans) / 2; n%2 == 0 {
		r.Dst = make([]byte, 0, n*row)
	}
}

// Stepwise calls f, which processes a prefix, until all values are processed or left to the caller.
func (r *Results) Stepwise(a *Arena, f func(spans, out []uint32) (done int)) {
	for n, from := len(a.Spans)/2, 0; from < n; {
		from += f(a.Spans[2*from:], r.Out[2*from:])
		if from < n {
			r.Left[from] = true
			from++
		}
	}
}

// offsets returns the offsets at which the shape changes: those within 130 values of every border.
// Around distant borders, whose batches are large, each kind of change occurs at every fourth
// offset, and all kinds together at every one.
func (o *Op) offsets(kind, step int) (list []int) {
	for _, b := range o.Borders {
		from, every := max(0, b-130), step
		if b > 64 {
			from, every = from+kind%4*step, 4*step
		}
		for at := from; at <= b+130; at += every {
			if n := len(list); n == 0 || list[n-1] < at {
				list = append(list, at)
			}
		}
	}
	return list
}

// want is the twin's result of a value.
type want struct {
	result []byte
	ok     bool
}

// twins returns the results of a shape by portable code.
func (o *Op) twins(t *testing.T, s Shape) (w [8]want) {
	tier := simd.Kernel()
	if err := simd.Force("generic"); err != nil {
		t.Fatal(err)
	}
	for i, v := range s.Values {
		w[i].result, w[i].ok = o.Twin(v)
	}
	if err := simd.Force(tier); err != nil {
		t.Fatal(err)
	}
	return w
}

// check runs the operation over a stretch with a change at every offset: of one value, of 21, or of
// all following values.
func (o *Op) check(t *testing.T, step int) {
	base := o.twins(t, o.Base)
	var r Results
	round := 0
	for kind, change := range o.Changes {
		changed := o.twins(t, change)
		for _, at := range o.offsets(kind, step) {
			round++
			length := []int{1, 21, 1 << 30}[round%3]
			n := at + 1 + []int{0, 3, 40, 200}[round%4]
			a := &Arena{}
			wants := make([]want, n)
			for i := range n {
				v, w := o.Base.Values[i%8], base[i%8]
				if i >= at && i-at < length {
					v, w = change.Values[i%8], changed[i%8]
				}
				a.Add(v)
				a.Src = append(a.Src, "\",\""[:round%4]...)
				wants[i] = w
			}
			if round%2 == 0 {
				a.Src = append(make([]byte, 0, len(a.Src)+64), a.Src...)
			} else {
				a.Src = slices.Clip(a.Src)
			}
			r.reset(n)
			o.Run(a, &r)
			if fault := o.compare(&r, wants); fault != "" {
				t.Fatalf("%s: %d values of %s, %d of %s from %d on: %s", o.Name, n, o.Base.Name, length, change.Name, at, fault)
			}
		}
	}
}

// compare describes the difference between the results and wants, "" if there is none.
func (o *Op) compare(r *Results, wants []want) string {
	end := 0
	for i, w := range wants {
		if r.Left[i] {
			if w.ok && !o.Lazy {
				return fmt.Sprintf("value %d is left", i)
			}
			continue
		}
		if !w.ok {
			return fmt.Sprintf("value %d is taken", i)
		}
		off, l := int(r.Out[2*i]), int(r.Out[2*i+1])
		if l != len(w.result) || off+l > len(r.Dst) || !bytes.Equal(r.Dst[off:off+l], w.result) {
			return fmt.Sprintf("value %d is another", i)
		}
		if !r.Framed {
			continue
		}
		if off != end+len(r.Pre) || string(r.Dst[end:off]) != r.Pre || off+l+len(r.Post) > len(r.Dst) || string(r.Dst[off+l:off+l+len(r.Post)]) != r.Post {
			return fmt.Sprintf("value %d stands at %d with another frame", i, off)
		}
		end = off + l + len(r.Post)
	}
	if r.Framed && end != len(r.Dst) {
		return fmt.Sprintf("%d bytes, want %d", len(r.Dst), end)
	}
	return ""
}

// Run runs operations and other checks on every tier, and fails unless the fast paths of the tier
// were taken often enough. The checks get a larger step if fewer offsets suffice.
func Run(t *testing.T, ops []*Op, paths func(tier string) map[string]*simd.Path, others ...func(t *testing.T, step int)) {
	step, least := 3, int64(200)
	if os.Getenv("VELONYM_SOAK") != "" {
		step = 1
	}
	if testing.Short() {
		step, least = 9, 50
	}
	simd.CountPaths(true)
	t.Cleanup(func() { simd.CountPaths(false) })
	simdtest.EachKernel(t, func(t *testing.T) {
		want := paths(simd.Kernel())
		for _, p := range want {
			p.Reset()
		}
		step := step
		if simd.Kernel() == "generic" { // what it is compared with
			step *= 8
		}
		for _, o := range ops {
			o.check(t, step)
		}
		for _, check := range others {
			check(t, step)
		}
		for name, p := range want {
			if n := p.Taken(); n < least {
				t.Errorf("path %s was taken %d times, want at least %d: the inputs no longer reach it", name, n, least)
			}
		}
	})
}
