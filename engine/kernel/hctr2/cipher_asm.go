//go:build !purego && (amd64 || arm64)

package hctr2

import (
	"encoding/binary"

	"github.com/velonym/velonym/internal/simd"
)

// hashKernel is hash by polyval, with a reduction for every 16 blocks.
func (c *Cipher) hashKernel(t *scratch, x fe, n []byte) fe {
	x.store(t.k[:])
	for len(n) >= 16 {
		k := min(len(n)/16, powers)
		polyval(&t.k, &c.s.pow, &n[0], k)
		n = n[16*k:]
	}
	if len(n) > 0 {
		t.b = [16]byte{}
		t.b[copy(t.b[:], n)] = 1
		polyval(&t.k, &c.s.pow, &t.b[0], 1)
	}
	return loadFE(t.k[:])
}

// cryptKernel is cryptGeneric with POLYVAL and AES of the tier in use.
func (c *Cipher) cryptKernel(t *scratch, dst, src []byte, decrypt bool) {
	s := c.s
	x := loadFE(s.even[:])
	if len(src)%16 != 0 {
		x = loadFE(s.odd[:])
	}
	mm := loadFE(src).xor(c.hashKernel(t, x, src[16:]))
	mm.store(t.b[:])
	if decrypt {
		c.runAES(&s.inv, t.b[:], true)
	} else {
		c.runAES(&s.enc, t.b[:], false)
	}
	uu := loadFE(t.b[:])
	st := mm.xor(uu).xor(loadFE(s.l[:]))
	tail, in := dst[16:], src[16:]
	for i := uint64(1); len(in) > 0; {
		// A part of the key stream.
		k := min(len(in), len(t.msg))
		ks := t.msg[:(k+15)&^15]
		for j := 0; j < len(ks); j += 16 {
			fe{st.lo ^ i, st.hi}.store(ks[j:])
			i++
		}
		c.runAES(&s.enc, ks, false)
		j := 0
		for ; j+8 <= k; j += 8 {
			binary.LittleEndian.PutUint64(tail[j:], binary.LittleEndian.Uint64(in[j:])^binary.LittleEndian.Uint64(ks[j:]))
		}
		for ; j < k; j++ {
			tail[j] = in[j] ^ ks[j]
		}
		tail, in = tail[k:], in[k:]
	}
	uu.xor(c.hashKernel(t, x, dst[16:])).store(dst)
}

// cryptWith is HCTR2 of one message with the tier in use. t may have any content.
func (c *Cipher) cryptWith(t *scratch, dst, src []byte, decrypt bool) {
	if simd.Active() == simd.Generic {
		c.cryptGeneric(t, dst, src, decrypt)
	} else {
		c.cryptKernel(t, dst, src, decrypt)
	}
}
