package aes

import (
	"bytes"
	stdaes "crypto/aes"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestRawAgainstCryptoAES compares Raw with crypto/aes for every number of blocks.
func TestRawAgainstCryptoAES(t *testing.T) {
	key := [32]byte{4, 2}
	want, err := stdaes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewRaw(&key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, n := range []int{0, 16, 112, 128, 512, 1024, 16384} {
			data := make([]byte, n)
			for i := range data {
				data[i] = byte(i * 7)
			}
			plain := bytes.Clone(data)
			b.Encrypt(data)
			for i := 0; i < n; i += 16 {
				want.Encrypt(plain[i:], plain[i:i+16])
			}
			if !bytes.Equal(data, plain) {
				t.Fatalf("%d bytes: differs from crypto/aes", n)
			}
		}
	})
}
