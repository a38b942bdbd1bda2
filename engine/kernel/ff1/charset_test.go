package ff1

import (
	"bytes"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestFF1Characters encrypts values with every byte at every index.
func TestFF1Characters(t *testing.T) {
	simdtest.Alone(t)
	for _, alphabet := range []string{"0123456789", base62, graphic} {
		f, err := New(&[32]byte{9}, alphabet)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Release()
		simdtest.EachKernel(t, func(t *testing.T) {
			for _, l := range []int{7, 16, 21, 40} {
				for p := range l {
					for c := range 256 {
						v := bytes.Repeat([]byte(alphabet[:1]), l)
						v[p] = byte(c)
						_, code := Code(0), Code(0)
						bad := f.Encrypt(make([]byte, l), []uint32{0}, v, []uint32{0, uint32(l)}, nil)
						if len(bad) > 0 {
							code = bad[0].Code
						}
						if (strings.IndexByte(alphabet, byte(c)) < 0) != (code == Character) {
							t.Fatalf("byte %#x at place %d of %d: %d", c, p, l, code)
						}
					}
				}
			}
			long := append(bytes.Repeat([]byte(alphabet[:1]), 1000), ' ')
			if _, code := runOne(t, f, long, false); code != Character {
				t.Fatalf("a foreign character behind 1000: %d", code)
			}
			if _, code := runOne(t, f, long[:1000], false); code != Length {
				t.Fatalf("1000 characters: %d", code)
			}
		})
	}
}

// TestFF1Alphabets checks which alphabets and lengths are accepted.
func TestFF1Alphabets(t *testing.T) {
	for _, alphabet := range []string{"", "a", "aa", "abca", "a b", "a\x7f", "aé", graphic + "!", "ab\n"} {
		if f, err := New(&[32]byte{}, alphabet); err == nil {
			f.Release()
			t.Errorf("New accepts an invalid alphabet of %d characters", len(alphabet))
		}
	}
	for radix := 2; radix <= 94; radix++ {
		f, err := New(&[32]byte{}, graphic[:radix])
		if err != nil {
			t.Fatal(err)
		}
		least := 0
		for p := 1; p < 1000000; p *= radix {
			least++
		}
		for n := range 260 {
			if f.Takes(n) != (n >= least && n <= 256) {
				t.Errorf("radix %d: Takes(%d) is %v", radix, n, f.Takes(n))
			}
		}
		f.Release()
	}
}
