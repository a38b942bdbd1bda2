package ff1

import (
	"fmt"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/aes"
	"github.com/velonym/velonym/engine/kernel/secmem"
)

// Cipher is the format-preserving cipher FF1 of NIST SP 800-38G with AES, for values in one
// alphabet: the numeral of a character is its index in the alphabet, whose bytes are the tweak. A
// value of n characters becomes n characters. Pseudo code, with A and B also for the numbers of
// the halves and T the tweak:
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
// All but the last blocks of Q are the same for all values of a length: the state of the CBC-MAC
// before them is computed once for each length and key.
//
// It is safe for concurrent use until Release.
type Cipher struct {
	text  charset
	table [256]byte // numeral by character, 255 for none; then character by numeral: for register shuffles
	r     *radixTables
	tweak []byte
	block *aes.Block
	k     *keyMemory
}

// maxChained is the longest value whose CBC-MAC state is stored.
const maxChained = 64

// keyMemory is the part of an FF1 key in key memory, beside the cipher of the twin.
type keyMemory struct {
	rounds  aes.Schedule             // AES round keys for the kernels, as many as the key length needs
	lastKey int                      // the number of the last of them: 10, 12 or 14
	chain   [maxChained + 1][16]byte // by length: CBC-MAC state before the last blocks, with their constant bytes
}

// Code is why FF1 cannot transform a value.
type Code uint8

const (
	Character Code = 1 + iota // a character is not in the alphabet
	Length                    // fewer than two characters, or more than 256, or radix^n is below 1,000,000
)

// Error is a value that FF1 cannot transform, with its index.
type Error struct {
	Index int
	Code  Code
}

const (
	maxLen    = 256     // characters of a value
	maxHalf   = 128     // numerals of a half
	minDomain = 1000000 // least radix^n, SP 800-38G revision 1
)

// New expands a key for values in the given alphabet: 2 to 94 different printable ASCII characters
// other than space. It keeps no copy of key, which the caller wipes. The caller calls Release when
// done.
func New(key *[32]byte, alphabet string) (*Cipher, error) {
	return newCipher(key[:], alphabet, []byte(alphabet))
}

// newCipher is New for AES keys of 16, 24 and 32 bytes and any tweak, as the published vectors
// need.
func newCipher(key []byte, alphabet string, tweak []byte) (*Cipher, error) {
	if len(alphabet) < 2 || len(alphabet) > 94 {
		return nil, fmt.Errorf("ff1: alphabet of %d characters: give 2 to 94", len(alphabet))
	}
	var seen [256]bool
	for i := range len(alphabet) {
		switch c := alphabet[i]; {
		case c <= ' ' || c > '~':
			return nil, fmt.Errorf("ff1: alphabet, place %d: not a printable ASCII character", i+1)
		case seen[c]:
			return nil, fmt.Errorf("ff1: alphabet, place %d: %q stands there twice", i+1, c)
		default:
			seen[c] = true
		}
	}
	f := &Cipher{text: newCharset(alphabet), r: radixOf(len(alphabet)), tweak: tweak}
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

// expand computes the part of f that depends on the key.
func (f *Cipher) expand(key []byte) (err error) {
	if f.block, err = aes.New(key); err != nil {
		return err
	}
	if f.k, err = secmem.New[keyMemory](); err != nil {
		f.block.Release()
		return err
	}
	f.k.lastKey = len(key)/4 + 6
	aes.RoundKeys(unsafe.Slice(&f.k.rounds[0][0], 16*(f.k.lastKey+1)), key)
	for n := f.r.min; n <= maxChained; n++ {
		f.makeChain(&f.k.chain[n], n)
	}
	return nil
}

// Release wipes the key. The Cipher must not be used again.
func (f *Cipher) Release() {
	if f.k != nil {
		f.block.Release()
		secmem.Delete(f.k)
		f.k = nil
	}
}

// Takes reports whether values of n characters can be transformed.
func (f *Cipher) Takes(n int) bool { return n >= f.r.min && n <= maxLen }

// Encrypt writes the ciphertext of value i, of the value's length, to dst[at[i]:]; a nil at means
// the offsets in spans. Results must not overlap each other. dst may be base if every result has
// the offset of its value; otherwise they must not overlap. Values that cannot be transformed are
// appended to bad in ascending order, with Character rather than Length if both apply; nothing is
// written to dst for them. Empty values have empty results and are not bad. It allocates only to
// grow bad. It panics if base, dst or at is too short.
func (f *Cipher) Encrypt(dst []byte, at []uint32, base []byte, spans []uint32, bad []Error) []Error {
	return f.transform(dst, at, base, spans, bad, false)
}

// Decrypt is the inverse of Encrypt, with the same contract. Every string that Encrypt can transform
// decrypts to a value: FF1 cannot recognise a foreign one.
func (f *Cipher) Decrypt(dst []byte, at []uint32, base []byte, spans []uint32, bad []Error) []Error {
	return f.transform(dst, at, base, spans, bad, true)
}

func (f *Cipher) transform(dst []byte, at []uint32, base []byte, spans []uint32, bad []Error, dec bool) []Error {
	n := len(spans) / 2
	if at != nil && len(at) < n {
		panic(fmt.Sprintf("ff1: batch of %d values: places for %d", n, len(at)))
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
		panic(fmt.Sprintf("ff1: batch of %d values: %d bytes of %d, results in %d of %d", n, read, len(base), written, len(dst)))
	}
	return f.run(dst, at, base, spans, bad, dec)
}
