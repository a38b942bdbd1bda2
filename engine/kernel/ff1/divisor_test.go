package ff1

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestDivisor compares divisor with math/big and the / operator.
func TestDivisor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200000 {
		d := r.Uint64()>>(1+r.IntN(62)) | 1
		if d < 2 {
			d = 2
		}
		x, y := r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64)
		v := newDivisor(d)
		if q, m := v.divide(x); q != x/d || m != x%d {
			t.Fatalf("%d / %d = %d, %d", x, d, q, m)
		}
		if v.modWord(x) != x%d {
			t.Fatalf("%d mod %d", x, d)
		}
		var z big.Int
		z.SetUint64(x).Lsh(&z, 64).Or(&z, new(big.Int).SetUint64(y))
		if got := v.mod(x, y); got != z.Mod(&z, new(big.Int).SetUint64(d)).Uint64() {
			t.Fatalf("%d, %d mod %d = %d", x, y, d, got)
		}
	}
}

// TestDivisor2 compares divisor2 with math/big.
func TestDivisor2(t *testing.T) {
	simdtest.Alone(t)
	r := rand.New(rand.NewPCG(1, 2))
	word := func(bits int) *big.Int {
		x := new(big.Int)
		for range 4 {
			x.Lsh(x, 64).Or(x, new(big.Int).SetUint64(r.Uint64()))
		}
		if r.IntN(4) == 0 { // runs of ones and zeros
			x.Lsh(big.NewInt(1), uint(bits)).Sub(x, big.NewInt(int64(r.IntN(3))))
		}
		return x.Mod(x, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	}
	split := func(x *big.Int) (hi, lo uint64) {
		y := new(big.Int).Rsh(x, 64)
		return y.Uint64(), x.Uint64()
	}
	join := func(hi, lo uint64) *big.Int {
		x := new(big.Int).SetUint64(hi)
		return x.Lsh(x, 64).Or(x, new(big.Int).SetUint64(lo))
	}
	for range 200000 {
		size := 57 + r.IntN(64)
		d := word(size)
		d.SetBit(d, size-1, 1)
		if d.BitLen() > 120 {
			continue
		}
		p := newDivisor2(d)
		x := word(160)
		_, x0 := split(x)
		x2, x1 := split(new(big.Int).Rsh(x, 64))
		if got, want := join(p.mod(x2, x1, x0)), new(big.Int).Mod(x, d); got.Cmp(want) != 0 {
			t.Fatalf("%v mod %v = %v, want %v", x, d, got, want)
		}
		a, b := new(big.Int).Mod(word(128), d), new(big.Int).Mod(word(128), d)
		a1, a0 := split(a)
		b1, b0 := split(b)
		sum, diff := new(big.Int).Add(a, b), new(big.Int).Sub(a, b)
		if got := join(p.add(a1, a0, b1, b0)); got.Cmp(sum.Mod(sum, d)) != 0 {
			t.Fatalf("%v + %v mod %v = %v", a, b, d, got)
		}
		if got := join(p.sub(a1, a0, b1, b0)); got.Cmp(diff.Mod(diff, d)) != 0 {
			t.Fatalf("%v - %v mod %v = %v", a, b, d, got)
		}
	}
}

// TestFF1Reciprocals checks the divisions by multiplication for all numbers, or for those on both
// sides of every multiple.
func TestFF1Reciprocals(t *testing.T) {
	for radix := 2; radix <= 94; radix++ {
		r := radixOf(radix)
		s := r.shapes[r.min]
		if s == nil {
			t.Fatalf("radix %d: no shape for %d characters", radix, r.min)
		}
		x := uint64(radix)
		for y := range x * x {
			if q := y * (s.mul1 & 0xFFFF) >> 16 >> s.shift1; q != y/x {
				t.Fatalf("%d / %d = %d", y, x, q)
			}
		}
		for k := range x*x + 1 {
			for _, y := range []uint64{k*x*x - 1, k * x * x} {
				if y >= x*x*x*x {
					continue
				}
				if q := y * s.mul2 >> s.shift2; q != y/(x*x) {
					t.Fatalf("%d / %d = %d", y, x*x, q)
				}
			}
		}
	}
}
