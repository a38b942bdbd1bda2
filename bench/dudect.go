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

// ConstantTime tests whether running time depends on secrets, with the method of Reparaz,
// Balasch and Verbauwhede ("Dude, is my code constant time?", 2017). It measures two
// classes of inputs in random order and compares their means by Welch's t. Interrupts
// cause slow measurements, so ConstantTime computes t with several upper limits and
// reports the largest |t|. |t| above 4.5 suggests a difference, above 10 it proves one.
// Without a difference, more measurements do not increase |t|.
//
// On every tier it measures the reverse of one block (values of digits against values of
// letters, and one reason for refusal against another), the same through a change of
// domain, the check of a longer message, and the expansion of a key (a fixed key against
// random ones). The pseudonyms of both classes look random, because an attacker who sends
// them knows them. As a positive control it also measures a comparison that leaks.
//
// A real difference appears in every repetition; on a busy machine a false one appears
// occasionally. ConstantTime therefore measures a suspected case twice more and takes the
// median. It returns an error if a case is then certain to differ, or if the leaking
// comparison is not detected, unless o.Quick is set: then there are too few measurements.
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

// Limits of |t|.
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

// timingCase is a piece of code with two classes of inputs. make prepares an input of a
// class and is not timed; run consumes the input and is timed.
type timingCase struct {
	name  string
	leaks bool // the positive control
	make  func(class int)
	run   func()
}

// timingBatch is the number of values in a measurement: enough to fill the widest kernel.
const timingBatch = 64

// timingCases returns the cases for the current tier, and a function that releases them.
// It is a single function because the cases share buffers and a random generator.
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
	arena := make([]byte, size*timingBatch, size*timingBatch+64)
	spans := make([]uint32, 2*timingBatch)
	out := make([]uint32, 2*timingBatch)
	dst := make([]byte, 0, 64*timingBatch)
	for i := range timingBatch {
		spans[2*i], spans[2*i+1] = uint32(i*size), size
	}
	// All inputs are made in advance, stored in random order, and copied into place in the
	// same way for both classes. Otherwise their preparation would leave different traces
	// in caches and branch predictors, and the measurement would include those.
	const pool = 128
	slots := func() (in [2][]int) {
		p := r.Perm(2 * pool)
		return [2][]int{p[:pool], p[pool:]}
	}
	arenas := func(block func(m *[16]byte, class int)) func(class int) {
		made, in := new([2 * pool][size * timingBatch]byte), slots()
		for class := range in {
			for _, k := range in[class] {
				for i := range timingBatch {
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
	// Longer messages are only checked, not decoded and deciphered.
	messages, messageIn := new([2 * pool][timingBatch][48]byte), slots()
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
	var message [timingBatch][48]byte

	var keys [2 * pool][32]byte
	keyIn := slots()
	for _, k := range keyIn[1] {
		secmem.Random(keys[k][:])
	}
	var used [32]byte

	// The positive control is a comparison that stops at the first difference.
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

// welchOf measures n runs, each of a random class, and returns the largest |t| as
// described for [ConstantTime].
func welchOf(n int, prepare func(class int), run func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := rand.New(rand.NewPCG(2, 71))
	times, classes := make([]float64, n), make([]uint8, n)
	for i := range 100 { // warm up caches, predictors and pools
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

// largestT returns the largest |t| between the times of class 0 and class 1, computed for
// several quantiles as upper limits.
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

// welford computes mean and variance of a stream of numbers (Welford, 1962).
type welford struct {
	n, mean, m2 float64
}

func (w *welford) add(x float64) {
	w.n++
	d := x - w.mean
	w.mean += d / w.n
	w.m2 += d * (x - w.mean)
}

// welchT returns Welch's t of two samples, or 0 if a sample has fewer than two elements.
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
