package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/sha512"
	"sync"
	"sync/atomic"

	"filippo.io/edwards25519"
	"github.com/golang-jwt/jwt/v5"
)

// eddsa verifies EdDSA signatures (RFC 8037) by one issuer's Ed25519 keys. The first
// verifications by a key are those of crypto/ed25519. A key that is used often gets a
// table of its multiples, which halves the time of a verification; the verdicts are the
// same. Verification handles no secret. The zero value is ready for use.
type eddsa struct {
	mu     sync.RWMutex
	tables map[[ed25519.PublicKeySize]byte]*keyTable
}

const (
	tableAfter = 16 // verifications by a key without a table
	maxTables  = 8  // keys of one issuer that get a table
)

// keyTable holds the multiples of −A, for the public key A.
type keyTable struct {
	uses atomic.Int32
	fill sync.Once
	neg  *multiples // nil: A is not a point
}

// Alg implements [jwt.SigningMethod].
func (e *eddsa) Alg() string { return algEdDSA }

// Sign implements [jwt.SigningMethod].
func (e *eddsa) Sign(text string, key any) ([]byte, error) {
	return jwt.SigningMethodEdDSA.Sign(text, key)
}

// Verify implements [jwt.SigningMethod].
func (e *eddsa) Verify(text string, sig []byte, key any) error {
	public, ok := key.(ed25519.PublicKey)
	if !ok || len(public) != ed25519.PublicKeySize || fips140.Enabled() {
		return jwt.SigningMethodEdDSA.Verify(text, sig, key)
	}
	t := e.table(public)
	if t == nil || t.uses.Add(1) <= tableAfter {
		return jwt.SigningMethodEdDSA.Verify(text, sig, key)
	}
	t.fill.Do(func() {
		if p, err := new(edwards25519.Point).SetBytes(public); err == nil {
			t.neg = newMultiples(p.Negate(p))
		}
	})
	if t.neg == nil || !t.neg.verify(public, []byte(text), sig) {
		return jwt.ErrEd25519Verification
	}
	return nil
}

// table returns the table of a key, nil if too many keys have one.
func (e *eddsa) table(public ed25519.PublicKey) *keyTable {
	k := [ed25519.PublicKeySize]byte(public)
	e.mu.RLock()
	t, full := e.tables[k], len(e.tables) >= maxTables
	e.mu.RUnlock()
	if t != nil || full {
		return t
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t = e.tables[k]; t == nil && len(e.tables) < maxTables {
		if e.tables == nil {
			e.tables = map[[ed25519.PublicKeySize]byte]*keyTable{}
		}
		t = new(keyTable)
		e.tables[k] = t
	}
	return t
}

// A scalar below 2^253 is the sum of digits of digitBits bits, each from −32 to 32, times
// powers of 64.
const (
	digitBits = 6
	digits    = 43
)

// multiples holds 1 to 32 times 64^i times a point, for every digit i of a scalar.
type multiples [digits][1 << (digitBits - 1)]edwards25519.Point

func newMultiples(p *edwards25519.Point) *multiples {
	var m multiples
	first := new(edwards25519.Point).Set(p)
	for i := range m {
		row := &m[i]
		row[0].Set(first)
		for j := 1; j < len(row); j++ {
			row[j].Add(&row[j-1], first)
		}
		first.Add(&row[len(row)-1], &row[len(row)-1])
	}
	return &m
}

// baseMultiples are the multiples of the base point.
var baseMultiples = sync.OnceValue(func() *multiples { return newMultiples(edwards25519.NewGeneratorPoint()) })

// addTo adds s times the point to sum. Its time depends on s.
func (m *multiples) addTo(sum *edwards25519.Point, s *edwards25519.Scalar) {
	var room [32]byte
	b := append(room[:0], s.Bytes()...)
	carry := 0
	for i := range m {
		at := digitBits * i
		window := uint(b[at/8])
		if at/8+1 < len(b) {
			window |= uint(b[at/8+1]) << 8
		}
		d := int(window>>(at%8))&(1<<digitBits-1) + carry
		carry = 0
		if d > 1<<(digitBits-1) {
			d -= 1 << digitBits
			carry = 1
		}
		switch {
		case d > 0:
			sum.Add(sum, &m[i][d-1])
		case d < 0:
			sum.Subtract(sum, &m[i][-d-1])
		}
	}
}

// verify reports whether sig is the signature R ‖ S of text by the key A, of which m has
// the multiples of −A: whether R is the encoding of [S]B − [k]A (RFC 8032 §5.1.7, without
// the cofactor, as crypto/ed25519).
func (m *multiples) verify(public, text, sig []byte) bool {
	if len(sig) != ed25519.SignatureSize {
		return false
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	h := sha512.New()
	h.Write(sig[:32])
	h.Write(public)
	h.Write(text)
	var digest [sha512.Size]byte
	k, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(digest[:0]))
	if err != nil {
		return false
	}
	r := edwards25519.NewIdentityPoint()
	baseMultiples().addTo(r, s)
	m.addTo(r, k)
	return bytes.Equal(r.Bytes(), sig[:32])
}
