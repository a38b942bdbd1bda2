package hctr2

import (
	"bytes"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestAESBlocks compares AES of every tier, with the four schedules of a cipher, with crypto/aes,
// and both with FIPS 197.
func TestAESBlocks(t *testing.T) {
	c := testCipher(t, 5)
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, n := range []int{1, 2, 7, 8, 9, 31, 32, 33, 40, 64, 100} {
			for i, keys := range []*[15][16]byte{&c.s.enc, &c.s.inv, &c.s.folded, &c.s.foldedInv} {
				a := make([]byte, 16*n)
				for j := range a {
					a[j] = byte(j * 7)
				}
				b := append(bytes.Clone(a), bytes.Repeat([]byte{1}, 64)...)
				c.runAESGeneric(keys, a, i%2 == 1)
				c.runAES(keys, b[:16*n], i%2 == 1)
				if !bytes.Equal(a, b[:16*n]) || bytes.Count(b[16*n:], []byte{1}) != 64 {
					t.Fatalf("%d blocks, schedule %d: differs from crypto/aes", n, i)
				}
			}
		}
		k, err := New((*[32]byte)(unhex(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Release()
		b := unhex(t, "00112233445566778899aabbccddeeff")
		k.runAES(&k.s.enc, b, false)
		if !bytes.Equal(b, unhex(t, "8ea2b7ca516745bfeafc49904b496089")) { // FIPS 197, appendix C.3
			t.Fatalf("FIPS 197: %x", b)
		}
	})
}

func BenchmarkAESBlocks(b *testing.B) {
	c := testCipher(b, 1)
	simdtest.EachKernelB(b, func(b *testing.B) {
		m := make([]byte, 16*benchValues)
		for b.Loop() {
			c.runAES(&c.s.enc, m, false)
		}
		perValue(b, benchValues)
	})
}
