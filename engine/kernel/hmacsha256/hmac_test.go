package hmacsha256

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// oracle returns the result by means of the standard library.
func oracle(key []byte, counter []byte, v []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(counter)
	m.Write(v)
	return m.Sum(nil)[:16]
}

// runOne hashes one value many times in a batch that is large enough for the widest kernel, and
// checks that all results are equal.
func runOne(t *testing.T, h *HMAC, v []byte) []byte {
	t.Helper()
	const n = 33
	var spans []uint32
	for range n {
		spans = append(spans, 0, uint32(len(v)))
	}
	dst := make([]byte, 16*n)
	h.Sum(dst, v, spans, nil)
	for i := 1; i < n; i++ {
		if !bytes.Equal(dst[:16], dst[16*i:][:16]) {
			t.Fatalf("value of %d bytes: result %d of the batch differs from result 0", len(v), i)
		}
	}
	one := make([]byte, 16)
	h.Sum(one, v, spans[:2], nil)
	if !bytes.Equal(one, dst[:16]) {
		t.Fatalf("value of %d bytes: alone it has another result than in a batch", len(v))
	}
	return one
}

// TestHMACRFC4231 runs the test cases of RFC 4231, of which case 5 has a result of 16 bytes.
func TestHMACRFC4231(t *testing.T) {
	rep := func(b byte, n int) string { return string(bytes.Repeat([]byte{b}, n)) }
	seq := make([]byte, 25)
	for i := range seq {
		seq[i] = byte(i + 1)
	}
	cases := []struct{ key, data, want string }{
		{rep(0x0b, 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b"},
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"},
		{rep(0xaa, 20), rep(0xdd, 50), "773ea91e36800e46854db8ebd09181a7"},
		{string(seq), rep(0xcd, 50), "82558a389a443c0ea4cc819899f2083a"},
		{rep(0x0c, 20), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b"},
		{rep(0xaa, 131), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f"},
		{rep(0xaa, 131), "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.", "9b09ffa71b942fcb27635fbcd5b0e944"},
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		for i, c := range cases {
			h, err := newHMAC([]byte(c.key))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(runOne(t, h, []byte(c.data))); got != c.want {
				t.Errorf("case %d: %s, want %s", i+1, got, c.want)
			}
			h.Release()
		}
	})
}

// TestHMACWycheproof runs the Wycheproof vectors. Of a tag of 32 bytes only the first half is
// compared. A vector is invalid because its tag was changed; those whose first half is unchanged
// are skipped.
func TestHMACWycheproof(t *testing.T) {
	raw, err := os.ReadFile("testdata/wycheproof_hmac_sha256.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		TestGroups []struct {
			TagSize int
			Tests   []struct {
				TcID                  int
				Key, Msg, Tag, Result string
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		valid, invalid := 0, 0
		for _, g := range file.TestGroups {
			for _, c := range g.Tests {
				key, _ := hex.DecodeString(c.Key)
				msg, _ := hex.DecodeString(c.Msg)
				tag, _ := hex.DecodeString(c.Tag)
				h, err := newHMAC(key)
				if err != nil {
					t.Fatal(err)
				}
				same := bytes.Equal(runOne(t, h, msg), tag[:16])
				switch {
				case c.Result == "valid":
					valid++
					if !same {
						t.Errorf("vector %d is valid, but the tag differs", c.TcID)
					}
				case same && !bytes.Equal(tag[:16], oracle(key, nil, msg)):
					t.Errorf("vector %d is invalid, but the tag is equal", c.TcID)
				default:
					invalid++
				}
				h.Release()
			}
		}
		if valid < 60 || invalid < 60 {
			t.Fatalf("only %d valid and %d invalid vectors", valid, invalid)
		}
	})
}

// batch returns n values of up to limit bytes with gaps between them, and counters of all sizes.
func batch(r *rand.Rand, n, limit int) (base []byte, spans []uint32, counters []uint64) {
	for range n {
		for range r.IntN(3) {
			base = append(base, 0xA5)
		}
		l := 0
		if limit > 0 {
			l = r.IntN(limit + 1)
		}
		spans = append(spans, uint32(len(base)), uint32(l))
		for range l {
			base = append(base, byte(r.Uint32()))
		}
		counters = append(counters, r.Uint64()>>r.IntN(64))
	}
	return base, spans, counters
}

// TestHMACBatches compares every kernel with crypto/hmac on mixed batches: up to 200 values of up to
// 300 bytes, with and without counters. Bytes after the results must not change.
func TestHMACBatches(t *testing.T) {
	key := bytes.Repeat([]byte{7, 1, 9, 200}, 8)
	h, err := New((*[32]byte)(key))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		sizes := []int{300, 1000, 2000}
		for n := range 201 {
			sizes = append(sizes, n)
		}
		for k, n := range sizes {
			base, spans, counters := batch(r, n, []int{15, 55, 300, 120}[k%4])
			if k%3 != 0 {
				counters = nil
			}
			check(t, h, key, base, spans, counters)
		}
		for l := range 301 { // every length in every lane of a full group
			base, spans, counters := batch(r, 37, 0)
			base = append(base, make([]byte, 37*l)...)
			for i := range 37 {
				spans[2*i], spans[2*i+1] = uint32(i*l), uint32(l)
			}
			for i := range base {
				base[i] = byte(r.Uint32())
			}
			if l%2 == 0 {
				counters = nil
			}
			check(t, h, key, base, spans, counters)
		}
		base := make([]byte, 70000) // the longest values that plans accept, and longer ones
		for i := range base {
			base[i] = byte(i * i)
		}
		check(t, h, key, base, []uint32{0, 65535, 1, 65535, 4000, 66000, 3, 100, 2, 65536}, nil)
	})
}

// check compares one call with the oracle, value by value.
func check(t *testing.T, h *HMAC, key, base []byte, spans []uint32, counters []uint64) {
	t.Helper()
	n := len(spans) / 2
	const canary = 0x5A
	out := bytes.Repeat([]byte{canary}, 64+16*n+64)
	before := bytes.Clone(base)
	h.Sum(out[64:64+16*n:64+16*n], base, spans, counters)
	if !bytes.Equal(base, before) {
		t.Fatal("the values were changed")
	}
	if k := bytes.IndexFunc(out[:64], func(r rune) bool { return r != canary }); k >= 0 {
		t.Fatalf("wrote before the results")
	}
	for _, b := range out[64+16*n:] {
		if b != canary {
			t.Fatal("wrote behind the results")
		}
	}
	for i := range n {
		var c []byte
		if counters != nil {
			c = binary.BigEndian.AppendUint64(nil, counters[i])
		}
		v := base[spans[2*i]:][:spans[2*i+1]]
		if got, want := out[64+16*i:][:16], oracle(key, c, v); !bytes.Equal(got, want) {
			t.Fatalf("%d values, value %d of %d bytes, counters %v: %x, want %x", n, i, len(v), counters != nil, got, want)
		}
	}
}

// TestDeriveKey compares DeriveKey with crypto/hmac, for all lengths of key and messages of several
// blocks.
func TestDeriveKey(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for k := range 65 {
		for n := 0; n < 700; n += 1 + r.IntN(20) {
			key, msg := make([]byte, k), make([]byte, n)
			for i := range key {
				key[i] = byte(r.Uint32())
			}
			for i := range msg {
				msg[i] = byte(r.Uint32())
			}
			var out [32]byte
			if err := DeriveKey(&out, key, msg); err != nil {
				t.Fatal(err)
			}
			m := hmac.New(sha256.New, key)
			m.Write(msg)
			if !bytes.Equal(out[:], m.Sum(nil)) {
				t.Fatalf("key of %d bytes, message of %d: differs from crypto/hmac", k, n)
			}
		}
	}
}

// TestHMACAllocatesNothing checks that hashing a batch allocates nothing.
func TestHMACAllocatesNothing(t *testing.T) {
	h, err := New(&[32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	base, spans, counters := batch(rand.New(rand.NewPCG(5, 6)), 500, 200)
	dst := make([]byte, 16*500)
	simdtest.EachKernel(t, func(t *testing.T) {
		if n := testing.AllocsPerRun(50, func() { h.Sum(dst, base, spans, counters) }); n >= 1 {
			t.Fatalf("%v allocations, want none", n)
		}
	})
}

// TestHMACPanicsOnShortBuffers checks that a short dst, counters or base panics.
func TestHMACPanicsOnShortBuffers(t *testing.T) {
	h, err := New(&[32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	v := make([]byte, 10)
	for name, f := range map[string]func(){
		"dst":      func() { h.Sum(make([]byte, 31), v, []uint32{0, 1, 1, 1}, nil) },
		"counters": func() { h.Sum(make([]byte, 32), v, []uint32{0, 1, 1, 1}, make([]uint64, 1)) },
		"offset":   func() { h.Sum(make([]byte, 32), v, []uint32{0, 1, 11, 0}, nil) },
		"length":   func() { h.Sum(make([]byte, 32), v, []uint32{0, 1, 9, 2}, nil) },
		"wrap":     func() { h.Sum(make([]byte, 32), v, []uint32{0, 1, 5, 1<<32 - 1}, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestHMACRelease checks that Release wipes the midstates.
func TestHMACRelease(t *testing.T) {
	hold, err := secmem.New[midstates]() // keeps the slab mapped
	if err != nil {
		t.Fatal(err)
	}
	defer secmem.Delete(hold)
	h, err := New(&[32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	k := h.k
	if *k == (midstates{}) {
		t.Fatal("the midstates are zero before Release")
	}
	h.Release()
	if *k != (midstates{}) {
		t.Fatal("Release did not wipe the midstates")
	}
	h.Release() // a second call has no effect
}

// FuzzHMAC compares every kernel with crypto/hmac.
func FuzzHMAC(f *testing.F) {
	f.Add([]byte("key"), []byte("a value and another"), uint64(3), uint8(5), true)
	f.Add([]byte{}, []byte{}, uint64(0), uint8(0), false)
	f.Add(make([]byte, 64), make([]byte, 200), uint64(1<<60), uint8(77), true)
	f.Fuzz(func(t *testing.T, key, data []byte, seed uint64, n uint8, counted bool) {
		h, err := newHMAC(key)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Release()
		defer simd.Force("auto")
		r := rand.New(rand.NewPCG(seed, 1))
		var spans []uint32
		var counters []uint64
		for range n {
			off := r.IntN(len(data) + 1)
			spans = append(spans, uint32(off), uint32(r.IntN(len(data)-off+1)))
			counters = append(counters, r.Uint64())
		}
		if !counted {
			counters = nil
		}
		for _, name := range simd.Kernels() {
			if err := simd.Force(name); err != nil {
				t.Fatal(err)
			}
			check(t, h, key, data, spans, counters)
		}
	})
}

func BenchmarkHMAC(b *testing.B) {
	defer simd.Force("auto")
	h, err := New(&[32]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Release()
	for _, name := range simd.Kernels() {
		for _, size := range []int{12, 40, 100, 300, 2000} {
			b.Run(fmt.Sprintf("%s/%dB", name, size), func(b *testing.B) {
				if err := simd.Force(name); err != nil {
					b.Fatal(err)
				}
				const n = 1024
				base := make([]byte, n*size)
				spans := make([]uint32, 0, 2*n)
				for i := range n {
					spans = append(spans, uint32(i*size), uint32(size))
				}
				dst := make([]byte, 16*n)
				b.ReportAllocs()
				for b.Loop() {
					h.Sum(dst, base, spans, nil)
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
			})
		}
	}
	b.Run("crypto_hmac/12B", func(b *testing.B) {
		m := hmac.New(sha256.New, make([]byte, 32))
		v := make([]byte, 12)
		var sum [32]byte
		b.ReportAllocs()
		for b.Loop() {
			m.Reset()
			m.Write(v)
			m.Sum(sum[:0])
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
	})
}

// TestHMACPageEnds puts values, spans, counters and results directly before pages that fault.
func TestHMACPageEnds(t *testing.T) {
	key := bytes.Repeat([]byte{5}, 32)
	h, err := New((*[32]byte)(key))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, l := range []int{0, 1, 7, 15, 16, 40, 55, 56, 64, 119, 120, 200, 300} {
			for _, n := range []int{1, 3, 16, 17, 32, 50} {
				for _, counted := range []bool{false, true} {
					end, begin := simdtest.PageEnds(t, max(1, l))
					for _, base := range [][]byte{end[len(end)-l:], begin[:l]} {
						dst, _ := simdtest.PageEnds(t, 16*n)
						raw, _ := simdtest.PageEnds(t, 8*n)
						spans := unsafe.Slice((*uint32)(unsafe.Pointer(&raw[0])), 2*n)
						for i := range n {
							spans[2*i], spans[2*i+1] = 0, uint32(l)
						}
						var counters []uint64
						var c []byte
						if counted {
							raw, _ := simdtest.PageEnds(t, 8*n)
							counters = unsafe.Slice((*uint64)(unsafe.Pointer(&raw[0])), n)
							c = make([]byte, 8)
						}
						h.Sum(dst, base, spans, counters)
						if !bytes.Equal(dst, bytes.Repeat(oracle(key, c, base), n)) {
							t.Fatalf("%d values of %d bytes: wrong results", n, l)
						}
					}
				}
			}
		}
	})
}
