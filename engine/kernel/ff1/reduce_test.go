//go:build !purego && (amd64 || arm64)

package ff1

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestCombine compares combine with math/big: every path, both directions, moduli on both sides of
// the limits between the paths, and numbers beside multiples of the modulus, for which a quotient
// is one or two too small.
func TestCombine(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	moduli := []uint64{2, 3, 10, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<62 - 1, 1 << 62, 1<<62 + 1, 1<<63 - 1}
	for p := uint64(10); p < 1<<63/10; p *= 10 {
		moduli = append(moduli, p)
	}
	for range 400 {
		moduli = append(moduli, max(2, r.Uint64()>>(1+r.IntN(62))))
	}
	for _, m := range moduli {
		d := newDivisor(m)
		for _, wide := range []bool{false, true} {
			size := 8
			if wide {
				size = 12
			}
			limit := new(big.Int).Lsh(big.NewInt(1), uint(8*size))
			for _, subtract := range []bool{false, true} {
				var half [batchLanes]uint64
				var blocks [batchLanes][16]byte
				var want [batchLanes]uint64
				for j := range half {
					x := new(big.Int).SetUint64(r.Uint64())
					x.Lsh(x, 64).Or(x, new(big.Int).SetUint64(r.Uint64())).Mod(x, limit)
					if j%2 == 0 { // one below, on or above a multiple, among them the highest and those near it
						q := new(big.Int).Div(x, new(big.Int).SetUint64(m))
						if j%4 == 0 {
							q.Div(new(big.Int).Sub(limit, big.NewInt(1)), new(big.Int).SetUint64(m))
						}
						if j%8 == 0 && q.BitLen() > 20 {
							q.Sub(q, big.NewInt(int64(r.IntN(1<<20))))
						}
						y := q.Mul(q, new(big.Int).SetUint64(m))
						y.Add(y, big.NewInt(int64(r.IntN(3)-1)))
						if y.Sign() >= 0 && y.Cmp(limit) < 0 {
							x = y
						}
					}
					x.FillBytes(blocks[j][:size])
					binary.BigEndian.PutUint32(blocks[j][12:], r.Uint32())
					half[j] = r.Uint64() % m
					if j%8 < 2 {
						half[j] = m - 1
					}
					sum := new(big.Int).SetUint64(half[j])
					if subtract {
						sum.Sub(sum, x)
					} else {
						sum.Add(sum, x)
					}
					want[j] = sum.Mod(sum, new(big.Int).SetUint64(m)).Uint64()
				}
				n := 1 + r.IntN(batchLanes)
				copy(want[n:], half[n:])
				before := half
				d.combine(half[:n], &blocks, wide, subtract)
				if half != want {
					t.Fatalf("modulus %d, wide %v, subtract %v: %d with blocks %x become %d, want %d", m, wide, subtract, before, blocks, half, want)
				}
			}
		}
	}
}
