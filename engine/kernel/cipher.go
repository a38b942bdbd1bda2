package kernel

import (
	"sync"

	"github.com/velonym/velonym/engine/kernel/aes"
	"github.com/velonym/velonym/engine/kernel/secmem"
)

// HCTR2 (IACR ePrint 2021/1441) of a message M ‖ N, M the first 16 bytes, N of any
// length, with h = AES(0), L = AES(1) and X the POLYVAL state after the length block
// and the tweak:
//
//	MM = M ⊕ Hash(X, N)      UU = AES(MM)      S = MM ⊕ UU ⊕ L
//	V  = N ⊕ AES(S ⊕ 1) ‖ AES(S ⊕ 2) ‖ …
//	U  = UU ⊕ Hash(X, V)     C = U ‖ V
//
// Hash absorbs whole blocks; a last partial block is followed by a 1 byte and zeros,
// and the length block says which of the two it was. Decryption swaps AES at UU for
// its inverse. With N empty, Hash(X, N) = X, so that C = X ⊕ AES(X ⊕ M): plain AES
// with X folded into the first and the last round key.

// powers is how many powers of h a schedule holds: enough for values of that many
// blocks to be hashed with one reduction.
const powers = 16

// schedule is what the kernels of a Cipher read, in key memory. Assembly knows the
// offsets: see internal/asm/layout.
type schedule struct {
	one    [15][16]byte     // 0: round keys, X folded into the first and the last
	oneInv [15][16]byte     // 240: the same for the equivalent inverse cipher (FIPS 197 §5.3.5)
	enc    [15][16]byte     // 480: round keys
	inv    [15][16]byte     // 720: round keys of the equivalent inverse cipher
	pow    [powers][16]byte // 960: h^1, h^2, … h^16 under POLYVAL's product
	l      [16]byte         // 1216: L
	even   [16]byte         // 1232: X when len(N) is a multiple of 16
	odd    [16]byte         // 1248: X when it is not
	low    [powers][16]byte // 1264: the powers of h times x^-64
	_      [16]byte
	// 1536: one and oneInv, every round key four times: a broadcast takes the place of
	// a shuffle.
	wide [2][15][4][16]byte
}

// Cipher is HCTR2-AES-256 under one key and one tweak. Its schedules live in key
// memory. It is safe for concurrent use until Release.
type Cipher struct {
	s     *schedule
	block *aes.Block
}

// NewCipher expands key for messages under tweak, which may be of any length. The
// caller wipes key. The error is that of a system without memory.
func NewCipher(key *[32]byte, tweak []byte) (c *Cipher, err error) {
	err = secmem.Scrubbed(func() error {
		c, err = newCipher(key, tweak)
		return err
	})
	return c, err
}

func newCipher(key *[32]byte, tweak []byte) (*Cipher, error) {
	s, err := secmem.New[schedule]()
	if err != nil {
		return nil, err
	}
	block, err := aes.New(key[:])
	if err != nil {
		secmem.Delete(s)
		return nil, err
	}
	aes.ExpandKey(&s.enc, &s.inv, key)
	var h [16]byte
	block.Encrypt(s.pow[0][:], h[:])
	h[0] = 1
	block.Encrypt(s.l[:], h[:])
	h1 := loadFE(s.pow[0][:])
	p := h1
	for i := 1; i < powers; i++ {
		p = p.dot(h1)
		p.store(s.pow[i][:])
	}
	for i := range s.pow {
		loadFE(s.pow[i][:]).dot(fe{hi: 1}).store(s.low[i][:])
	}
	tweakState(h1, tweak, 2).store(s.even[:])
	tweakState(h1, tweak, 3).store(s.odd[:])
	s.one, s.oneInv = s.enc, s.inv
	for i, x := range s.even {
		s.one[0][i] ^= x
		s.one[14][i] ^= x
		s.oneInv[0][i] ^= x
		s.oneInv[14][i] ^= x
	}
	for r := range s.one {
		for i := range 4 {
			s.wide[0][r][i], s.wide[1][r][i] = s.one[r], s.oneInv[r]
		}
	}
	return &Cipher{s: s, block: block}, nil
}

// tweakState is the POLYVAL state after the length block, which says how many bits
// the tweak has and (the last bit of low) whether the message is whole blocks, and
// the tweak.
func tweakState(h fe, tweak []byte, low uint64) fe {
	x := fe{lo: uint64(len(tweak))*16 + low}.dot(h)
	var b [16]byte
	for len(tweak) > 0 {
		b = [16]byte{}
		n := copy(b[:], tweak)
		x = x.xor(loadFE(b[:])).dot(h)
		tweak = tweak[n:]
	}
	return x
}

// Release wipes the key. The cipher must not be used again.
func (c *Cipher) Release() {
	secmem.Delete(c.s)
	c.block.Release()
	*c = Cipher{}
}

// hash continues the POLYVAL state x over n, a last partial block padded.
func hash(x, h fe, n []byte) fe {
	for len(n) >= 16 {
		x = x.xor(loadFE(n)).dot(h)
		n = n[16:]
	}
	if len(n) > 0 {
		var b [16]byte
		b[copy(b[:], n)] = 1
		x = x.xor(loadFE(b[:])).dot(h)
	}
	return x
}

// Encrypt enciphers src, at least 16 bytes, into dst[:len(src)]. dst and src must be
// the same place or not overlap.
func (c *Cipher) Encrypt(dst, src []byte) { c.crypt(dst, src, false) }

// Decrypt is the inverse of Encrypt.
func (c *Cipher) Decrypt(dst, src []byte) { c.crypt(dst, src, true) }

func (c *Cipher) crypt(dst, src []byte, decrypt bool) {
	if len(src) < 16 {
		panic("kernel: HCTR2 of less than a block")
	}
	t := getScratch()
	defer t.put()
	c.cryptWith(t, dst[:len(src)], src, decrypt)
}

func (c *Cipher) cryptGeneric(t *scratch, dst, src []byte, decrypt bool) {
	s := c.s
	x, h := loadFE(s.even[:]), loadFE(s.pow[0][:])
	if len(src)%16 != 0 {
		x = loadFE(s.odd[:])
	}
	mm := loadFE(src).xor(hash(x, h, src[16:]))
	mm.store(t.b[:])
	if decrypt {
		c.block.Decrypt(t.b[:], t.b[:])
	} else {
		c.block.Encrypt(t.b[:], t.b[:])
	}
	uu := loadFE(t.b[:])
	// The head is written last: src may be dst, and is no longer needed.
	tail := dst[16:]
	c.xctr(t, tail, src[16:], mm.xor(uu).xor(loadFE(s.l[:])))
	if decrypt {
		// Hash of the plain tail, which now is in dst.
		uu.xor(hash(x, h, tail)).store(dst)
		return
	}
	uu.xor(hash(x, h, tail)).store(dst)
}

// scratch is where portable code works on blocks: behind the interface of crypto/aes
// they would escape to the heap one by one.
type scratch struct {
	b, k  [16]byte
	msg   [16 * maxBlocks]byte // key stream, or blocks side by side
	value [16 * maxBlocks]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (t *scratch) put() {
	t.b, t.k = [16]byte{}, [16]byte{}
	clear(t.msg[:])
	clear(t.value[:])
	scratches.Put(t)
}

// xctr adds the key stream AES(s ⊕ 1), AES(s ⊕ 2), … to src.
func (c *Cipher) xctr(t *scratch, dst, src []byte, s fe) {
	for i := uint64(1); len(src) > 0; i++ {
		fe{s.lo ^ i, s.hi}.store(t.k[:])
		c.block.Encrypt(t.k[:], t.k[:])
		if len(src) < 16 {
			for j, v := range src {
				dst[j] = v ^ t.k[j]
			}
			return
		}
		loadFE(src).xor(loadFE(t.k[:])).store(dst)
		src, dst = src[16:], dst[16:]
	}
}
