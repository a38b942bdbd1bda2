package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/token"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// velonym runs one command line and returns its exit status and output.
func velonym(stdin string, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// TestInspectTrusts inspects tokens of another issuer with the flags of `velonym serve`.
func TestInspectTrusts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("VELONYM_DIR", filepath.Join(dir, "keys"))
	for _, args := range [][]string{{"init"}, {"project", "create", "alpha", "--retention", "1y"}} {
		if status, _, stderr := velonym("", args...); status != 0 {
			t.Fatal(stderr)
		}
	}
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": "https://login.example", "aud": "register", "jti": "j\u202e1", "iat": float64(now.Unix()) + 0.25, "exp": now.Add(time.Hour).Unix(),
		"azp": "\x1b[2J", "psn": map[string]any{"v": 1, "op": "reverse", "dom": map[string]any{"prj": "alpha", "org": ""}, "method": "reversible",
			"ret": now.Add(2 * time.Hour).Unix(), "lim": map[string]any{"req": 5}},
	}
	sign := func(m jwt.SigningMethod, key any) string {
		token := jwt.NewWithClaims(m, claims)
		token.Header["x5t"] = "AAAA" // as ADFS does
		s, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	key := ed25519.NewKeyFromSeed([]byte("thirty-two bytes for this test 1"))
	set := file("keys.json", fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":%q}]}`,
		base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))))
	secret := []byte("a secret of thirty-two bytes, and more")
	secretFile := file("secret", append(secret, '\n'))
	signed, shared := file("signed", []byte(sign(jwt.SigningMethodEdDSA, key))), file("shared", []byte(sign(jwt.SigningMethodHS256, secret)))

	for _, c := range []struct {
		name string
		args []string
		want string // "": verifies
	}{
		{"no flags", []string{signed}, "the issuer is not trusted"},
		{"keys", []string{"--jwks", "https://login.example=" + set, "--audience", "register", signed}, ""},
		{"keys of another issuer", []string{"--jwks", "https://other.example=" + set, "--audience", "register", signed}, "the issuer is not trusted"},
		{"default audience", []string{"--jwks", "https://login.example=" + set, signed}, "another audience"},
		{"secret", []string{"--hs256", "https://login.example=" + secretFile, "--audience", "register", shared}, ""},
		{"keys for a token with a secret", []string{"--jwks", "https://login.example=" + set, "--audience", "register", shared}, "the alg is not one"},
	} {
		status, stdout, stderr := velonym("", append([]string{"token", "inspect", "--json"}, c.args...)...)
		var doc struct {
			Header, Claims map[string]any
			Verifies       *bool
			Code, Detail   string
			Faults         []token.Fault
		}
		dec := json.NewDecoder(strings.NewReader(stdout))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&doc); err != nil || dec.More() {
			t.Fatalf("%s: standard output is not one JSON document: %v\n%s", c.name, err, stdout)
		}
		if doc.Claims["aud"] != "register" || doc.Header["typ"] != "JWT" || doc.Verifies == nil {
			t.Fatalf("%s: %s", c.name, stdout)
		}
		good := c.want == ""
		if *doc.Verifies != good || (status == 0) != good || !strings.Contains(doc.Detail, c.want) || !strings.Contains(stderr, c.want) || good != (doc.Code == "") || good != (len(doc.Faults) == 0) {
			t.Errorf("%s: status %d, %s%s", c.name, status, stdout, stderr)
		}
		status, stdout, _ = velonym("", append([]string{"token", "inspect"}, c.args...)...)
		if json.Valid([]byte(stdout)) || strings.Contains(stdout, "verifies here: yes") != good || (status == 0) != good ||
			!strings.Contains(stdout, "allows: reverse for alpha") || !strings.Contains(stdout, "limit: 5 values a request") {
			t.Errorf("%s: as text, status %d:\n%s", c.name, status, stdout)
		}
		for _, r := range stdout {
			if r == '\x1b' || r == '\u202e' {
				t.Errorf("%s: a claim is printed with control characters: %q", c.name, stdout)
			}
		}
	}
	if status, _, stderr := velonym("", "token", "inspect", "--jwks", set, signed); status != 2 || !strings.Contains(stderr, "--jwks") {
		t.Errorf("--jwks without an issuer: status %d: %s", status, stderr)
	}
	for _, args := range [][]string{
		{"--jwks", "velonym=" + set}, {"--jwks", "a=" + set, "--jwks", "a=" + set}, {"--hs256", "a=" + secretFile, "--hs256", "a=" + secretFile},
		{"--jwks", "=" + set}, {"--hs256", "a="}, {"--audience", ""},
	} {
		if status, _, stderr := velonym("", append([]string{"token", "inspect", signed}, args...)...); status != 2 || !strings.Contains(stderr, args[0]) {
			t.Errorf("%q: status %d: %s", args, status, stderr)
		}
	}
	// Without a keystore the token is shown, and not verified.
	t.Setenv("VELONYM_DIR", filepath.Join(dir, "none"))
	status, stdout, stderr := velonym("", "token", "inspect", "--json", signed)
	if status != 1 || !strings.Contains(stdout, `"verifies": null`) || !strings.Contains(stdout, `"register"`) || !strings.Contains(stderr, "velonym init") {
		t.Errorf("no keystore: status %d: %s%s", status, stdout, stderr)
	}
}

// TestInspectAnything inspects tokens with arbitrary contents. The JSON output must be
// valid, and the text must have no control characters.
func TestInspectAnything(t *testing.T) {
	t.Setenv("VELONYM_DIR", t.TempDir())
	const header = `{"alg":"EdDSA","typ":"JWT"}`
	for _, c := range []struct{ header, claims string }{
		{header, `[1,2]`}, {header, `"\u001b[2J"`}, {header, `{"a":1,"a":2}`}, {header, `{"a":{"b":{"c":{"d":{"e":{}}}}}}`},
		{header, "{\n \"psn\": {\n  \"v\": 1\n }\n}"}, {header, `{"\u001b[31m":1,"\u202e":"\u202e"}`}, {header, "{\"\u202e\":\"\u202e\u200b\"}"},
		{header, `{"exp":1e400,"iat":-5,"nbf":"x"}`}, {header, "{\"a\":\"\xff\"}"}, {`[]`, `{}`}, {`null`, `null`}, {`{}`, `{}`}, {`{"alg":"none"}`, `{}`},
	} {
		token := base64.RawURLEncoding.EncodeToString([]byte(c.header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(c.claims)) + ".AAAA"
		status, text, _ := velonym(token, "token", "inspect", "-")
		if status != 1 || !strings.Contains(text, "verifies here: no: INVALID_TOKEN") {
			t.Errorf("%q: status %d:\n%s", c.claims, status, text)
		}
		for _, r := range text {
			if r != '\n' && !strconv.IsPrint(r) {
				t.Errorf("%q: the output has control characters: %q", c.claims, text)
				break
			}
		}
		status, text, _ = velonym(token, "token", "inspect", "--json", "-")
		if status != 1 || !json.Valid([]byte(text)) || !utf8.ValidString(text) || !strings.Contains(text, `"verifies": false`) {
			t.Errorf("%q, JSON: status %d:\n%s", c.claims, status, text)
		}
	}
	for _, none := range []string{"", "\n", "a.b", "...", "e30.e30.", "e30.eyJ.AAAA", strings.Repeat("A", 9000)} {
		if status, text, stderr := velonym(none, "token", "inspect", "-"); status != 1 || text != "" || stderr == "" {
			t.Errorf("%.20q: status %d: %s%s", none, status, text, stderr)
		}
	}
}
