package bulk

import (
	"hash/maphash"
	"math"
	"math/bits"

	"github.com/velonym/velonym/engine/kernel"
)

// distinct estimates the number of different values (HyperLogLog: Flajolet,
// Fusy, Gandouet, Meunier 2007) with 16,384 registers: a standard error of 0.8 %.
// One goroutine at a time; the lanes' own are merged at the end.
type distinct struct {
	sketch kernel.Sketch
	hashes [kernel.SketchRoom]uint64
	reg    [1 << registerBits]uint8
	calls  int // of add
}

const registerBits = 14

// newDistinct starts an estimate; those that are to be merged share seed.
func newDistinct(seed maphash.Seed) *distinct {
	return &distinct{sketch: kernel.NewSketch(maphash.String(seed, "0"), maphash.String(seed, "1"))}
}

// add counts the values, empty ones left out, and returns how many are empty. Of
// pseudonyms it need not look at every byte.
func (d *distinct) add(src []byte, spans []uint32, pseudonyms bool) (empty int) {
	for len(spans) > 0 {
		part := spans[:min(len(spans), 2*kernel.SketchBatch)]
		spans = spans[len(part):]
		kept, none := d.sketch.Hash(&d.hashes, src, part, pseudonyms)
		empty += none
		// The low bits choose the register, leading zeros are counted from above.
		for _, h := range d.hashes[:kept] {
			r := uint8(bits.LeadingZeros64(h|(1<<registerBits-1)) + 1)
			if p := &d.reg[h&(1<<registerBits-1)]; *p < r {
				*p = r
			}
		}
	}
	// Registers rise fast at first; to look at all costs as much as some thousand
	// values. Once all are up, most hashes of a large file are too large to matter.
	if d.calls++; d.calls&15 == 0 || d.calls&(d.calls-1) == 0 {
		least := uint8(64)
		for _, r := range &d.reg {
			least = min(least, r)
		}
		d.sketch.SetMost(math.MaxUint64 >> least)
	}
	return empty
}

// merge takes in what e has seen.
func (d *distinct) merge(e *distinct) {
	for i, r := range &e.reg {
		d.reg[i] = max(d.reg[i], r)
	}
}

// estimate returns the number of different values.
func (d *distinct) estimate() int64 {
	const m = float64(len(d.reg))
	var count [65]int
	for _, r := range &d.reg {
		count[r]++
	}
	sum, zeros := 0.0, count[0]
	for r, n := range count {
		sum += math.Ldexp(float64(n), -r)
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/float64(zeros))
	}
	return int64(math.Round(e))
}
