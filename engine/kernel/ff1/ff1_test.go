package ff1

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/kernel/secmem"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

const (
	base36 = "0123456789abcdefghijklmnopqrstuvwxyz"
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// graphic is all printable ASCII in an order without adjacent characters: the worst case for
// runs.
var graphic = func() string {
	var b []byte
	for i := range 94 {
		b = append(b, byte('!'+i*37%94))
	}
	return string(b)
}()

// oracle follows SP 800-38G step by step with big integers.
func oracle(t testing.TB, key []byte, alphabet string, tweak, v []byte, dec bool) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	radix, n := len(alphabet), len(v)
	u := n / 2
	w := n - u
	num := func(s []byte) *big.Int {
		x := new(big.Int)
		for _, c := range s {
			x.Mul(x, big.NewInt(int64(radix)))
			x.Add(x, big.NewInt(int64(strings.IndexByte(alphabet, c))))
		}
		return x
	}
	str := func(x *big.Int, m int) []byte {
		s := make([]byte, m)
		x = new(big.Int).Set(x)
		for i := m - 1; i >= 0; i-- {
			var d big.Int
			x.DivMod(x, big.NewInt(int64(radix)), &d)
			s[i] = alphabet[d.Int64()]
		}
		return s
	}
	most := new(big.Int).Exp(big.NewInt(int64(radix)), big.NewInt(int64(w)), nil)
	b := (new(big.Int).Sub(most, big.NewInt(1)).BitLen() + 7) / 8
	d := 4*((b+3)/4) + 4
	P := []byte{1, 2, 1, 0, 0, byte(radix), 10, byte(u)}
	P = binary.BigEndian.AppendUint32(P, uint32(n))
	P = binary.BigEndian.AppendUint32(P, uint32(len(tweak)))
	A, B := v[:u], v[u:]
	for k := range 10 {
		i := k
		from := B
		if dec {
			i = 9 - k
			from = A
		}
		Q := append([]byte{}, tweak...)
		for (len(Q)+1+b)%16 != 0 {
			Q = append(Q, 0)
		}
		Q = append(Q, byte(i))
		Q = append(Q, num(from).FillBytes(make([]byte, b))...)
		var R [16]byte
		for _, x := range slices.Collect(slices.Chunk(append(append([]byte{}, P...), Q...), 16)) {
			for j := range R {
				R[j] ^= x[j]
			}
			block.Encrypt(R[:], R[:])
		}
		S := append([]byte{}, R[:]...)
		for j := 1; len(S) < d; j++ {
			x := R
			x[15] ^= byte(j)
			block.Encrypt(x[:], x[:])
			S = append(S, x[:]...)
		}
		y := new(big.Int).SetBytes(S[:d])
		m := u
		if i%2 == 1 {
			m = w
		}
		mod := new(big.Int).Exp(big.NewInt(int64(radix)), big.NewInt(int64(m)), nil)
		if dec {
			C := str(y.Mod(y.Sub(num(B), y), mod), m)
			B, A = A, C
		} else {
			C := str(y.Mod(y.Add(num(A), y), mod), m)
			A, B = B, C
		}
	}
	return append(append([]byte{}, A...), B...)
}

// runOne transforms one value alone and many times in a batch that is large enough for the widest
// kernel, and checks that all results are equal.
func runOne(t *testing.T, f *Cipher, v []byte, dec bool) ([]byte, Code) {
	t.Helper()
	const n = 45
	call := f.Encrypt
	if dec {
		call = f.Decrypt
	}
	one := make([]byte, len(v))
	bad := call(one, []uint32{0}, v, []uint32{0, uint32(len(v))}, nil)
	var spans, at []uint32
	for i := range n {
		spans = append(spans, 0, uint32(len(v)))
		at = append(at, uint32(i*len(v)))
	}
	dst := make([]byte, n*len(v))
	many := call(dst, at, v, spans, nil)
	if len(bad) == 0 && len(many) == 0 {
		if !bytes.Equal(dst, bytes.Repeat(one, n)) {
			t.Fatalf("%d characters: a value alone has another result than in a batch", len(v))
		}
		return one, 0
	}
	if len(bad) != 1 || len(many) != n {
		t.Fatalf("%d characters: %d refused alone, %d of %d in a batch, want all", len(v), len(bad), len(many), n)
	}
	for i, e := range many {
		if e.Index != i || e.Code != bad[0].Code {
			t.Fatalf("%d characters: bad value %+v at index %d, alone %+v", len(v), e, i, bad[0])
		}
	}
	return nil, bad[0].Code
}

// batch holds values with gaps between them, and the expected results.
type batch struct {
	base, want []byte
	spans, at  []uint32
	bad        []Error
}

// newBatch returns n values of the lengths that length returns. If dirty is not 0, one in dirty is
// bad.
func newBatch(t testing.TB, r *rand.Rand, f *Cipher, key []byte, alphabet string, n, dirty int, dec bool, length func() int) *batch {
	b := &batch{}
	for i := range n {
		for range r.IntN(3) {
			b.base = append(b.base, '#')
			b.want = append(b.want, 0x5A)
		}
		l := length()
		v := make([]byte, l)
		for j := range v {
			v[j] = alphabet[r.IntN(len(alphabet))]
		}
		switch r.IntN(8) { // sometimes the least or the greatest value
		case 0:
			v = bytes.Repeat([]byte{alphabet[0]}, l)
		case 1:
			v = bytes.Repeat([]byte{alphabet[len(alphabet)-1]}, l)
		}
		var code Code
		if l > 0 && !f.Takes(l) {
			code = Length
		}
		if dirty > 0 && l > 0 && r.IntN(dirty) == 0 {
			foreign := []byte{0, ' ', 0x7F, 0x80, 0xB0, 0xFF, '~' + 1}
			for c := byte('!'); c <= '~'; c++ {
				if strings.IndexByte(alphabet, c) < 0 {
					foreign = append(foreign, c, c|0x80)
				}
			}
			v[r.IntN(l)] = foreign[r.IntN(len(foreign))]
			code = Character
		}
		b.spans = append(b.spans, uint32(len(b.base)), uint32(l))
		b.at = append(b.at, uint32(len(b.want)))
		b.base = append(b.base, v...)
		switch {
		case code != 0:
			b.bad = append(b.bad, Error{i, code})
			b.want = append(b.want, bytes.Repeat([]byte{0x5A}, l)...)
		case l > 0:
			b.want = append(b.want, oracle(t, key, alphabet, []byte(alphabet), v, dec)...)
		}
	}
	return b
}

// check transforms the batch to other memory, and in place.
func (b *batch) check(t *testing.T, f *Cipher, dec bool, kernel string) {
	t.Helper()
	call := f.Encrypt
	if dec {
		call = f.Decrypt
	}
	base := bytes.Clone(b.base)
	out := bytes.Repeat([]byte{0x5A}, 64+len(b.want)+64)
	dst := out[64 : 64+len(b.want) : 64+len(b.want)]
	bad := call(dst, b.at, base, b.spans, nil)
	if !bytes.Equal(base, b.base) {
		t.Fatal(kernel, "the values were changed")
	}
	for i := range 64 {
		if out[i] != 0x5A || out[len(out)-1-i] != 0x5A {
			t.Fatal(kernel, "wrote outside dst")
		}
	}
	if !slices.Equal(bad, b.bad) {
		t.Fatalf("%s: bad values %v, want %v", kernel, bad, b.bad)
	}
	if !bytes.Equal(dst, b.want) {
		for i := 0; i < len(b.at); i++ {
			l := b.spans[2*i+1]
			if got, want := dst[b.at[i]:][:l], b.want[b.at[i]:][:l]; !bytes.Equal(got, want) {
				t.Fatalf("%s: radix %d, value %d of %d, %d characters: %q, want %q", kernel, f.r.radix, i, len(b.at), l, got, want)
			}
		}
		t.Fatal(kernel, "wrote between the results")
	}
	b.checkRows(t, f, dec, kernel)
	bad = call(base, nil, base, b.spans, bad[:0])
	if !slices.Equal(bad, b.bad) {
		t.Fatalf("%s in place: bad values %v, want %v", kernel, bad, b.bad)
	}
	j := 0
	for i := range b.at {
		off, l := b.spans[2*i], b.spans[2*i+1]
		want := b.want[b.at[i]:][:l]
		if j < len(bad) && bad[j].Index == i {
			want = b.base[off:][:l]
			j++
		}
		if !bytes.Equal(base[off:][:l], want) {
			t.Fatalf("%s in place: value %d of %d characters differs", kernel, i, l)
		}
	}
}

// checkRows transforms the batch to rows after bytes that must not change.
func (b *batch) checkRows(t *testing.T, f *Cipher, dec bool, kernel string) {
	t.Helper()
	call := f.EncryptRows
	if dec {
		call = f.DecryptRows
	}
	for _, frame := range [][2]string{{"", "\n"}, {`"`, `",`}, {"", ""}, {"before ", " behind\r\n"}} {
		want, pairs := []byte("head"), []uint32{}
		k := 0
		for i := range b.at {
			want = append(want, frame[0]...)
			l := b.spans[2*i+1]
			if k < len(b.bad) && b.bad[k].Index == i {
				l = 0
				k++
			}
			pairs = append(pairs, uint32(len(want)), l)
			want = append(append(want, b.want[b.at[i]:][:l]...), frame[1]...)
		}
		out := make([]uint32, len(b.spans)+2)
		dst, bad := call(frame[0], frame[1], []byte("head"), b.base, b.spans, out, []Error{{-1, 9}})
		if !slices.Equal(bad[1:], b.bad) || bad[0].Index != -1 {
			t.Fatalf("%s rows: bad values %v, want %v", kernel, bad, b.bad)
		}
		if !slices.Equal(out[:len(b.spans)], pairs) || out[len(b.spans)] != 0 {
			t.Fatalf("%s rows %q: places %v, want %v", kernel, frame, out, pairs)
		}
		if !bytes.Equal(dst, want) {
			t.Fatalf("%s rows %q:\n%q, want\n%q", kernel, frame, dst, want)
		}
	}
}

// TestFF1Batches compares every kernel with the oracle: every length of several radices, mixed
// lengths, bad values at various rates, batches of up to 200 values and larger ones.
func TestFF1Batches(t *testing.T) {
	simdtest.Alone(t)
	key := bytes.Repeat([]byte{1, 2, 3, 250}, 8)
	for _, alphabet := range []string{"0123456789", "01", "210", "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", base36, base62, graphic} {
		f, err := New((*[32]byte)(key), alphabet)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Release()
		t.Run(fmt.Sprint("radix", len(alphabet)), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(len(alphabet))))
			run := func(n, dirty int, dec bool, length func() int) {
				b := newBatch(t, r, f, key, alphabet, n, dirty, dec, length)
				defer simd.Force("auto")
				for _, name := range simd.Kernels() {
					if err := simd.Force(name); err != nil {
						t.Fatal(err)
					}
					b.check(t, f, dec, name)
				}
			}
			for n := range 201 {
				low, high := f.r.min-2, max(f.r.min+10, 34)
				if n%8 == 7 {
					high = 258
				}
				if n%4 == 0 {
					low = min(16, f.r.min+n%13)
					high = low
				}
				dirty := []int{0, 40, 0, 3}[n%4]
				if n%16 == 1 {
					dirty = 1
				}
				if high == 258 && n > 40 {
					continue
				}
				run(n, dirty, n%2 == 1, func() int { return max(0, low+r.IntN(high-low+1)) })
			}
			for l := 1; l <= 257; l += 1 + l/48*7 {
				n := 33
				if l > 40 {
					n = 9
				}
				run(n, 0, l%2 == 0, func() int { return l })
			}
			run(1500, 100, false, func() int { return f.r.min + r.IntN(10) })
		})
	}
}

// TestFF1Release checks that Release wipes the key.
func TestFF1Release(t *testing.T) {
	hold, err := secmem.New[keyMemory]() // keeps the slab mapped
	if err != nil {
		t.Fatal(err)
	}
	defer secmem.Delete(hold)
	f, err := New(&[32]byte{1}, "0123456789")
	if err != nil {
		t.Fatal(err)
	}
	k := f.k
	if *k == (keyMemory{}) {
		t.Fatal("the key memory is zero before Release")
	}
	f.Release()
	if *k != (keyMemory{}) {
		t.Fatal("Release did not wipe the key")
	}
	f.Release() // a second call has no effect
}

// TestFF1AllocatesNothing checks that transforming a batch allocates nothing.
func TestFF1AllocatesNothing(t *testing.T) {
	key := [32]byte{3}
	f, err := New(&key, base36)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	r := rand.New(rand.NewPCG(8, 8))
	b := newBatch(t, r, f, key[:], base36, 300, 0, false, func() int { return 4 + r.IntN(60) })
	simdtest.EachKernel(t, func(t *testing.T) {
		if n := testing.AllocsPerRun(20, func() { f.Encrypt(b.want, b.at, b.base, b.spans, nil) }); n >= 1 {
			t.Fatalf("%v allocations, want none", n)
		}
	})
}

// FuzzFF1 compares every kernel with the oracle.
func FuzzFF1(f *testing.F) {
	f.Add([]byte("key"), uint8(10), uint64(1), uint16(70), uint8(14), false)
	f.Add([]byte("key"), uint8(62), uint64(9), uint16(33), uint8(9), true)
	f.Add([]byte("key"), uint8(2), uint64(2), uint16(40), uint8(255), true)
	f.Fuzz(func(t *testing.T, key []byte, radix uint8, seed uint64, n uint16, length uint8, dec bool) {
		k := make([]byte, 32)
		copy(k, key)
		r := rand.New(rand.NewPCG(seed, 2))
		letters := []byte(graphic)
		r.Shuffle(len(letters), func(i, j int) { letters[i], letters[j] = letters[j], letters[i] })
		alphabet := string(letters[:2+int(radix)%93])
		c, err := New((*[32]byte)(k), alphabet)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		defer simd.Force("auto")
		b := newBatch(t, r, c, k, alphabet, int(n%300), 20, dec, func() int {
			if r.IntN(4) == 0 {
				return r.IntN(int(length) + 4)
			}
			return int(length)
		})
		for _, name := range simd.Kernels() {
			if err := simd.Force(name); err != nil {
				t.Fatal(err)
			}
			b.check(t, c, dec, name)
		}
	})
}

func BenchmarkFF1(b *testing.B) {
	defer simd.Force("auto")
	for _, c := range []struct {
		alphabet string
		length   int
	}{{"0123456789", 10}, {"0123456789", 11}, {"0123456789", 16}, {"0123456789", 20}, {"0123456789", 36}, {"0123456789", 60}, {base36, 12}, {base62, 16}, {base62, 22}} {
		key := [32]byte{1}
		f, err := New(&key, c.alphabet)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Release()
		r := rand.New(rand.NewPCG(1, 2))
		batch := newBatch(b, r, f, key[:], c.alphabet, 1024, 0, false, func() int { return c.length })
		dst := make([]byte, len(batch.want))
		for _, name := range simd.Kernels() {
			b.Run(fmt.Sprintf("%s/radix%d/%d", name, len(c.alphabet), c.length), func(b *testing.B) {
				if err := simd.Force(name); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					f.Encrypt(dst, batch.at, batch.base, batch.spans, nil)
				}
				b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
			})
			b.Run(fmt.Sprintf("%s/radix%d/%d/rows", name, len(c.alphabet), c.length), func(b *testing.B) {
				if err := simd.Force(name); err != nil {
					b.Fatal(err)
				}
				out := make([]uint32, 2048)
				rows := make([]byte, 0, 2*len(dst)+4096)
				b.ReportAllocs()
				for b.Loop() {
					rows, _ = f.EncryptRows("", "\n", rows[:0], batch.base, batch.spans, out, nil)
				}
				b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
			})
		}
	}
}

// TestFF1PageEnds transforms values and writes results directly before pages that fault.
func TestFF1PageEnds(t *testing.T) {
	key := bytes.Repeat([]byte{6}, 32)
	for _, alphabet := range []string{"0123456789", base62} {
		f, err := New((*[32]byte)(key), alphabet)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Release()
		simdtest.EachKernel(t, func(t *testing.T) {
			for _, l := range []int{6, 7, 10, 15, 16, 17, 20, 31, 32, 33, 70} {
				v := make([]byte, l)
				for i := range v {
					v[i] = alphabet[(i*i+l)%len(alphabet)]
				}
				want := oracle(t, key, alphabet, []byte(alphabet), v, false)
				for _, n := range []int{1, 12, 32, 45} {
					end, begin := simdtest.PageEnds(t, l)
					for _, base := range [][]byte{end, begin} {
						copy(base, v)
						outEnd, outBegin := simdtest.PageEnds(t, n*l)
						for _, dst := range [][]byte{outEnd, outBegin} {
							clear(dst)
							var spans, at []uint32
							for i := range n {
								spans, at = append(spans, 0, uint32(l)), append(at, uint32(i*l))
							}
							if bad := f.Encrypt(dst, at, base, spans, nil); len(bad) > 0 || !bytes.Equal(dst, bytes.Repeat(want, n)) {
								t.Fatalf("%d values of %d characters: wrong results, %d bad", n, l, len(bad))
							}
						}
					}
				}
			}
		})
	}
}
