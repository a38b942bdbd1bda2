package aes

import (
	stdaes "crypto/aes"
	"testing"
)

// TestBlockInKeyMemory compares a Block, whose schedule was moved, with crypto/aes.
func TestBlockInKeyMemory(t *testing.T) {
	for _, n := range []int{16, 24, 32} {
		key := make([]byte, n)
		for i := range key {
			key[i] = byte(i * 7)
		}
		c, err := New(key)
		if err != nil {
			t.Fatal(err)
		}
		want, err := stdaes.NewCipher(key)
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
		c.Release()
	}
	if _, err := New(make([]byte, 5)); err == nil {
		t.Fatal("New accepts a key of 5 bytes")
	}
}
