package bench

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestWelch compares t with a value calculated by hand. Two samples of five with means 3
// and 5 and variances 2.5 and 10 give -2 / √(0.5 + 2).
func TestWelch(t *testing.T) {
	var a, b welford
	for i := range 5 {
		a.add(float64(i + 1))
		b.add(float64(2*i + 1))
	}
	if got, want := welchT(a, b), -2/math.Sqrt(2.5); math.Abs(got-want) > 1e-12 {
		t.Fatalf("%v, want %v", got, want)
	}
	if welchT(a, welford{}) != 0 {
		t.Fatal("welchT of an empty sample is not 0")
	}
}

// TestLargestT finds in simulated times a difference of a tenth of the noise, even with
// rare interrupts a thousand times as long, and finds none in times without a difference.
func TestLargestT(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 61))
	const n = 50000
	for _, shift := range []float64{0, 1} {
		times, classes := make([]float64, n), make([]uint8, n)
		for i := range times {
			classes[i] = uint8(r.Uint32() & 1)
			times[i] = 1000 + 10*r.NormFloat64() + shift*float64(classes[i])
			if r.IntN(100) == 0 {
				times[i] += 1e6 * r.Float64()
			}
		}
		switch got := largestT(times, classes); {
		case shift == 0 && got > 5:
			t.Errorf("times without a difference: t = %v, want at most 5", got)
		case shift == 1 && got < 5:
			t.Errorf("times with a difference: t = %v, want at least 5", got)
		}
	}
}

// TestConstantTime checks that every case exists and runs. It ignores the verdicts, since
// few measurements on a busy machine prove nothing.
func TestConstantTime(t *testing.T) {
	s, err := ConstantTime(context.Background(), Options{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"digits against letters", "block, bad padding against bad text", "secondary of one block", "three blocks", "key expansion", "stops early"} {
		found := false
		for _, r := range s.Rows {
			found = found || strings.Contains(r.Name, want)
			if math.IsNaN(r.Median) {
				t.Errorf("%s: no number", r.Name)
			}
		}
		if !found {
			t.Errorf("no case %q", want)
		}
	}
}
