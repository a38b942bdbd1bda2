package token

import (
	"crypto/ed25519"
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"filippo.io/edwards25519"
)

// verifyBoth verifies by the table of a key and by crypto/ed25519, which must agree.
func verifyBoth(t *testing.T, public ed25519.PublicKey, text, sig []byte) bool {
	t.Helper()
	var e eddsa
	k := e.table(public)
	k.uses.Store(tableAfter)
	got := e.Verify(string(text), sig, public) == nil
	if want := ed25519.Verify(public, text, sig); got != want {
		t.Fatalf("key %x, text %x, signature %x: the table says %v, crypto/ed25519 %v", public, text, sig, got, want)
	}
	return got
}

// TestEdDSATable compares the verification by a table with that of crypto/ed25519, on
// good signatures, on changed ones, and on encodings at the limits.
func TestEdDSATable(t *testing.T) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	for range 20 {
		private := ed25519.NewKeyFromSeed(random(32))
		public := private.Public().(ed25519.PublicKey)
		text := random(rng.IntN(300))
		sig := ed25519.Sign(private, text)
		if !verifyBoth(t, public, text, sig) {
			t.Fatal("a good signature is refused")
		}
		for _, at := range []int{rng.IntN(32), 31, 32 + rng.IntN(32), 63} {
			bad := slices.Clone(sig)
			bad[at] ^= 1 << rng.IntN(8)
			if verifyBoth(t, public, text, bad) {
				t.Errorf("a signature with a changed byte %d is accepted", at)
			}
		}
		if verifyBoth(t, public, append(text, 0), sig) || verifyBoth(t, public, text, sig[:63]) || verifyBoth(t, public, text, append(sig, 0)) {
			t.Error("another text, or another length, is accepted")
		}
		// S plus the group's order is the same scalar in another encoding.
		s := slices.Clone(sig[32:])
		slices.Reverse(s)
		more := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
		slices.Reverse(more)
		if verifyBoth(t, public, text, append(slices.Clone(sig[:32]), more...)) {
			t.Error("a scalar that is not reduced is accepted")
		}
		verifyBoth(t, random(32), text, sig)
	}
}

// TestEdDSASmallOrder compares the verdicts on keys and commitments of small order and on
// encodings that are not canonical.
func TestEdDSASmallOrder(t *testing.T) {
	var points [][]byte
	for _, s := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, b)
	}
	accepted := 0
	for _, public := range points {
		for _, r := range points {
			for text := range byte(8) { // k differs, and its residue modulo 8 decides
				if verifyBoth(t, public, []byte{text}, append(slices.Clone(r), make([]byte, 32)...)) {
					accepted++
				}
			}
		}
	}
	if accepted == 0 {
		t.Error("crypto/ed25519 accepts none of these: the comparison compares nothing")
	}
}

// TestMultiples compares scalars at the limits of the digits with ScalarMult.
func TestMultiples(t *testing.T) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	p := edwards25519.NewGeneratorPoint()
	p.MultByCofactor(p)
	m := newMultiples(p)
	scalars := []*big.Int{big.NewInt(0), big.NewInt(1), new(big.Int).Sub(order, big.NewInt(1))}
	for i := range 253 {
		power := new(big.Int).Lsh(big.NewInt(1), uint(i))
		scalars = append(scalars, power, new(big.Int).Sub(power, big.NewInt(1)), new(big.Int).Mod(new(big.Int).Mul(power, big.NewInt(33)), order))
	}
	for _, n := range scalars {
		if n.Cmp(order) >= 0 {
			continue
		}
		b := n.FillBytes(make([]byte, 32))
		slices.Reverse(b)
		s, err := new(edwards25519.Scalar).SetCanonicalBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		got := edwards25519.NewIdentityPoint()
		m.addTo(got, s)
		if want := new(edwards25519.Point).ScalarMult(s, p); got.Equal(want) != 1 {
			t.Fatalf("wrong multiple for scalar %v", n)
		}
	}
}

func BenchmarkEdDSA(b *testing.B) {
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := private.Public().(ed25519.PublicKey)
	text := make([]byte, 600)
	sig := ed25519.Sign(private, text)
	b.Run("crypto", func(b *testing.B) {
		for b.Loop() {
			if !ed25519.Verify(public, text, sig) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("table", func(b *testing.B) {
		var e eddsa
		for b.Loop() {
			if e.Verify(string(text), sig, public) != nil {
				b.Fatal("refused")
			}
		}
	})
}
