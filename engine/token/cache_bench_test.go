package token

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// newLiveRig returns a verifier on the system's clock, a valid token of the built-in issuer,
// and one that is signed with RSA, which is longer.
func newLiveRig(t testing.TB) (r *rig, ed, rs []byte) {
	now := time.Now()
	m := newMemory(time.Now)
	p := m.projects["study"]
	p.Retention = now.AddDate(1, 0, 0)
	m.projects["study"] = p
	f := foreignKeys()
	file := writeFile(t, "jwks.json", f.jwks())
	r = newRig(t, func(c *Config) {
		c.Now, c.Keystore = time.Now, m
		c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file}}
	})
	o := foreignClaims()
	o["iat"], o["exp"] = now.Unix(), now.Add(time.Hour).Unix()
	o.psn()["ret"] = now.Add(2 * time.Hour).Unix()
	rs = []byte(f.sign("RS256", "rsa", o))
	o["iss"] = "velonym"
	return r, []byte(compact(goodHeader, o.String())), rs
}

func BenchmarkVerifyHit(b *testing.B) {
	r, ed, rs := newLiveRig(b)
	ctx := context.Background()
	for _, c := range []struct {
		name string
		raw  []byte
	}{{"EdDSA", ed}, {"RS256", rs}} {
		b.Run(fmt.Sprintf("%s/%dB", c.name, len(c.raw)), func(b *testing.B) {
			if err := r.try(string(c.raw), OpsForward); err != nil {
				b.Fatal(err)
			}
			r.settle()
			hits, misses := r.hits.Load(), r.misses.Load()
			b.ReportAllocs()
			for b.Loop() {
				g, err := r.Verify(ctx, c.raw, OpsForward)
				if err != nil {
					b.Fatal(err)
				}
				g.Release()
			}
			hits, misses = r.hits.Load()-hits, r.misses.Load()-misses
			b.ReportMetric(100*float64(hits)/float64(hits+misses), "%hits")
		})
	}
}

func BenchmarkVerifyMiss(b *testing.B) {
	r := newRig(b)
	raw := []byte(compact(goodHeader, goodClaims().String()))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		r.epoch.Add(1) // invalidates the cache
		g, err := r.Verify(ctx, raw, OpsForward)
		if err != nil {
			b.Fatal(err)
		}
		g.Release()
	}
}

// BenchmarkVerifyAgain verifies the same token repeatedly, as for one connection, with a
// LastToken and without.
func BenchmarkVerifyAgain(b *testing.B) {
	for _, remembered := range []bool{true, false} {
		b.Run(fmt.Sprintf("remembered=%v", remembered), func(b *testing.B) {
			r, ed, _ := newLiveRig(b)
			ctx := context.Background()
			last := new(LastToken)
			b.ReportAllocs()
			for b.Loop() {
				if !remembered {
					*last = LastToken{}
				}
				g, err := r.VerifyAgain(ctx, ed, OpsForward, last)
				if err != nil {
					b.Fatal(err)
				}
				g.Release()
			}
		})
	}
}
