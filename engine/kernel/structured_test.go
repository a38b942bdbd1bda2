package kernel

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// Values as files have them: a long stretch of one shape, and then another one. Faults
// of kernels stand where the shape changes at the end of a lane, a group or a chunk, so
// that every offset around those is tried, for every operation and tier, against the
// portable twin of each value alone.

// shapes are eight values of a kind that take turns.
type shapes struct {
	name   string
	values [8][]byte
}

func shapeOf(name string, value func(i int) string) shapes {
	s := shapes{name: name}
	for i := range s.values {
		s.values[i] = []byte(value(i))
	}
	return s
}

func same(v string) func(int) string { return func(int) string { return v } }

func digits(n int) shapes {
	return shapeOf(fmt.Sprint(n, " digits"), func(i int) string {
		return strings.Repeat(fmt.Sprint(9012345678+1111111*i), n/10+1)[:n]
	})
}

// structured is an operation of this package.
type structured struct {
	name    string
	base    shapes
	changes []shapes
	borders []int // of lanes, groups and chunks
	// twin is the result of a value by portable code; ok is false where a call leaves
	// the value to its caller.
	twin func(v []byte) (result []byte, ok bool)
	// run takes all values and notes their results.
	run func(a *arena, r *results)
	// lazy says that a call may leave any value to its caller.
	lazy bool
}

// results are what an operation made of values.
type results struct {
	dst       []byte
	out       []uint32 // off, len in dst
	left      []bool
	pre, post string // around every result, one after the other; places, if framed is false
	framed    bool
}

func (r *results) reset(n int) {
	r.dst, r.out, r.left = r.dst[:0], slices.Grow(r.out[:0], 2*n)[:2*n], slices.Grow(r.left[:0], n)[:n]
	clear(r.left)
}

// tight gives dst room for rows of the given length and not a byte more, for every
// other number of values.
func (r *results) tight(a *arena, row int) {
	if n := len(a.spans) / 2; n%2 == 0 {
		r.dst = make([]byte, 0, n*row)
	}
}

// stepwise calls f for leading values until all are done or left.
func (r *results) stepwise(a *arena, f func(spans, out []uint32) (done int)) {
	for n, from := len(a.spans)/2, 0; from < n; {
		from += f(a.spans[2*from:], r.out[2*from:])
		if from < n {
			r.left[from] = true
			from++
		}
	}
}

// offsets are where a shape changes: within 130 values of every border. Around the far
// ones, whose batches are large, one kind of change is at every fourth, each at others,
// so that all kinds together are at every one.
func (o *structured) offsets(kind, step int) (list []int) {
	for _, b := range o.borders {
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

// check runs the operation over a stretch with a change at every offset: of one value,
// of 21, or for good, and once from each.
func (o *structured) check(t *testing.T, step int) {
	tier := simd.Kernel()
	type want struct {
		result []byte
		ok     bool
	}
	twins := func(s shapes) (w [8]want) {
		if err := simd.Force("generic"); err != nil {
			t.Fatal(err)
		}
		for i, v := range s.values {
			w[i].result, w[i].ok = o.twin(v)
		}
		if err := simd.Force(tier); err != nil {
			t.Fatal(err)
		}
		return w
	}
	base := twins(o.base)
	var r results
	round := 0
	for kind, change := range o.changes {
		changed := twins(change)
		for _, at := range o.offsets(kind, step) {
			round++
			length := []int{1, 21, 1 << 30}[round%3]
			n := at + 1 + []int{0, 3, 40, 200}[round%4]
			a := &arena{}
			for i := range n {
				v := o.base.values[i%8]
				if i >= at && i-at < length {
					v = change.values[i%8]
				}
				a.add(v)
				a.src = append(a.src, "\",\""[:round%4]...)
			}
			if round%2 == 0 {
				a.src = append(make([]byte, 0, len(a.src)+64), a.src...)
			} else {
				a.src = slices.Clip(a.src)
			}
			r.reset(n)
			o.run(a, &r)
			end := 0
			for i := range n {
				w := base[i%8]
				if i >= at && i-at < length {
					w = changed[i%8]
				}
				where := func() string {
					return fmt.Sprintf("%s: %d values of %s, %d of %s from %d on: value %d", o.name, n, o.base.name, length, change.name, at, i)
				}
				if r.left[i] {
					if w.ok && !o.lazy {
						t.Fatalf("%s is left", where())
					}
					continue
				}
				if !w.ok {
					t.Fatalf("%s is taken", where())
				}
				off, l := int(r.out[2*i]), int(r.out[2*i+1])
				if l != len(w.result) || off+l > len(r.dst) || !bytes.Equal(r.dst[off:off+l], w.result) {
					t.Fatalf("%s is another", where())
				}
				if !r.framed {
					continue
				}
				if off != end+len(r.pre) || string(r.dst[end:off]) != r.pre || off+l+len(r.post) > len(r.dst) || string(r.dst[off+l:off+l+len(r.post)]) != r.post {
					t.Fatalf("%s stands at %d with another frame", where(), off)
				}
				end = off + l + len(r.post)
			}
			if r.framed && end != len(r.dst) {
				t.Fatalf("%s, change at %d: %d bytes, want %d", o.name, at, len(r.dst), end)
			}
		}
	}
}

// TestStructured runs every operation on every tier, and fails unless the fast paths
// that the tier has ran.
func TestStructured(t *testing.T) {
	step, least := 1, int64(500)
	if testing.Short() {
		step, least = 9, 50
	}
	counting = true
	t.Cleanup(func() { counting = false })
	simdtest.EachKernel(t, func(t *testing.T) {
		for p := range pathRuns {
			pathRuns[p].Store(0)
		}
		step := step
		if simd.Kernel() == "generic" { // what it is compared with
			step *= 8
		}
		for _, o := range slices.Concat(oneBlockOps(t), longOps(t), otherOps(t)) {
			o.check(t, step)
		}
		structuredBlocks(t, step)
		for p, name := range pathsOf(simd.Kernel()) {
			if n := pathRuns[p].Load(); n < least {
				t.Errorf("path %s ran %d times, want %d: the inputs no longer reach it", name, n, least)
			}
		}
	})
}

// pathsOf are the paths that a tier must have taken.
func pathsOf(tier string) map[path]string {
	all := map[path]string{
		pathRowsWide: "rows wide", pathRowsGroup: "rows group", pathAtWide: "at wide", pathAtGroup: "at group",
		pathOpenWide: "open wide", pathTranslateWide: "translate wide", pathDecodeWide: "decode wide",
		pathLongDirect: "long direct", pathLongFilled: "long filled", pathLongStaged: "long staged",
		pathLongRows: "long rows", pathMixed: "mixed", pathCryptWhole: "crypt whole", pathCryptTail: "crypt tail",
		pathHMACAlike: "HMAC alike", pathHMACSorted: "HMAC sorted",
		pathFF1Whole: "FF1 whole", pathFF1Mixed: "FF1 mixed",
		pathRowsFused: "rows fused", pathGather: "gather", pathGatherStaged: "gather staged",
		pathWriteRows: "write rows", pathWriteTail: "write tail",
		pathReadBlocks: "read blocks", pathReadOne: "read one", pathEncodeAt: "encode at", pathRowsOf: "rows of",
		pathHMACStreams: "HMAC streams", pathHMACLong: "HMAC long",
		pathFF1Alike: "FF1 alike", pathFF1Sorted: "FF1 sorted", pathFF1Rounds: "FF1 rounds", pathFF1Pairs: "FF1 pairs",
		pathFF1Gaps: "FF1 gaps",
	}
	wide := []path{pathRowsWide, pathRowsGroup, pathAtWide, pathAtGroup, pathOpenWide, pathTranslateWide, pathDecodeWide,
		pathLongDirect, pathLongFilled, pathLongStaged, pathLongRows, pathMixed, pathCryptWhole, pathCryptTail,
		pathHMACAlike, pathHMACSorted, pathFF1Whole, pathFF1Mixed}
	lanes := []path{pathGather, pathGatherStaged, pathWriteTail}
	without := func(list ...path) {
		for _, p := range list {
			delete(all, p)
		}
	}
	switch tier {
	case "avx512":
		without(lanes...)
		without(pathRowsFused)
	case "avx2":
		without(wide...)
	case "arm64":
		without(wide...)
		without(pathRowsFused)
	default:
		clear(all)
		all[pathFF1Gaps] = "FF1 gaps"
	}
	if runtime.GOARCH == "amd64" && !simd.SHA() {
		without(pathHMACStreams)
		if tier == "avx2" {
			without(pathHMACLong)
		}
	}
	return all
}
