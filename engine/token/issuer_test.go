package token

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestThumbprint compares the thumbprint of the key in RFC 8037 appendix A with that in A.3,
// and checks that an issuer copies its seed and wipes its key.
func TestThumbprint(t *testing.T) {
	d, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	i, err := NewIssuer(d, "velonym", "velonym")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := i.KeyID(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("kid %s, want %s", got, want)
	}
	if !strings.Contains(string(i.JWKS()), `"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`) {
		t.Errorf("JWKS %s", i.JWKS())
	}
	if _, err := parseJWKS(i.JWKS()); err != nil {
		t.Errorf("the JWKS of the issuer: %v", err)
	}
	for _, bad := range [][]byte{nil, d[:31], append(d, 0)} {
		if _, err := NewIssuer(bad, "a", "b"); err == nil {
			t.Errorf("a seed of %d bytes is accepted", len(bad))
		}
	}
	if i.Name() != "velonym" || i.Audience() != "velonym" {
		t.Errorf("issuer %q for audience %q, want velonym for both", i.Name(), i.Audience())
	}
	i.Close()
	for _, b := range i.key {
		if b != 0 {
			t.Fatal("the private key is not wiped after Close")
		}
	}
	if d[0] == 0 {
		t.Error("Close has wiped the caller's seed")
	}
	if _, err := NewIssuer(d, "", "b"); err == nil {
		t.Error("an issuer without a name")
	}
}

// TestIssue checks a token's header, claims and signature without this package's readers, and
// that claims that no verifier accepts are not issued.
func TestIssue(t *testing.T) {
	i, err := NewIssuer(seed, "me", "you")
	if err != nil {
		t.Fatal(err)
	}
	gen := 3
	raw, err := i.Issue(Claims{Expires: epoch0, NotBefore: epoch0.Add(-time.Hour), PSN: PSN{Op: "secondary",
		Dom: Domain{"p", "ö"}, Src: &Domain{"q", ""}, Method: "reversible", Policy: "document", Fmt: "b32", Tag: 64,
		Gen: &gen, Ret: 12345, Norm: []string{"trim"}, Err: "item", Lim: Limits{Max: 1, Req: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(raw, ".")
	if len(part) != 3 {
		t.Fatalf("the token has %d parts, want 3", len(part))
	}
	sig, err := base64.RawURLEncoding.DecodeString(part[2])
	if err != nil || !ed25519.Verify(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey), []byte(part[0]+"."+part[1]), sig) {
		t.Error("the signature does not verify")
	}
	header, _ := base64.RawURLEncoding.DecodeString(part[0])
	if got, want := string(header), `{"alg":"EdDSA","kid":"`+i.KeyID()+`","typ":"psn+jwt"}`; got != want {
		t.Errorf("header %s, want %s", got, want)
	}
	var c map[string]any
	payload, _ := base64.RawURLEncoding.DecodeString(part[1])
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	jti, _ := c["jti"].(string)
	if b, err := hex.DecodeString(jti); err != nil || len(b) != 16 {
		t.Errorf("jti %q is not 128 bits", jti)
	}
	delete(c, "jti")
	if iat, _ := c["iat"].(float64); time.Since(time.Unix(int64(iat), 0)) > time.Minute {
		t.Errorf("iat %v", c["iat"])
	}
	delete(c, "iat")
	got, _ := json.Marshal(c)
	want := `{"aud":"you","exp":1772366400,"iss":"me","nbf":1772362800,"psn":{"dom":{"org":"ö","prj":"p"},"err":"item","fmt":"b32",` +
		`"gen":3,"lim":{"max":1,"req":2},"method":"reversible","norm":["trim"],"op":"secondary","policy":"document","ret":12345,` +
		`"src":{"org":"","prj":"q"},"tag":64,"v":1}}`
	if string(got) != want {
		t.Errorf("claims\n%s, want\n%s", got, want)
	}
	for name, c := range map[string]Claims{
		"no expiry":         {PSN: PSN{Op: "pseudonymise", Dom: Domain{Prj: "p"}, Method: "irreversible"}},
		"no operation":      {Expires: epoch0, PSN: PSN{Dom: Domain{Prj: "p"}, Method: "irreversible"}},
		"no retention":      {Expires: epoch0, PSN: PSN{Op: "reverse", Dom: Domain{Prj: "p"}, Method: "reversible"}},
		"tag and one way":   {Expires: epoch0, PSN: PSN{Op: "pseudonymise", Dom: Domain{Prj: "p"}, Method: "irreversible", Tag: 64}},
		"too long a token":  {Expires: epoch0, ID: strings.Repeat("x", 256), Audience: strings.Repeat("a", 9000), PSN: PSN{Op: "pseudonymise", Dom: Domain{Prj: "p"}, Method: "irreversible"}},
		"project too long":  {Expires: epoch0, PSN: PSN{Op: "pseudonymise", Dom: Domain{Prj: strings.Repeat("p", 256)}, Method: "irreversible"}},
		"version of others": {Expires: epoch0, PSN: PSN{V: 2, Op: "pseudonymise", Dom: Domain{Prj: "p"}, Method: "irreversible"}},
	} {
		if _, err := i.Issue(c); err == nil {
			t.Errorf("%s: the token is issued, want an error", name)
		}
	}
}

// TestCreateToken checks the end and the retention of tokens for stored projects, and the
// requests that are refused.
func TestCreateToken(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	year := epoch0.AddDate(1, 0, 0)
	hour := epoch0.Add(time.Hour)
	for _, c := range []struct {
		name string
		req  Request
		exp  time.Time
		ret  int64
	}{
		{"reversible: with the retention", Request{Project: "study", Org: "lab"}, year, year.Unix()},
		{"reversible: ttl", Request{Project: "study", Org: "lab", TTL: time.Hour}, hour, year.Unix()},
		{"ttl beyond the retention", Request{Project: "brief", TTL: 100 * time.Hour}, hour, hour.Unix()},
		{"irreversible: 90 days", Request{Project: "oneway"}, epoch0.Add(90 * 24 * time.Hour), 0},
		{"reverse", Request{Project: "tagged", Op: "reverse"}, year, year.Unix()},
		{"secondary: with the sooner retention", Request{Project: "study", Org: "lab", Op: "secondary", Source: "brief"}, hour, year.Unix()},
		{"options", Request{Project: "study", Org: "lab", Form: "digits", Norm: []string{"digits"}, Err: "item", Limits: Limits{Max: 5, Rate: 6, Req: 7}, TTL: time.Minute}, epoch0.Add(time.Minute), year.Unix()},
	} {
		c.req.Now = epoch0
		raw, claims, err := r.issuer.Create(ctx, r.store, c.req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !claims.Expires.Equal(c.exp) || claims.PSN.Ret != c.ret {
			t.Errorf("%s: exp %v, ret %d; want %v, %d", c.name, claims.Expires, claims.PSN.Ret, c.exp, c.ret)
		}
		g, err := r.Verify(ctx, []byte(raw), OpsAny)
		if err != nil {
			t.Errorf("%s: does not verify: %v", c.name, err)
			continue
		}
		a, _ := json.Marshal(claims)
		b, _ := json.Marshal(g.Claims)
		if string(a) != string(b) {
			t.Errorf("%s: claims\n%s and when verified\n%s", c.name, a, b)
		}
		g.Release()
	}
	for _, c := range []struct {
		name string
		req  Request
		want string
	}{
		{"unknown project", Request{Project: "nothing"}, UnknownDomain},
		{"unknown organisation", Request{Project: "study"}, UnknownDomain},
		{"reverse of an irreversible project", Request{Project: "oneway", Op: "reverse"}, ForbiddenOperation},
		{"secondary from an irreversible project", Request{Project: "study", Org: "lab", Op: "secondary", Source: "oneway"}, ForbiddenOperation},
		{"retention over", Request{Project: "brief", Now: hour}, RetentionExpired},
		{"secondary without a source", Request{Project: "tagged", Op: "secondary"}, "token: secondary needs the project that made the pseudonyms"},
		{"source without secondary", Request{Project: "tagged", Source: "study"}, "token: a source project goes with secondary only"},
		{"unknown operation", Request{Project: "tagged", Op: "x"}, "token: psn.op is not pseudonymise, reverse or secondary"},
		{"unknown form", Request{Project: "tagged", Form: "x"}, "token: psn.fmt is none of the known forms"},
		{"form that does not go with the tag", Request{Project: "tagged", Form: "uuid"}, "token: psn asks for a method, policy, fmt and tag that do not go together"},
		{"negative ttl", Request{Project: "tagged", TTL: -1}, "token: the time to live must not be negative"},
		{"ttl of nothing", Request{Project: "tagged", TTL: time.Millisecond}, "token: the token would expire at once; give it a second or more"},
	} {
		if c.req.Now.IsZero() {
			c.req.Now = epoch0
		}
		_, _, err := r.issuer.Create(ctx, r.store, c.req)
		if got := code(err); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestLocalGrant checks that a local grant gives the results of a token's, for each operation,
// and ends with its project.
func TestLocalGrant(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	g, err := r.Local(ctx, LocalRequest{Project: "study", Org: "clinic"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	byToken, err := r.Verify(ctx, []byte(compact(goodHeader, goodClaims().String())), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer byToken.Release()
	psn := forward(g.Plan, "1979010112345")
	if want := forward(byToken.Plan, "1979010112345"); psn != want {
		t.Errorf("locally %q, with a token %q", psn, want)
	}
	if !strings.HasPrefix(g.Claims.ID, "local:") || len(g.Claims.ID) != len("local:")+32 {
		t.Errorf("jti %q", g.Claims.ID)
	}
	back, err := r.Local(ctx, LocalRequest{Project: "study", Org: "clinic", Op: "reverse"})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Release()
	if got := forward(back.Plan, psn); got != "1979010112345" {
		t.Errorf("reversed: %q", got)
	}
	second, err := r.Local(ctx, LocalRequest{Project: "tagged", Op: "secondary", Source: "study", SourceOrg: "clinic"})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	direct, err := r.Local(ctx, LocalRequest{Project: "tagged"})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Release()
	if got, want := forward(second.Plan, psn), forward(direct.Plan, "1979010112345"); got != want {
		t.Errorf("secondary gives %q, want %q as in the project itself", got, want)
	}
	for _, c := range []struct {
		name string
		req  LocalRequest
		want string
	}{
		{"unknown project", LocalRequest{Project: "x"}, UnknownDomain},
		{"unknown organisation", LocalRequest{Project: "study"}, UnknownDomain},
		{"reverse of an irreversible project", LocalRequest{Project: "oneway", Op: "reverse"}, ForbiddenOperation},
		{"unknown answer to errors", LocalRequest{Project: "tagged", Err: "x"}, "token: errors are answered strict or item"},
	} {
		if _, err := r.Local(ctx, c.req); code(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A long run ends when the project is severed.
	if err := g.Spend(ctx, 1000); err != nil {
		t.Fatal(err)
	}
	r.store.alter(func() {
		p := r.store.projects["study"]
		p.Severed = true
		r.store.projects["study"] = p
	})
	if err := r.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if got := code(g.Spend(ctx, 1000)); got != RetentionExpired {
		t.Errorf("after severing: %q, want %q", got, RetentionExpired)
	}
	if got := code(second.Spend(ctx, 1000)); got != RetentionExpired {
		t.Errorf("secondary, after its source was severed: %q", got)
	}
	if err := direct.Spend(ctx, 1000); err != nil {
		t.Errorf("another project: %v", err)
	}
}

// TestDecode checks what Decode shows of valid tokens, of tokens for other services and of
// bytes that are not a token.
func TestDecode(t *testing.T) {
	good := compact(goodHeader, goodClaims().String())
	d, err := Decode([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Header) != goodHeader || string(d.Claims) != goodClaims().String() || d.Problem != nil || d.Read == nil {
		t.Errorf("%+v", d)
	}
	if d.Read.PSN.Dom != (Domain{"study", "clinic"}) || !d.Read.Expires.Equal(epoch0.Add(time.Hour)) {
		t.Errorf("read %+v", d.Read)
	}
	// A token of another service is decoded too, with its Problem.
	d, err = Decode([]byte(compact(`{"alg":"none"}`, `{"sub":"x"}`)))
	if err != nil || d.Problem == nil || d.Read != nil || string(d.Claims) != `{"sub":"x"}` {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = Decode([]byte(compact(goodHeader, `{"iss":"a","iss":"b"}`)))
	if err != nil || d.Problem == nil {
		t.Errorf("%+v, %v", d, err)
	}
	for _, bad := range []string{"", "x", "a.b.c", ".", "a.b", good + "\n", strings.Repeat("a", MaxSize+1)} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%.20q: no error", bad)
		}
	}
}
