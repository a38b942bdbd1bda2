package kernel

import (
	"crypto/aes"
	"testing"
)

// TestKeyCipher holds the moved cipher against the one that crypto/aes makes.
func TestKeyCipher(t *testing.T) {
	for _, n := range []int{16, 24, 32} {
		key := make([]byte, n)
		for i := range key {
			key[i] = byte(i * 7)
		}
		c, err := newKeyCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		want, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		var a, b [16]byte
		for range 100 {
			c.Encrypt(a[:], a[:])
			want.Encrypt(b[:], b[:])
			if a != b {
				t.Fatal("encrypts differently")
			}
		}
		c.Decrypt(a[:], a[:])
		want.Decrypt(b[:], b[:])
		if a != b {
			t.Fatal("decrypts differently")
		}
		c.release()
	}
	if _, err := newKeyCipher(make([]byte, 5)); err == nil {
		t.Fatal("a key of 5 bytes was taken")
	}
}
