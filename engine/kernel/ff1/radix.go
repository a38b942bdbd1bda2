package ff1

import (
	"math/big"
	"sync"
)

// radixTables holds constants that depend only on the radix. None is secret.
type radixTables struct {
	radix  uint64
	min    int                    // least length
	limb   int                    // number of numerals of a limb: radix^limb < 2^63
	pow    [63]divisor            // radix^k, k ≤ limb
	small  int                    // radix^small ≤ 2^32
	recip  uint64                 // ⌊2^64/radix⌋ + 1: ⌊x/radix⌋ is the upper word of x·recip for x < 2^32·radix^0.9
	pairs  [maxHalf + 1]*divisor2 // radix^k if v = k or k + 1 makes halves of two words; else nil
	length [maxHalf + 1]uint16    // b by v
	shapes [33]*wholeShape        // by length, for kernels of whole values; nil for lengths without one
}

var radices struct {
	sync.Mutex
	of [95]*radixTables
}

// radixOf returns the constants of a radix of 2 to 94.
func radixOf(radix int) *radixTables {
	radices.Lock()
	defer radices.Unlock()
	if r := radices.of[radix]; r != nil {
		return r
	}
	r := &radixTables{radix: uint64(radix), recip: ^uint64(0)/uint64(radix) + 1}
	p := uint64(1)
	for k := 0; ; k++ {
		r.pow[k] = newDivisor(p)
		r.limb = k
		if p <= 1<<32 {
			r.small = k
		}
		if p < minDomain {
			r.min = k + 1
		}
		if p > (1<<63-1)/uint64(radix) {
			break
		}
		p *= uint64(radix)
	}
	power, base := big.NewInt(1), big.NewInt(int64(radix))
	for v := 1; v <= maxHalf; v++ {
		power.Mul(power, base)
		// ⌈v·log2 radix⌉ is the bit length of radix^v - 1.
		r.length[v] = uint16((new(big.Int).Sub(power, big.NewInt(1)).BitLen() + 7) / 8)
		// Round number and half fit one block, the half two limbs.
		if v >= r.limb && v <= 2*r.limb && r.length[v] <= 15 {
			r.pairs[v] = newDivisor2(power)
		}
	}
	for n := r.min; n < len(r.shapes); n++ {
		r.shapes[n] = newShape(r, n)
	}
	radices.of[radix] = r
	return r
}

// widthOf returns b and d for a value of n characters.
func (r *radixTables) widthOf(n int) (b, d int) {
	b = int(r.length[n-n/2])
	return b, (b+3)/4*4 + 4
}
