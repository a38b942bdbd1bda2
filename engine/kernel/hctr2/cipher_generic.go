package hctr2

import (
	"sync"
	"unsafe"
)

// hash continues the POLYVAL state x over n, whose last partial block it pads.
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

// cryptGeneric is HCTR2 of one message in portable Go. src may be dst.
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
	// The head is written last, when it is no longer needed, since src may be dst.
	tail := dst[16:]
	c.xctr(t, tail, src[16:], mm.xor(uu).xor(loadFE(s.l[:])))
	if decrypt {
		// The hash of the plain tail, which is in dst now.
		uu.xor(hash(x, h, tail)).store(dst)
		return
	}
	uu.xor(hash(x, h, tail)).store(dst)
}

// scratch holds the blocks of portable code, which would otherwise escape to the heap one by one
// through the interface of crypto/aes.
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

// runAESGeneric is runAES by crypto/aes.
func (c *Cipher) runAESGeneric(keys *[15][16]byte, blocks []byte, decrypt bool) {
	folded := keys == &c.s.folded || keys == &c.s.foldedInv
	for ; len(blocks) > 0; blocks = blocks[16:] {
		b := (*[16]byte)(unsafe.Pointer(&blocks[0]))
		switch {
		case folded && decrypt:
			c.decryptBlock(b)
		case folded:
			c.encryptBlock(b)
		case decrypt:
			c.block.Decrypt(b[:], b[:])
		default:
			c.block.Encrypt(b[:], b[:])
		}
	}
}
