package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
)

// ConstantTime looks for a dependence of time on secrets, as Reparaz, Balasch
// and Verbauwhede describe ("Dude, is my code constant time?", 2017): two classes
// of inputs that should take the same time are measured in random order, and
// Welch's t says how far apart their means are. Slow measurements, which
// interrupts make, are left out at several limits, and the largest |t| is
// reported. Above 4.5 a difference is suspected, above 10 there is one; where
// there is none, more measurements do not raise it.
//
// It measures, on every tier, the reverse of one block (values of digits against
// values of letters; refusals for one reason against refusals for another), the same
// through a change of domain, the check of a longer message, and the expansion of a
// key (a fixed key against random ones). In both classes pseudonyms look random: what
// they say is known to whoever sent them. A comparison that does leak stands beside
// them: a test that cannot see it sees nothing.
//
// A difference that is there shows every time. One that is not may seem to be there
// once in a while on a busy machine, so what is suspected is measured twice more, and
// the median counts. It is an error if one is certain then, or if the comparison that
// leaks is not seen, except when o.Quick asks for too few measurements to tell.
func ConstantTime(ctx context.Context, o Options) (*Section, error) {
	defer simd.Force("auto")
	n := 200_000
	if o.Quick {
		n = 4_000
	}
	s := &Section{
		Name:    "constant-time",
		Title:   "Dependence of time on secrets",
		Command: "velonym bench constant-time",
		Notes: []string{fmt.Sprintf("Welch's |t| between two classes of inputs, %d measurements each case; the median of three such where the first is above %v. "+
			"Above %v: suspected, above %v: certain.", n, suspected, suspected, certain)},
	}
	var wrong []string
	for _, tier := range simd.Kernels() {
		if err := simd.Force(tier); err != nil {
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
			t := []float64{welchOf(n, c.make, c.run)}
			if t[0] > suspected && !c.leaks && !o.Quick {
				t = append(t, welchOf(n, c.make, c.run), welchOf(n, c.make, c.run))
				slices.Sort(t)
			}
			mid := t[len(t)/2]
			note := verdict(mid)
			if c.leaks {
				note = "leaks on purpose: must be seen"
			}
			if c.leaks != (mid > certain) {
				wrong = append(wrong, fmt.Sprintf("%s, %s (|t| = %.1f)", c.name, tier, mid))
			}
			o.logf("%s, %s: |t| = %.1f", c.name, tier, mid)
			s.Rows = append(s.Rows, Row{Name: c.name + ", " + tier, Unit: "|t|", Median: mid, Min: t[0], Max: t[len(t)-1], Note: note})
		}
		release()
	}
	if len(wrong) > 0 && !o.Quick {
		return nil, fmt.Errorf("bench: time depends on secrets, or what does leak is not seen: %s", strings.Join(wrong, "; "))
	}
	return s, nil
}

// The limits of |t|.
const (
	suspected = 4.5
	certain   = 10
)

func verdict(t float64) string {
	switch {
	case t > certain:
		return "differs"
	case t > suspected:
		return "suspected"
	}
	return "no difference found"
}

// timingCase is two classes of inputs to one piece of code. make prepares the
// input of a class outside the clock, run consumes it.
type timingCase struct {
	name  string
	leaks bool // on purpose
	make  func(class int)
	run   func()
}

// timingLanes is the number of values of a measurement: enough for the widest
// kernel to take them all.
const timingLanes = 64

// timingCases builds the cases in the tier in use. It is one function since the cases share
// their buffers and the order of their random draws.
func timingCases() ([]timingCase, func(), error) {
	r := rand.New(rand.NewPCG(3, 14))
	var key [32]byte
	secmem.Random(key[:])
	cipher, err := hctr2.New(&key, []byte{1, 1, 0})
	if err != nil {
		return nil, nil, err
	}
	const size = 32 // characters of a pseudonym of one block in hex
	form := textform.Hex
	reader := textform.ReaderFor(form, 0)
	arena := make([]byte, size*timingLanes, size*timingLanes+64)
	spans := make([]uint32, 2*timingLanes)
	out := make([]uint32, 2*timingLanes)
	dst := make([]byte, 0, 64*timingLanes)
	for i := range timingLanes {
		spans[2*i], spans[2*i+1] = uint32(i*size), size
	}
	// All inputs are made beforehand, put in place by the same copy for both classes,
	// and stand anywhere among each other: what making and moving them leaves in caches
	// and predictors would be measured.
	const pool = 128
	slots := func() (in [2][]int) {
		p := r.Perm(2 * pool)
		return [2][]int{p[:pool], p[pool:]}
	}
	arenas := func(block func(m *[16]byte, class int)) func(class int) {
		made, in := new([2 * pool][size * timingLanes]byte), slots()
		for class := range in {
			for _, k := range in[class] {
				for i := range timingLanes {
					var m [16]byte
					block(&m, class)
					cipher.Encrypt(m[:], m[:])
					form.Encode(made[k][i*size:][:size], m[:], 0)
				}
			}
		}
		return func(class int) { copy(arena, made[in[class][r.IntN(pool)]][:]) }
	}
	random := func(m []byte, alphabet string) {
		for i := range m {
			m[i] = alphabet[r.IntN(len(alphabet))]
		}
	}
	const lower = "abcdefghijklmnopqrstuvwxyz"
	text := func(m *[16]byte) { // 12 letters and good padding
		random(m[:12], lower)
		copy(m[12:], "\x04\x04\x04\x04")
	}
	open := func() { dst, _ = cipher.OpenRows(reader, "", "\n", dst[:0], arena, spans, out) }
	writer := textform.WriterFor(form, 0, "", "\n")
	translate := func() { dst, _ = cipher.TranslateRows(reader, cipher, writer, dst[:0], arena, spans, out) }
	badPadding := func(m []byte) { m[len(m)-2] = 0x05 }
	badByte := func(c byte) func(m []byte) { return func(m []byte) { m[3] = c } }
	cutShort := func(m []byte) { copy(m[len(m)-6:], "\xe2\x82") }
	refusals := func(damage ...func(m []byte)) func(class int) {
		return arenas(func(m *[16]byte, class int) {
			text(m)
			damage[class](m[:])
		})
	}
	// Longer messages, checked without reading and deciphering them.
	messages, messageIn := new([2 * pool][timingLanes][48]byte), slots()
	for class, damage := range []func(m []byte){badPadding, cutShort} {
		for _, k := range messageIn[class] {
			for i := range messages[k] {
				m := &messages[k][i]
				random(m[:32], lower)
				text((*[16]byte)(m[32:]))
				damage(m[:])
			}
		}
	}
	var message [timingLanes][48]byte

	var keys [2 * pool][32]byte
	keyIn := slots()
	for _, k := range keyIn[1] {
		secmem.Random(keys[k][:])
	}
	var used [32]byte

	// A comparison that stops at the first difference, to see one.
	var secret, guess [512]byte
	secmem.Random(secret[:])
	guesses := [2][512]byte{secret, secret}
	guesses[0][0] ^= 1
	sink := 0
	cases := []timingCase{
		{"reverse of one block, digits against letters", false, arenas(func(m *[16]byte, class int) {
			if text(m); class == 0 {
				random(m[:12], digits)
			}
		}), open},
		{"reverse of one block, bad padding against bad text", false, refusals(badPadding, badByte(0x01)), open},
		{"reverse of one block, bad padding against bad UTF-8", false, refusals(badPadding, cutShort), open},
		{"reverse of one block, a control character against bad UTF-8", false, refusals(badByte(0x7f), badByte(0xc0)), open},
		{"secondary of one block, bad padding against bad text", false, refusals(badPadding, badByte(0x01)), translate},
		{"check of three blocks, bad padding against bad UTF-8", false, func(class int) {
			message = messages[messageIn[class][r.IntN(pool)]]
		}, func() {
			for i := range message {
				if _, ok := hctr2.Open(message[i][:], 0, true); ok {
					sink++
				}
			}
		}},
		{"key expansion, fixed against random keys", false, func(class int) {
			used = keys[keyIn[class][r.IntN(pool)]]
		}, func() {
			c, err := hctr2.New(&used, nil)
			if err != nil {
				panic("bench: no memory for a key: " + err.Error())
			}
			c.Release()
		}},
		{"a comparison that stops early", true, func(class int) { guess = guesses[class] }, func() {
			for i := range guess {
				if guess[i] != secret[i] {
					break
				}
				sink++
			}
		}},
	}
	return cases, func() { cipher.Release(); secmem.Wipe(key[:]) }, nil
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
