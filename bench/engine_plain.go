package bench

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"hash"
	"slices"
)

// plainAES is the straightforward program that the portable kernels are compared with.
type plainAES struct {
	block cipher.Block
	pairs [256]uint16
	m     [16]byte
	dst   []byte
}

const pairAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// pairTable returns the two characters that encode each byte.
func pairTable() (t [256]uint16) {
	for b := range t {
		t[b] = uint16(pairAlphabet[b/62]) | uint16(pairAlphabet[b%62])<<8
	}
	return t
}

// decodePairs decodes 32 characters of text into m.
func decodePairs(m *[16]byte, text []byte) (int, error) {
	for i := range m {
		hi, lo := bytes.IndexByte([]byte(pairAlphabet), text[2*i]), bytes.IndexByte([]byte(pairAlphabet), text[2*i+1])
		if hi < 0 || lo < 0 || 62*hi+lo > 255 {
			return 0, errors.New("bench: no pairs of characters")
		}
		m[i] = byte(62*hi + lo)
	}
	return len(m), nil
}

// rows appends 32 characters and a line feed to p.dst for every value.
func (p *plainAES) rows(src []byte, spans []uint32) {
	p.dst = slices.Grow(p.dst[:0], 33*len(spans)/2)
	for i := 0; i < len(spans); i += 2 {
		v := src[spans[i]:][:spans[i+1]]
		n := copy(p.m[:], v)
		for j := n; j < 16; j++ {
			p.m[j] = byte(16 - n)
		}
		p.block.Encrypt(p.m[:], p.m[:])
		for _, b := range p.m {
			t := p.pairs[b]
			p.dst = append(p.dst, byte(t), byte(t>>8))
		}
		p.dst = append(p.dst, '\n')
	}
}

// plainHMAC computes HMACs with crypto/hmac and Reset. It does not encode them as text.
type plainHMAC struct {
	h   hash.Hash
	sum [32]byte
	dst []byte
}

func (p *plainHMAC) sums(src []byte, spans []uint32) {
	p.dst = p.dst[:0]
	for i := 0; i < len(spans); i += 2 {
		p.h.Reset()
		p.h.Write(src[spans[i]:][:spans[i+1]])
		p.dst = append(p.dst, p.h.Sum(p.sum[:0])[:16]...)
	}
}
