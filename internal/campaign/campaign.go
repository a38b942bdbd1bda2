// Package campaign runs structured differential tests. In go test, a campaign tries a
// fixed number of inputs. In make soak, it tries inputs of a new seed for its share of the
// time in VELONYM_SOAK. A failing input is named by seed and number:
// VELONYM_SOAK_SEED=SEED/NUMBER tries it alone.
//
// Counters of fast paths prove that the inputs still reach them: see AtLeast.
package campaign

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/internal/simd"
)

// Run calls try for the inputs 0…count-1 of seed 1, or for those that VELONYM_SOAK and
// VELONYM_SOAK_SEED choose. shares is the number of campaigns of the package, among which
// the time is divided.
func Run(t *testing.T, count, shares int, try func(t *testing.T, r *rand.Rand, n int)) {
	t.Helper()
	seed, first, until := uint64(1), 0, time.Time{}
	if d := os.Getenv("VELONYM_SOAK"); d != "" {
		soak, err := time.ParseDuration(d)
		if err != nil {
			t.Fatal(err)
		}
		seed, count = rand.Uint64(), 1<<62
		until = time.Now().Add(soak / time.Duration(shares))
	}
	if s := os.Getenv("VELONYM_SOAK_SEED"); s != "" {
		name, number, one := strings.Cut(s, "/")
		var err error
		if seed, err = strconv.ParseUint(name, 10, 64); err != nil {
			t.Fatal(err)
		}
		if one {
			if first, err = strconv.Atoi(number); err != nil {
				t.Fatal(err)
			}
			count = first + 1
		}
	}
	n := first
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("if an input has failed, try it alone: VELONYM_SOAK_SEED=%d/%d go test -run '^%s$'", seed, n, t.Name())
			return
		}
		if !until.IsZero() {
			fmt.Printf("%s: %d inputs of seed %d, no difference\n", t.Name(), n-first, seed)
		}
	})
	for ; n < count && (until.IsZero() || time.Now().Before(until)); n++ {
		try(t, rand.New(rand.NewPCG(seed, uint64(n))), n)
	}
}

// OnEachKernel runs f on every tier of this CPU, without subtests, and logs the tier on which the
// test failed.
func OnEachKernel(t *testing.T, f func(kernel string)) {
	t.Helper()
	defer simd.Force(simd.Kernel())
	for _, k := range simd.Kernels() {
		onKernel(t, k, f)
	}
}

func onKernel(t *testing.T, kernel string, f func(kernel string)) {
	t.Helper()
	defer func(failed bool) {
		if t.Failed() && !failed {
			t.Logf("on kernel %s", kernel)
		}
	}(t.Failed())
	simd.Force(kernel)
	f(kernel)
}

// AtLeast fails if a path was taken fewer than want times. The counts of a campaign with
// another seed or length are only logged, since it need not take all paths.
func AtLeast(t *testing.T, want int, counts map[string]int) {
	t.Helper()
	if os.Getenv("VELONYM_SOAK") != "" || os.Getenv("VELONYM_SOAK_SEED") != "" {
		t.Logf("%v", counts)
		return
	}
	for path, n := range counts {
		if n < want {
			t.Errorf("path %s was taken %d times, want at least %d", path, n, want)
		}
	}
	t.Logf("taken at least %d times: %v", want, counts)
}

// AtLeastInKernels is AtLeast for paths that only kernels have: on a CPU or build with
// portable code alone, their counts must be 0.
func AtLeastInKernels(t *testing.T, want int, counts map[string]int) {
	t.Helper()
	if len(simd.Kernels()) > 1 {
		AtLeast(t, want, counts)
		return
	}
	for path, n := range counts {
		if n != 0 {
			t.Errorf("path %s of kernels was taken %d times by the portable code", path, n)
		}
	}
}

// Border returns an offset near a multiple of step, within n bytes. Its distance from the
// multiple runs through −130…130 with the number of the input.
func Border(r *rand.Rand, number, step, n int) int {
	shift := number%261 - 130
	at := step*(1+r.IntN(max(1, n/step-1))) + shift
	return max(0, min(at, n))
}
