package hctr2

import (
	"github.com/velonym/velonym/engine/kernel/aes"
	"github.com/velonym/velonym/engine/kernel/secmem"
)

// powers is the number of powers of h in a schedule. Values of up to as many blocks are hashed
// with one reduction.
const powers = 16

// schedule holds the keys that the kernels of a Cipher read, in key memory. Generators read the
// offsets of its fields from this declaration.
type schedule struct {
	folded    [15][16]byte     // round keys, X folded into the first and the last
	foldedInv [15][16]byte     // the same for the equivalent inverse cipher (FIPS 197 §5.3.5)
	enc       [15][16]byte     // round keys
	inv       [15][16]byte     // round keys of the equivalent inverse cipher
	pow       [powers][16]byte // h^1, h^2, … h^16 under POLYVAL's product
	l         [16]byte         // L
	even      [16]byte         // X when len(N) is a multiple of 16
	odd       [16]byte         // X when it is not
	low       [powers][16]byte // the powers of h times x^-64
	_         [16]byte
	// folded and foldedInv with every round key four times, so that kernels need no shuffle.
	broadcast [2][15][4][16]byte
}

// Cipher is HCTR2-AES-256 under one key and one tweak. Its schedules live in key
// memory. It is safe for concurrent use until Release.
type Cipher struct {
	s     *schedule
	block *aes.Block
}

// New expands key for messages under tweak, which may have any length. The caller wipes key. An
// error means that the system has no memory left.
func New(key *[32]byte, tweak []byte) (c *Cipher, err error) {
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
	s.folded, s.foldedInv = s.enc, s.inv
	for i, x := range s.even {
		s.folded[0][i] ^= x
		s.folded[14][i] ^= x
		s.foldedInv[0][i] ^= x
		s.foldedInv[14][i] ^= x
	}
	for r := range s.folded {
		for i := range 4 {
			s.broadcast[0][r][i], s.broadcast[1][r][i] = s.folded[r], s.foldedInv[r]
		}
	}
	return &Cipher{s: s, block: block}, nil
}

// tweakState returns the POLYVAL state after the tweak and the length block, which holds the
// number of bits of the tweak and (the last bit of low) whether the message is whole blocks.
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

// Encrypt enciphers src, at least 16 bytes, into dst[:len(src)]. dst and src must be the same
// memory or not overlap.
func (c *Cipher) Encrypt(dst, src []byte) { c.crypt(dst, src, false) }

// Decrypt is the inverse of Encrypt.
func (c *Cipher) Decrypt(dst, src []byte) { c.crypt(dst, src, true) }

func (c *Cipher) crypt(dst, src []byte, decrypt bool) {
	if len(src) < 16 {
		panic("hctr2: HCTR2 of less than a block")
	}
	t := getScratch()
	defer t.put()
	c.cryptWith(t, dst[:len(src)], src, decrypt)
}
