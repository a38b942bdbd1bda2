package aes

import (
	"bytes"
	stdaes "crypto/aes"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestBlocksAgainstCryptoAES compares the block kernels of every tier with crypto/aes, on blocks
// before a page that faults.
func TestBlocksAgainstCryptoAES(t *testing.T) {
	key := [32]byte{4, 2}
	want, err := stdaes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	var enc, inv Schedule
	ExpandKey(&enc, &inv, &key)
	simdtest.EachKernel(t, func(t *testing.T) {
		for n := 1; n < 70; n++ {
			plain := make([]byte, 16*n)
			for i := range plain {
				plain[i] = byte(i * 7)
			}
			got, sealed := simdtest.PageEnd(t, 16*n), make([]byte, 16*n)
			copy(got, plain)
			for i := 0; i < len(plain); i += 16 {
				want.Encrypt(sealed[i:], plain[i:])
			}
			if !Blocks(&enc, got, false) {
				t.Skip("no kernel")
			}
			if !bytes.Equal(got, sealed) {
				t.Fatalf("%d blocks: encrypts differently", n)
			}
			if !Blocks(&inv, got, true) || !bytes.Equal(got, plain) {
				t.Fatalf("%d blocks: decrypts differently", n)
			}
		}
	})
}
