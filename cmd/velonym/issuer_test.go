package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/velonym/velonym/engine/token"
)

// cmdIssuer makes an issuer, https://login.example: issuer FILE TOKENFILE PROJECT TYP. It
// writes its key set to FILE and a token of type TYP for PROJECT to TOKENFILE, and serves
// FILE at $JWKS_URL, or 502 while the file is missing.
func cmdIssuer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: issuer FILE TOKENFILE PROJECT TYP")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "one", Algorithm: "EdDSA", Use: "sig"}}})
	ts.Check(err)
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file, set, 0o600))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: "one"}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(args[3])))
	ts.Check(err)
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"iss": "https://login.example", "aud": token.DefaultAudience, "jti": token.NewID(),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "psn": map[string]any{"v": 1, "op": "pseudonymise",
			"dom": map[string]string{"prj": args[2], "org": ""}, "method": "reversible", "ret": now.Add(time.Hour).Unix()}})
	ts.Check(err)
	signed, err := signer.Sign(claims)
	ts.Check(err)
	raw, err := signed.CompactSerialize()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(raw), 0o600))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b, err := os.ReadFile(file)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write(b)
	}))
	ts.Defer(s.Close)
	ts.Setenv("JWKS_URL", s.URL)
}

// cmdHangup sends SIGHUP to the one background process: hangup.
func cmdHangup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 || len(ts.BackgroundCmds()) != 1 {
		ts.Fatalf("usage: hangup, with one process in the background")
	}
	ts.Check(ts.BackgroundCmds()[0].Process.Signal(syscall.SIGHUP))
}
