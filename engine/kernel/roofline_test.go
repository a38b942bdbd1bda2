package kernel

import (
	"bytes"
	"crypto/aes"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

func TestBlocks(t *testing.T) {
	key := [32]byte{4, 2}
	want, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBlocks(&key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, n := range []int{0, 512, 1024, 16384} {
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
				t.Fatalf("%d bytes: wrong", n)
			}
		}
	})
}
