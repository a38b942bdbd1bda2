package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/velonym/velonym/engine/kernel"
)

// ConstantTime looks for a dependence of time on secrets, as Reparaz, Balasch
// and Verbauwhede describe ("Dude, is my code constant time?", 2017): two classes
// of inputs that should take the same time are measured in random order, and
// Welch's t says how far apart their means are. Slow measurements, which
// interrupts make, are left out at several limits, and the largest |t| is
// reported. Above 4.5 a difference is suspected, above 10 there is one; where
// there is none, more measurements do not raise it.
//
// It measures the reverse of one block on every tier (a fixed pseudonym against
// random ones; one refused for its padding against one refused for its text) and
// the expansion of a key (a fixed key against random ones). A comparison that
// does leak stands beside them: a test that cannot see it sees nothing.
func ConstantTime(ctx context.Context, o Options) (*Section, error) {
	defer kernel.SetKernel("auto")
	n := 200_000
	if o.Quick {
		n = 4_000
	}
	s := &Section{
		Name:    "constant-time",
		Title:   "Dependence of time on secrets",
		Command: "velonym bench constant-time",
		Notes:   []string{fmt.Sprintf("Welch's |t| between two classes of inputs, %d measurements each case. Above 4.5: suspected, above 10: certain.", n)},
	}
	for _, tier := range kernel.Kernels() {
		if err := kernel.SetKernel(tier); err != nil {
			return nil, err
		}
		cases, release, err := timingCases()
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			if err := ctx.Err(); err != nil {
				release()
				return nil, err
			}
			t := welchOf(n, c.make, c.run)
			o.logf("%s, %s: |t| = %.1f", c.name, tier, t)
			s.Rows = append(s.Rows, Row{Name: c.name + ", " + tier, Unit: "|t|", Median: t, Min: t, Max: t, Note: c.note})
		}
		release()
	}
	return s, nil
}

// timingCase is two classes of inputs to one piece of code. make prepares the
// input of a class outside the clock, run consumes it.
type timingCase struct {
	name, note string
	make       func(class int)
	run        func()
}

// timingLanes is the number of values of a measurement: enough for the widest
// kernel to take them all.
const timingLanes = 64

// timingCases builds the cases in the tier in use.
func timingCases() ([]timingCase, func(), error) {
	r := rand.New(rand.NewPCG(3, 14))
	var key [32]byte
	kernel.Random(key[:])
	cipher, err := kernel.NewCipher(&key, []byte{1, 1, 0})
	if err != nil {
		return nil, nil, err
	}
	const size = 32 // characters of a pseudonym of one block in hex
	form := kernel.Hex
	reader := kernel.ReaderFor(form, 0)
	arena := make([]byte, size*timingLanes, size*timingLanes+64)
	spans := make([]uint32, 2*timingLanes)
	out := make([]uint32, 2*timingLanes)
	dst := make([]byte, 0, 64*timingLanes)
	for i := range timingLanes {
		spans[2*i], spans[2*i+1] = uint32(i*size), size
	}
	// All inputs are made beforehand, and put in place by the same copy for both
	// classes: what making them leaves in caches and predictors would be measured.
	const pool = 64
	arenas := func(block func(m *[16]byte, class int)) func(class int) {
		var made [2][pool][size * timingLanes]byte
		for class := range made {
			for k := range made[class] {
				for i := range timingLanes {
					var m [16]byte
					block(&m, class)
					cipher.Encrypt(m[:], m[:])
					form.Encode(made[class][k][i*size:][:size], m[:], 0)
				}
			}
		}
		next := 0
		return func(class int) {
			next++
			copy(arena, made[class][next%pool][:])
		}
	}
	text := func(m *[16]byte) { // 12 letters and good padding
		for i := range 12 {
			m[i] = byte('a' + r.IntN(26))
		}
		copy(m[12:], "\x04\x04\x04\x04")
	}
	open := func() { dst, _ = cipher.OpenRows(reader, "", "\n", dst[:0], arena, spans, out) }

	var keys [2][pool][32]byte
	for i := range keys[1] {
		kernel.Random(keys[1][i][:])
	}
	var used [32]byte
	nextKey := 0

	// A comparison that stops at the first difference, to see one.
	var secret, guess [512]byte
	kernel.Random(secret[:])
	guesses := [2][512]byte{secret, secret}
	guesses[0][0] ^= 1
	sink := 0
	cases := []timingCase{
		{"reverse of one block, fixed against random values", "", arenas(func(m *[16]byte, class int) {
			if text(m); class == 0 {
				copy(m[:], "abcdefghijkl")
			}
		}), open},
		{"reverse of one block, bad padding against bad text", "", arenas(func(m *[16]byte, class int) {
			if text(m); class == 0 {
				m[14] = 0x05
			} else {
				m[3] = 0x01
			}
		}), open},
		{"key expansion, fixed against random keys", "", func(class int) {
			nextKey++
			used = keys[class][nextKey%pool]
		}, func() {
			c, err := kernel.NewCipher(&used, nil)
			if err != nil {
				panic("bench: no memory for a key: " + err.Error())
			}
			c.Release()
		}},
		{"a comparison that stops early", "leaks on purpose: must be seen", func(class int) { guess = guesses[class] }, func() {
			for i := range guess {
				if guess[i] != secret[i] {
					break
				}
				sink++
			}
		}},
	}
	return cases, func() { cipher.Release(); kernel.Wipe(key[:]) }, nil
}

// welchOf measures n runs, of a class drawn anew each time, and returns the
// largest |t| over the limits for slow ones.
func welchOf(n int, prepare func(class int), run func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := rand.New(rand.NewPCG(2, 71))
	times, classes := make([]float64, n), make([]uint8, n)
	for i := range 100 { // caches, predictors, pools
		prepare(i % 2)
		run()
	}
	runtime.GC()
	for i := range n {
		class := int(r.Uint32() & 1)
		prepare(class)
		begin := time.Now()
		run()
		times[i], classes[i] = float64(time.Since(begin)), uint8(class)
	}
	return largestT(times, classes)
}

// largestT is the largest |t| between the times of class 0 and class 1, over
// several shares of the fastest of all.
func largestT(times []float64, classes []uint8) float64 {
	sorted := slices.Sorted(slices.Values(times))
	most := 0.0
	for _, share := range []float64{0.5, 0.75, 0.9, 0.95, 0.99, 1} {
		limit := sorted[int(share*float64(len(sorted)-1))]
		var w [2]welford
		for i, t := range times {
			if t <= limit {
				w[classes[i]&1].add(t)
			}
		}
		most = max(most, math.Abs(welchT(w[0], w[1])))
	}
	return most
}

// welford keeps mean and variance of a stream of numbers (Welford, 1962).
type welford struct {
	n, mean, m2 float64
}

func (w *welford) add(x float64) {
	w.n++
	d := x - w.mean
	w.mean += d / w.n
	w.m2 += d * (x - w.mean)
}

// welchT is Welch's t of two samples; 0 if there is too little to tell.
func welchT(a, b welford) float64 {
	if a.n < 2 || b.n < 2 {
		return 0
	}
	v := a.m2/(a.n-1)/a.n + b.m2/(b.n-1)/b.n
	if v == 0 {
		if a.mean == b.mean {
			return 0
		}
		return math.Inf(1)
	}
	return (a.mean - b.mean) / math.Sqrt(v)
}
