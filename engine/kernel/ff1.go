package kernel

import (
	"fmt"
	"math/big"
	"math/bits"
	"sync"

	"github.com/velonym/velonym/engine/kernel/aes"
	"github.com/velonym/velonym/engine/kernel/secmem"
)

// FF1 is the format-preserving cipher FF1 of NIST SP 800-38G with AES, for
// values written in one alphabet: the numeral of a character is its place, the
// tweak is the alphabet's own bytes. A value of n characters becomes n
// characters. Its pseudo code, with X = NUM_radix of a half and T the tweak:
//
//	u, v = ⌊n/2⌋, n - ⌊n/2⌋;  A, B = the first u numerals, the other v
//	b = ⌈⌈v·log2 radix⌉ / 8⌉;  d = 4·⌈b/4⌉ + 4
//	P = 1 ‖ 2 ‖ 1 ‖ radix (3 bytes) ‖ 10 ‖ u mod 256 ‖ n (4) ‖ len T (4)
//	for i in 0 … 9:
//		Q = T ‖ 0^((-len T - b - 1) mod 16) ‖ i ‖ B (b bytes)
//		R = CBC-MAC(P ‖ Q)
//		S = the first d bytes of R ‖ AES(R ⊕ 1) ‖ AES(R ⊕ 2) …
//		A, B = B, (A + S) mod radix^(u if i is even, else v)
//
// Everything but the last blocks of Q is the same for all values of a length:
// the state of the CBC-MAC before them is worked out once a length and key.
//
// Safe for concurrent use but for Release.
type FF1 struct {
	text  ff1Text
	table [256]byte // numeral by character, 255 for none; then character by numeral: for register shuffles
	r     *ff1Radix
	tweak []byte
	block *aes.Block
	k     *ff1Key
}

// ff1Chained is the longest value whose CBC-MAC state is kept.
const ff1Chained = 64

// ff1Key is what key memory holds of an FF1 key beside the cipher of the twin.
type ff1Key struct {
	rounds  [15 * 16]byte            // AES round keys for the kernels, as many as the key length asks for
	lastKey int                      // the number of the last of them: 10, 12 or 14
	chain   [ff1Chained + 1][16]byte // by length: CBC-MAC state before the last blocks, with their constant bytes
}

// FF1Code says why FF1 cannot take a value.
type FF1Code uint8

const (
	FF1Character FF1Code = 1 + iota // a character is not in the alphabet
	FF1Length                       // fewer than two characters, or more than 256, or radix^n is below 1,000,000
)

// FF1Error is a value that FF1 cannot take, by its place among the spans.
type FF1Error struct {
	Index int
	Code  FF1Code
}

const (
	ff1MaxLen  = 256     // characters of a value
	ff1MaxHalf = 128     // numerals of a half
	ff1Domain  = 1000000 // least radix^n, SP 800-38G revision 1
)

// NewFF1 expands a key for values in the given alphabet: 2 to 94 different
// printable ASCII characters, space not among them. It keeps nothing of key,
// which the caller wipes. The caller calls Release when done.
func NewFF1(key *[32]byte, alphabet string) (*FF1, error) {
	return newFF1(key[:], alphabet, []byte(alphabet))
}

// newFF1 takes AES keys of 16, 24 and 32 bytes and any tweak, as the published
// vectors need.
func newFF1(key []byte, alphabet string, tweak []byte) (*FF1, error) {
	if len(alphabet) < 2 || len(alphabet) > 94 {
		return nil, fmt.Errorf("kernel: alphabet of %d characters: give 2 to 94", len(alphabet))
	}
	var seen [256]bool
	for i := range len(alphabet) {
		switch c := alphabet[i]; {
		case c <= ' ' || c > '~':
			return nil, fmt.Errorf("kernel: alphabet, place %d: not a printable ASCII character", i+1)
		case seen[c]:
			return nil, fmt.Errorf("kernel: alphabet, place %d: %q stands there twice", i+1, c)
		default:
			seen[c] = true
		}
	}
	f := &FF1{text: newFF1Text(alphabet), r: ff1RadixOf(len(alphabet)), tweak: tweak}
	for i := range 128 {
		f.table[i] = 255
	}
	for i := range len(alphabet) {
		f.table[alphabet[i]], f.table[128+i] = byte(i), alphabet[i]
	}
	if err := secmem.Scrubbed(func() error { return f.expand(key) }); err != nil {
		return nil, err
	}
	return f, nil
}

// expand makes what the key alone says.
func (f *FF1) expand(key []byte) (err error) {
	if f.block, err = aes.New(key); err != nil {
		return err
	}
	if f.k, err = secmem.New[ff1Key](); err != nil {
		f.block.Release()
		return err
	}
	f.k.lastKey = len(key)/4 + 6
	aes.RoundKeys(f.k.rounds[:16*(f.k.lastKey+1)], key)
	for n := f.r.min; n <= ff1Chained; n++ {
		f.makeChain(&f.k.chain[n], n)
	}
	return nil
}

// Release wipes the key. The FF1 must not be used again.
func (f *FF1) Release() {
	if f.k != nil {
		f.block.Release()
		secmem.Delete(f.k)
		f.k = nil
	}
}

// Takes says whether values of n characters can be transformed.
func (f *FF1) Takes(n int) bool { return n >= f.r.min && n <= ff1MaxLen }

// Encrypt writes the ciphertext of value i to dst[at[i]:], as many bytes as the
// value has; at nil stands for the offsets in spans. Results must not overlap
// each other. dst may be base if every result goes to the place of its value;
// otherwise they must not overlap. Values that cannot be taken are appended to
// bad in ascending order, a foreign character before a wrong length, and their
// place in dst is left as it is. Empty values stay empty and are not bad. No
// allocation but for the growth of bad. It panics if base, dst or at is too
// short.
func (f *FF1) Encrypt(dst []byte, at []uint32, base []byte, spans []uint32, bad []FF1Error) []FF1Error {
	return f.transform(dst, at, base, spans, bad, false)
}

// Decrypt is the inverse of Encrypt, under the same contract. Every string that
// Encrypt could take decrypts to something: FF1 cannot tell a foreign one.
func (f *FF1) Decrypt(dst []byte, at []uint32, base []byte, spans []uint32, bad []FF1Error) []FF1Error {
	return f.transform(dst, at, base, spans, bad, true)
}

func (f *FF1) transform(dst []byte, at []uint32, base []byte, spans []uint32, bad []FF1Error, dec bool) []FF1Error {
	n := len(spans) / 2
	if at != nil && len(at) < n {
		panic(fmt.Sprintf("kernel: FF1 of %d values: places for %d", n, len(at)))
	}
	if n == 0 {
		return bad
	}
	var read, written uint64 // ends
	for i := range n {
		off, l := uint64(spans[2*i]), uint64(spans[2*i+1])
		read = max(read, off+l)
		if at != nil {
			written = max(written, uint64(at[i])+l)
		}
	}
	if at == nil {
		written = read
	}
	if read > uint64(len(base)) || written > uint64(len(dst)) {
		panic(fmt.Sprintf("kernel: FF1 of %d values: %d bytes of %d, results in %d of %d", n, read, len(base), written, len(dst)))
	}
	return f.run(dst, at, base, spans, bad, dec)
}

// ff1Radix holds what depends on the radix alone; none of it is secret.
type ff1Radix struct {
	radix  uint64
	min    int                       // least length
	limb   int                       // numerals of a limb: radix^limb < 2^63
	pow    [63]divisor               // radix^k, k ≤ limb
	small  int                       // radix^small ≤ 2^32
	recip  uint64                    // ⌊2^64/radix⌋ + 1: ⌊x/radix⌋ is its product's upper word for x < 2^32·radix^0.9
	pairs  [ff1MaxHalf + 1]*divisor2 // radix^k where v = k or k + 1 makes halves of two words; nil elsewhere
	length [ff1MaxHalf + 1]uint16    // b by v
	shapes [33]*ff1Shape             // by length, for kernels that take whole values; nil where they do not
}

var ff1Radices struct {
	sync.Mutex
	of [95]*ff1Radix
}

// ff1RadixOf returns the constants of a radix of 2 to 94.
func ff1RadixOf(radix int) *ff1Radix {
	ff1Radices.Lock()
	defer ff1Radices.Unlock()
	if r := ff1Radices.of[radix]; r != nil {
		return r
	}
	r := &ff1Radix{radix: uint64(radix), recip: ^uint64(0)/uint64(radix) + 1}
	p := uint64(1)
	for k := 0; ; k++ {
		r.pow[k] = newDivisor(p)
		r.limb = k
		if p <= 1<<32 {
			r.small = k
		}
		if p < ff1Domain {
			r.min = k + 1
		}
		if p > (1<<63-1)/uint64(radix) {
			break
		}
		p *= uint64(radix)
	}
	power, base := big.NewInt(1), big.NewInt(int64(radix))
	for v := 1; v <= ff1MaxHalf; v++ {
		power.Mul(power, base)
		// ⌈v·log2 radix⌉ is the bit length of radix^v - 1.
		r.length[v] = uint16((new(big.Int).Sub(power, big.NewInt(1)).BitLen() + 7) / 8)
		// Round number and half fit one block, the half two limbs.
		if v >= r.limb && v <= 2*r.limb && r.length[v] <= 15 {
			r.pairs[v] = newDivisor2(power)
		}
	}
	for n := r.min; n < len(r.shapes); n++ {
		r.shapes[n] = newFF1Shape(r, n)
	}
	ff1Radices.of[radix] = r
	return r
}

// widthOf returns b and d for a value of n characters.
func (r *ff1Radix) widthOf(n int) (b, d int) {
	b = int(r.length[n-n/2])
	return b, (b+3)/4*4 + 4
}

// ff1Shape holds the constants of a length for the kernels that take whole
// values: halves of up to 16 numerals below 2^62, one register lane each, or for
// lengths of up to 16 one lane for both. The kernels read it by offset. Nothing
// of it is secret.
type ff1Shape struct {
	place          [16]byte // shuffle: the halves to the ends of 8 bytes each
	pack           [16]byte // shuffle: back
	maskN          uint64   // the value's bytes of a lane, for four lanes
	maskA, maskB   uint64   // a half's bytes at the end of a lane
	beginA, beginB int64    // where such a lane begins, counted from the value
	pairs, fours   uint32   // weights of numerals (bytes), and of pairs of them (words)
	r4, r8         uint64   // radix^4, radix^8
	invR4, invR8   float64  // a little less than their reciprocals
	mul2, shift2   uint64   // ⌊x/radix^2⌋ = x·mul2 >> shift2 for x < radix^4
	r2             uint64   // radix^2 in both halves
	mul1, shift1   uint64   // ⌊x/radix⌋ = x·mul1 >> 16 >> shift1 for x < radix^2; mul1 in all quarters
	r1             uint64   // radix in all quarters
	half           [2]ff1Modulus
	wide           uint64 // 1 if d = 12
	fold           uint64 // 1 if a modulus is below 2^15
	rounds         [10][16]byte
	long           bool
}

// ff1Modulus is radix^u or radix^v.
type ff1Modulus struct {
	m    uint64
	inv  float64 // a little less than 1/m
	fold uint64  // 2^32 mod m
	_    uint64
}

// newFF1Shape returns the shape of length n, nil if it has none. Reciprocals are
// made smaller by 2^-50 of themselves, more than all roundings of a product
// come to, so that a quotient by them is right or one too small.
func newFF1Shape(r *ff1Radix, n int) *ff1Shape {
	u, v := n/2, n-n/2
	if v > 16 || v > r.limb || r.pow[v].d > 1<<62 {
		return nil
	}
	b, d := r.widthOf(n)
	if b > 8 {
		return nil
	}
	s := &ff1Shape{long: n > 16}
	below := func(x uint64) float64 { return 1 / float64(x) * (1 - 1.0/(1<<50)) }
	const lanes, words, doubles = 0x0001000100010001, 0x0001000100010001, 0x0000000100000001
	if n <= 16 {
		for i := range 16 {
			s.place[i], s.pack[i] = 0x80, 0x80
		}
		for i := range u {
			s.place[8-u+i], s.pack[i] = byte(i), byte(8-u+i)
		}
		for i := range v {
			s.place[16-v+i], s.pack[u+i] = byte(u+i), byte(16-v+i)
		}
		s.maskN = (1<<n - 1) * lanes
	}
	s.maskA, s.maskB = uint64(0xFFFF<<(16-u)&0xFFFF)*lanes, uint64(0xFFFF<<(16-v)&0xFFFF)*lanes
	s.beginA, s.beginB = int64(u-16), int64(n-16)
	x := r.radix
	s.pairs, s.fours = uint32(x)|1<<8, uint32(x*x)|1<<16
	s.pairs |= s.pairs << 16
	s.r4, s.r8 = x*x*x*x, x*x*x*x*x*x*x*x
	s.invR4, s.invR8 = below(s.r4), below(s.r8)
	up := func(x uint64) uint64 { return uint64(bits.Len64(x*x*x - 1)) } // x^3 ≤ 2^up
	s.shift2 = up(x * x)
	s.mul2 = (1<<s.shift2 + x*x - 1) / (x * x)
	s.r2 = x * x * doubles
	s.shift1 = max(16, up(x)) - 16
	s.mul1 = (1<<(s.shift1+16) + x - 1) / x * words
	s.r1 = x * words
	for i, k := range []int{u, v} {
		m := r.pow[k].d
		s.half[i] = ff1Modulus{m: m, inv: below(m), fold: 1 << 32 % m}
		if m < 1<<15 {
			s.fold = 1
		}
	}
	if d == 12 {
		s.wide, s.fold = 1, 0
	}
	for i := range s.rounds {
		s.rounds[i][15-b] = byte(i)
	}
	return s
}
