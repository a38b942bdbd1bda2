package token

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzVerify verifies arbitrary bytes. Only the two tokens that were signed may be granted.
func FuzzVerify(f *testing.F) {
	r := newRig(f)
	other := goodClaims()
	other.psn()["op"], other.psn()["norm"], other.psn()["lim"] = "reverse", []string{"trim"}, object{"max": 5}
	good := [][]byte{
		[]byte(compact(goodHeader, goodClaims().String())),
		[]byte(compact(`{"typ":"JWT","kid":"`+r.issuer.KeyID()+`","alg":"EdDSA"}`, other.String())),
	}
	for _, raw := range good {
		f.Add(raw)
		f.Add(append(raw, '\n'))
	}
	f.Add([]byte(compact(`{"alg":"none","typ":"JWT"}`, goodClaims().String())))
	f.Add([]byte(compact(goodHeader, `{"iss":"velonym","iss":"velonym"}`)))
	f.Add([]byte("..."))
	f.Fuzz(func(t *testing.T, raw []byte) {
		kept := bytes.Clone(raw)
		g, err := r.Verify(context.Background(), raw, OpsAny)
		if !bytes.Equal(raw, kept) {
			t.Fatal("the token was changed")
		}
		signed := bytes.Equal(raw, good[0]) || bytes.Equal(raw, good[1])
		if signed != (err == nil) {
			t.Fatalf("signed: %v, verdict: %v", signed, err)
		}
		if g != nil {
			g.Release()
		}
		_, _ = Decode(raw)
	})
}

// FuzzClaims signs arbitrary claims. Claims that are granted must be the same after they are
// written and read again.
func FuzzClaims(f *testing.F) {
	r := newRig(f)
	f.Add(goodClaims().String())
	o := goodClaims()
	o["aud"] = []string{"velonym", "x"}
	o.psn()["gen"], o.psn()["norm"], o.psn()["lim"], o.psn()["fmt"] = 0, []string{"trim", "nfc"}, object{"max": 5, "rate": 1}, "fpe:abcdef"
	f.Add(o.String())
	f.Add(`{"iss":"velonym","aud":"velonym","jti":"\ud83d\ude00","iat":0,"exp":1e9,"psn":{"v":1.0,"dom":{}}}`)
	f.Fuzz(func(t *testing.T, claims string) {
		n, err := parseJSON([]byte(claims))
		if err == nil && (!json.Valid([]byte(claims)) || !utf8.ValidString(claims)) {
			t.Fatal("read what is not JSON")
		}
		if err != nil && n.kind != kindNull {
			t.Fatal("an error with a value")
		}
		g, err := r.Verify(context.Background(), []byte(compact(goodHeader, claims)), OpsAny)
		if err != nil {
			return
		}
		defer g.Release()
		again, err := r.issuer.Issue(*g.Claims)
		if err != nil {
			t.Fatalf("granted, and cannot be issued: %v", err)
		}
		h, err := r.Verify(context.Background(), []byte(again), OpsAny)
		if err != nil {
			t.Fatalf("granted, and refused when issued again: %v", err)
		}
		defer h.Release()
		a, _ := json.Marshal(g.Claims)
		b, _ := json.Marshal(h.Claims)
		if !bytes.Equal(a, b) {
			t.Fatalf("claims changed:\n%s\n%s", a, b)
		}
	})
}
