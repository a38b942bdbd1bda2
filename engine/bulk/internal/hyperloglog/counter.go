package hyperloglog

import (
	"hash/maphash"
	"math"
	"math/bits"
)

// registerBits is the number of bits of a hash that choose a register.
const registerBits = 14

// Counter estimates the number of different values it has seen. One goroutine uses it at
// a time; parallel workers have one each and merge them.
type Counter struct {
	sampler   sampler
	hashes    [hashRoom]uint64
	registers [1 << registerBits]uint8
	adds      int // calls of Add
}

// New returns an empty counter. Counters that are merged must share their seed.
func New(seed maphash.Seed) *Counter {
	return &Counter{sampler: newSampler(maphash.String(seed, "0"), maphash.String(seed, "1"))}
}

// Add counts values, given as offset and length in src, and returns how many of them are
// empty, which do not count. If endsOnly is set, only the length of a value and its first
// and last eight bytes are hashed, which suffices for pseudonyms: their characters are
// pseudorandom.
func (c *Counter) Add(src []byte, spans []uint32, endsOnly bool) (empty int) {
	for len(spans) > 0 {
		batch := spans[:min(len(spans), 2*batchSize)]
		spans = spans[len(batch):]
		kept, none := c.sampler.hash(&c.hashes, src, batch, endsOnly)
		empty += none
		// The low bits of a hash choose its register; the rank is the number of leading
		// zeros of the others, plus one.
		for _, h := range c.hashes[:kept] {
			rank := uint8(bits.LeadingZeros64(h|(1<<registerBits-1)) + 1)
			if r := &c.registers[h&(1<<registerBits-1)]; *r < rank {
				*r = rank
			}
		}
	}
	// The least register bounds the hashes that still matter. Finding it costs as much as
	// hashing some thousand values, so it is done often at first, when registers rise fast,
	// and rarely later.
	if c.adds++; c.adds&15 == 0 || c.adds&(c.adds-1) == 0 {
		least := uint8(64)
		for _, r := range &c.registers {
			least = min(least, r)
		}
		c.sampler.limit = math.MaxUint64 >> least
	}
	return empty
}

// Merge adds the values that o has seen.
func (c *Counter) Merge(o *Counter) {
	for i, r := range &o.registers {
		c.registers[i] = max(c.registers[i], r)
	}
}

// Estimate returns the estimated number of different values.
func (c *Counter) Estimate() int64 {
	const m = float64(1 << registerBits)
	var count [65]int // of registers, by their rank
	for _, r := range &c.registers {
		count[r]++
	}
	sum, zeros := 0.0, count[0]
	for rank, n := range count {
		sum += math.Ldexp(float64(n), -rank)
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 { // linear counting is more exact for few values
		e = m * math.Log(m/float64(zeros))
	}
	return int64(math.Round(e))
}
