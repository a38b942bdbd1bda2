package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/big"
)

type ff1Key struct {
	b     cipher.Block
	radix int
	tweak []byte
}

func newFF1(key *[32]byte, radix int, tweak []byte) (*ff1Key, error) {
	b, err := aes.NewCipher(key[:])
	return &ff1Key{b, radix, tweak}, err
}
func (f *ff1Key) Close() {}

// crypt transforms numerals in place (NIST SP 800-38G algorithms 7 and 8).
func (f *ff1Key) crypt(x []byte, decrypt bool) {
	n := len(x)
	u := n / 2
	v := n - u
	rad := big.NewInt(int64(f.radix))
	pow := func(m int) *big.Int { return new(big.Int).Exp(rad, big.NewInt(int64(m)), nil) }
	num := func(x []byte) *big.Int {
		r := new(big.Int)
		for _, d := range x {
			r.Mul(r, rad)
			r.Add(r, big.NewInt(int64(d)))
		}
		return r
	}
	b := (new(big.Int).Sub(pow(v), big.NewInt(1)).BitLen() + 7) / 8
	d := 4*((b+3)/4) + 4
	p := []byte{1, 2, 1, 0, byte(f.radix >> 8), byte(f.radix), 10, byte(u)}
	p = binary.BigEndian.AppendUint32(p, uint32(n))
	p = binary.BigEndian.AppendUint32(p, uint32(len(f.tweak)))
	A, B := num(x[:u]), num(x[u:])
	for i := 0; i < 10; i++ {
		r := i
		if decrypt {
			r = 9 - i
			A, B = B, A
		}
		q := append([]byte{}, f.tweak...)
		for (len(q)+b+1)%16 != 0 {
			q = append(q, 0)
		}
		q = append(q, byte(r))
		q = append(q, B.FillBytes(make([]byte, b))...)
		var s [16]byte
		for _, m := range [][]byte{p, q} {
			for j := 0; j < len(m); j += 16 {
				for k := range s {
					s[k] ^= m[j+k]
				}
				f.b.Encrypt(s[:], s[:])
			}
		}
		S := append([]byte{}, s[:]...)
		for j := 1; len(S) < d; j++ {
			var t [16]byte
			binary.BigEndian.PutUint64(t[8:], uint64(j))
			for k := range t {
				t[k] ^= s[k]
			}
			f.b.Encrypt(t[:], t[:])
			S = append(S, t[:]...)
		}
		y := new(big.Int).SetBytes(S[:d])
		m := u
		if r%2 == 1 {
			m = v
		}
		if decrypt {
			A = new(big.Int).Mod(A.Sub(A, y), pow(m))
		} else {
			A, B = B, new(big.Int).Mod(A.Add(A, y), pow(m))
		}
	}
	put := func(x []byte, v *big.Int) {
		for i := len(x) - 1; i >= 0; i-- {
			r := new(big.Int)
			v.DivMod(v, rad, r)
			x[i] = byte(r.Int64())
		}
	}
	put(x[:u], A)
	put(x[u:], B)
}
