package hctr2

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readVectors(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("../../../testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// TestHCTR2Vectors runs the official vectors of HCTR2-AES-256 both ways.
func TestHCTR2Vectors(t *testing.T) {
	var cases []struct {
		Description string
		Input       struct {
			Key   string `json:"key_hex"`
			Tweak string `json:"tweak_hex"`
		}
		Plain  string `json:"plaintext_hex"`
		Cipher string `json:"ciphertext_hex"`
	}
	readVectors(t, "hctr2/HCTR2_AES256.json", &cases)
	if len(cases) == 0 {
		t.Fatal("the file has no vectors")
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, v := range cases {
			c, err := New((*[32]byte)(unhex(t, v.Input.Key)), unhex(t, v.Input.Tweak))
			if err != nil {
				t.Fatal(err)
			}
			plain, want := unhex(t, v.Plain), unhex(t, v.Cipher)
			got := make([]byte, len(plain))
			c.Encrypt(got, plain)
			if !bytes.Equal(got, want) {
				t.Fatalf("%s: encrypts to %x, want %x", v.Description, got, want)
			}
			c.Decrypt(got, got)
			if !bytes.Equal(got, plain) {
				t.Fatalf("%s: decrypts to %x, want %x", v.Description, got, plain)
			}
			c.Release()
		}
		t.Logf("%d vectors", len(cases))
	})
}

// TestPolyvalVectors runs the official vectors of POLYVAL.
func TestPolyvalVectors(t *testing.T) {
	var cases []struct {
		Input struct {
			Key     string `json:"key_hex"`
			Message string `json:"message_hex"`
		}
		Hash string `json:"hash_hex"`
	}
	readVectors(t, "hctr2/Polyval.json", &cases)
	for i, v := range cases {
		got := make([]byte, 16)
		hash(fe{}, loadFE(unhex(t, v.Input.Key)), unhex(t, v.Input.Message)).store(got)
		if !bytes.Equal(got, unhex(t, v.Hash)) {
			t.Fatalf("vector %d: %x, want %s", i, got, v.Hash)
		}
	}
	t.Logf("%d vectors", len(cases))
}

// TestCryptIsPortable compares HCTR2 of every tier with the portable twin, for lengths around
// blocks and around those hashed with one reduction, for long ones, and in place.
func TestCryptIsPortable(t *testing.T) {
	c := testCipher(t, 8, 1, 2, 8)
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, n := range append(seq(16, 300), 511, 512, 513, 1000, 4096, 65567) {
			in := make([]byte, n)
			for i := range in {
				in[i] = byte(i * i >> 3)
			}
			want, got := make([]byte, n), append(bytes.Clone(in), bytes.Repeat([]byte{1}, 32)...)
			c.cryptGeneric(new(scratch), want, in, false)
			c.Encrypt(got, got[:n])
			if !bytes.Equal(got[:n], want) || bytes.Count(got[n:], []byte{1}) != 32 {
				t.Fatalf("%d bytes encipher differently", n)
			}
			c.Decrypt(got, want)
			if !bytes.Equal(got[:n], in) {
				t.Fatalf("%d bytes decipher differently", n)
			}
		}
	})
}

func seq(from, to int) (s []int) {
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}
