package token

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestVerifyAccepts checks valid tokens: the defaults, the ends of ranges, and members that are
// ignored.
func TestVerifyAccepts(t *testing.T) {
	r := newRig(t)
	exp := epoch0.Add(time.Hour).Unix()
	for name, change := range map[string]func(o object){
		"as it is":           func(object) {},
		"nbf":                func(o object) { o["nbf"] = epoch0.Unix() },
		"several audiences":  func(o object) { o["aud"] = []string{"other", "velonym"} },
		"foreign claims":     func(o object) { o["sub"], o["azp"] = "someone", []int{1} },
		"other organisation": func(o object) { o.psn()["dom"] = object{"prj": "study", "org": "lab"} },
		"all defaults spelt": func(o object) {
			o.psn()["policy"], o.psn()["fmt"], o.psn()["tag"], o.psn()["err"] = "same", "pair62", 0, "strict"
		},
		"generation": func(o object) { o.psn()["gen"] = 0 },
		"norm":       func(o object) { o.psn()["norm"] = []string{"trim", "nfc", "upper"} },
		"limits":     func(o object) { o.psn()["lim"] = object{"max": 10, "rate": 5, "req": 2} },
		"other form": func(o object) { o.psn()["fmt"] = "b32" },
		"alphabet":   func(o object) { o.psn()["fmt"] = "fpe:abcdef0123456789" },
		"within skew": func(o object) {
			o["iat"], o["nbf"] = epoch0.Add(29*time.Second).Unix(), epoch0.Add(29*time.Second).Unix()
		},
		"fractions of seconds": func(o object) {
			o["iat"], o["nbf"] = json.Number(fmt.Sprint(epoch0.Unix())+".25"), json.Number(fmt.Sprint(epoch0.Unix()-1)+".999999")
			o["exp"], o.psn()["ret"] = json.Number(fmt.Sprint(exp)+".5"), json.Number(fmt.Sprint(exp)+".5")
		},
		"seconds with an exponent": func(o object) { o["exp"], o["iat"] = json.Number("4.0000000005E+9"), json.Number("17e8") },
		"retention exactly, and a fraction of a second": func(o object) {
			o.psn()["ret"] = json.Number(fmt.Sprint(epoch0.AddDate(1, 0, 0).Unix()) + ".75")
		},
		"just expired": func(o object) { o["exp"] = epoch0.Add(-29 * time.Second).Unix() },
		"retention beyond the project's, and an end that is not": func(o object) {
			o.psn()["ret"], o["exp"] = epoch0.AddDate(2, 0, 0).Unix(), epoch0.AddDate(1, 0, 0).Unix()
		},
		"retention exactly": func(o object) { o.psn()["ret"] = epoch0.AddDate(1, 0, 0).Unix() },
		"tag":               func(o object) { o.psn()["dom"], o.psn()["tag"] = object{"prj": "tagged", "org": ""}, 128 },
		"irreversible": func(o object) {
			o.psn()["dom"], o.psn()["method"] = object{"prj": "oneway", "org": ""}, "irreversible"
			delete(o.psn(), "ret")
		},
		"secondary": func(o object) {
			o.psn()["op"], o.psn()["src"] = "secondary", object{"prj": "tagged", "org": ""}
		},
	} {
		o := goodClaims()
		change(o)
		for _, h := range []string{goodHeader, `{"typ":"JWT","alg":"EdDSA","kid":"` + r.issuer.KeyID() + `"}`,
			`{"typ":"JWT","alg":"EdDSA","cty":"application/json","x5t":"q83vEjRWeJA","x5t#S256":"3q2-7w"}`} {
			if err := r.try(compact(h, o.String()), OpsForward); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	o := goodClaims()
	o.psn()["op"] = "reverse"
	if err := r.try(compact(goodHeader, o.String()), OpsReverse); err != nil {
		t.Errorf("reverse: %v", err)
	}
}

// TestVerifyRefusesClaims checks every refusal that depends on the claims, with valid signatures.
// Its table makes it long.
func TestVerifyRefusesClaims(t *testing.T) {
	r := newRig(t)
	set := func(name string, v any) func(object) { return func(o object) { o[name] = v } }
	drop := func(name string) func(object) { return func(o object) { delete(o, name) } }
	psn := func(name string, v any) func(object) { return func(o object) { o.psn()[name] = v } }
	psnDrop := func(name string) func(object) { return func(o object) { delete(o.psn(), name) } }
	dom := func(prj, org string) func(object) { return psn("dom", object{"prj": prj, "org": org}) }
	both := func(fs ...func(object)) func(object) {
		return func(o object) {
			for _, f := range fs {
				f(o)
			}
		}
	}
	exp := epoch0.Add(time.Hour).Unix()
	for _, c := range []struct {
		name   string
		change func(object)
		ops    Ops
		want   string
	}{
		{"expired", set("exp", epoch0.Add(-31*time.Second).Unix()), OpsForward, ExpiredToken},
		{"not yet valid", set("nbf", epoch0.Add(31*time.Second).Unix()), OpsForward, InvalidToken},
		{"issued in the future", set("iat", epoch0.Add(31*time.Second).Unix()), OpsForward, InvalidToken},
		{"wrong audience", set("aud", "elsewhere"), OpsForward, InvalidToken},
		{"wrong audiences", set("aud", []string{"a", "b"}), OpsForward, InvalidToken},
		{"no audiences", set("aud", []string{}), OpsForward, InvalidToken},
		{"audience is a number", set("aud", 1), OpsForward, InvalidToken},
		{"audience holds a number", set("aud", []any{"velonym", 1}), OpsForward, InvalidToken},
		{"wrong issuer", set("iss", "someone"), OpsForward, InvalidToken},
		{"issuer is empty", set("iss", ""), OpsForward, InvalidToken},
		{"issuer is a list", set("iss", []string{"velonym"}), OpsForward, InvalidToken},
		{"no iss", drop("iss"), OpsForward, InvalidToken},
		{"no aud", drop("aud"), OpsForward, InvalidToken},
		{"no jti", drop("jti"), OpsForward, InvalidToken},
		{"no iat", drop("iat"), OpsForward, InvalidToken},
		{"no exp", drop("exp"), OpsForward, InvalidToken},
		{"no psn", drop("psn"), OpsForward, InvalidToken},
		{"psn is a list", set("psn", []int{}), OpsForward, InvalidToken},
		{"jti is empty", set("jti", ""), OpsForward, InvalidToken},
		{"jti is a number", set("jti", 7), OpsForward, InvalidToken},
		{"jti too long", set("jti", strings.Repeat("j", 257)), OpsForward, InvalidToken},
		{"exp is a text", set("exp", fmt.Sprint(exp)), OpsForward, InvalidToken},
		{"exp is null", set("exp", nil), OpsForward, InvalidToken},
		{"exp beyond all dates by its exponent", set("exp", json.Number("4e99999999999999999999")), OpsForward, InvalidToken},
		{"exp is a fraction of a second past its skew", set("exp", json.Number(fmt.Sprint(epoch0.Unix()-30)+".9")), OpsForward, ExpiredToken},
		{"exp is next to nothing", set("exp", json.Number("4e-99999999999999999999")), OpsForward, ExpiredToken},
		{"exp is minus zero", set("exp", json.Number("-0.0")), OpsForward, InvalidToken},
		{"nbf is a fraction of a second ahead of its skew", set("nbf", json.Number(fmt.Sprint(epoch0.Unix()+30)+".1")), OpsForward, InvalidToken},
		{"nbf rounds up beyond all dates", set("nbf", json.Number("253402300799.5")), OpsForward, InvalidToken},
		{"exp beyond all dates", set("exp", json.Number("999999999999")), OpsForward, InvalidToken},
		{"exp overflows", set("exp", json.Number("99999999999999999999")), OpsForward, InvalidToken},
		{"exp is negative", set("exp", -1), OpsForward, InvalidToken},
		{"iat is a text", set("iat", "now"), OpsForward, InvalidToken},
		{"ret is less than a second", psn("ret", json.Number("0.9")), OpsForward, InvalidToken},
		{"ret is over by its fraction", psn("ret", json.Number(fmt.Sprint(epoch0.Unix())+".9")), OpsForward, RetentionExpired},
		{"nbf is a text", set("nbf", "now"), OpsForward, InvalidToken},
		{"nbf is null", set("nbf", nil), OpsForward, InvalidToken},

		{"no v", psnDrop("v"), OpsForward, InvalidToken},
		{"v 2", psn("v", 2), OpsForward, InvalidToken},
		{"v 1.0", psn("v", json.Number("1.0")), OpsForward, InvalidToken},
		{"v is a text", psn("v", "1"), OpsForward, InvalidToken},
		{"unknown member of psn", psn("x", 1), OpsForward, InvalidToken},
		{"member of psn in capitals", psn("Op", "pseudonymise"), OpsForward, InvalidToken},
		{"no op", psnDrop("op"), OpsForward, InvalidToken},
		{"unknown op", psn("op", "destroy"), OpsForward, InvalidToken},
		{"op in capitals", psn("op", "PSEUDONYMISE"), OpsForward, InvalidToken},
		{"several ops", psn("op", []string{"pseudonymise", "reverse"}), OpsForward, InvalidToken},
		{"no method", psnDrop("method"), OpsForward, InvalidToken},
		{"unknown method", psn("method", "maybe"), OpsForward, InvalidToken},
		{"unknown policy", psn("policy", "random"), OpsForward, InvalidToken},
		{"empty policy", psn("policy", ""), OpsForward, InvalidToken},
		{"null policy", psn("policy", nil), OpsForward, InvalidToken},
		{"unknown fmt", psn("fmt", "base58"), OpsForward, InvalidToken},
		{"alphabet of one", psn("fmt", "fpe:a"), OpsForward, InvalidToken},
		{"tag 32", psn("tag", 32), OpsForward, InvalidToken},
		{"tag is a text", psn("tag", "64"), OpsForward, InvalidToken},
		{"gen 12", psn("gen", 12), OpsForward, InvalidToken},
		{"gen -1", psn("gen", -1), OpsForward, InvalidToken},
		{"ret is a text", psn("ret", "2030"), OpsForward, InvalidToken},
		{"ret is 0", psn("ret", 0), OpsForward, InvalidToken},
		{"no ret", psnDrop("ret"), OpsForward, InvalidToken},
		{"unknown norm", psn("norm", []string{"trim", "rot13"}), OpsForward, InvalidToken},
		{"norm is a text", psn("norm", "trim"), OpsForward, InvalidToken},
		{"unknown err", psn("err", "ignore"), OpsForward, InvalidToken},
		{"lim is a number", psn("lim", 5), OpsForward, InvalidToken},
		{"unknown limit", psn("lim", object{"day": 5}), OpsForward, InvalidToken},
		{"limit of nothing", psn("lim", object{"max": 0}), OpsForward, InvalidToken},
		{"negative limit", psn("lim", object{"rate": -1}), OpsForward, InvalidToken},
		{"limit with a fraction", psn("lim", object{"req": 1.5}), OpsForward, InvalidToken},
		{"no dom", psnDrop("dom"), OpsForward, InvalidToken},
		{"dom is a text", psn("dom", "study"), OpsForward, InvalidToken},
		{"dom without prj", psn("dom", object{"org": "clinic"}), OpsForward, InvalidToken},
		{"dom with more", psn("dom", object{"prj": "study", "org": "clinic", "gen": 1}), OpsForward, InvalidToken},
		{"src without secondary", psn("src", object{"prj": "tagged", "org": ""}), OpsForward, InvalidToken},
		{"secondary without src", psn("op", "secondary"), OpsForward, InvalidToken},
		{"tag of an irreversible method", both(dom("oneway", ""), psn("method", "irreversible"), psn("tag", 64)), OpsForward, InvalidToken},
		{"uuid with a tag", both(dom("tagged", ""), psn("tag", 128), psn("fmt", "uuid")), OpsForward, InvalidToken},
		{"uuid with randomness", both(dom("random", ""), psn("policy", "different"), psn("fmt", "uuid")), OpsForward, InvalidToken},
		{"digits with randomness", both(dom("random", ""), psn("policy", "different"), psn("fmt", "digits")), OpsForward, InvalidToken},

		{"forward token, reverse endpoint", func(object) {}, OpsReverse, ForbiddenOperation},
		{"reverse token, forward endpoint", psn("op", "reverse"), OpsForward, ForbiddenOperation},
		{"secondary token, reverse endpoint", both(psn("op", "secondary"), psn("src", object{"prj": "tagged", "org": ""})), OpsReverse, ForbiddenOperation},

		{"unknown project", dom("nothing", ""), OpsForward, UnknownDomain},
		{"unknown organisation", dom("study", "bakery"), OpsForward, UnknownDomain},
		{"no organisation where there are some", dom("study", ""), OpsForward, UnknownDomain},
		{"generation that is not there", psn("gen", 3), OpsForward, UnknownDomain},
		{"method of another kind", both(psn("method", "irreversible"), psnDrop("ret")), OpsForward, ForbiddenOperation},
		{"reversible in an irreversible project", dom("oneway", ""), OpsForward, ForbiddenOperation},
		{"policy of another kind", psn("policy", "different"), OpsForward, ForbiddenOperation},
		{"default policy in a random project", dom("random", ""), OpsForward, ForbiddenOperation},
		{"tag the project has not", psn("tag", 64), OpsForward, ForbiddenOperation},
		{"no tag where the project has one", dom("tagged", ""), OpsForward, ForbiddenOperation},
		{"retention and end beyond the project's", func(o object) {
			o.psn()["ret"], o["exp"] = epoch0.AddDate(1, 0, 0).Unix()+1, epoch0.AddDate(1, 0, 0).Unix()+1
		}, OpsForward, ForbiddenOperation},
		{"retention over", psn("ret", epoch0.Unix()), OpsForward, RetentionExpired},
		{"reverse of an irreversible project", both(psn("op", "reverse"), dom("oneway", "")), OpsReverse, ForbiddenOperation},
		{"reverse with an irreversible method", both(psn("op", "reverse"), dom("oneway", ""), psn("method", "irreversible"), psnDrop("ret")), OpsReverse, ForbiddenOperation},
		{"secondary from an irreversible project", both(psn("op", "secondary"), psn("src", object{"prj": "oneway", "org": ""})), OpsForward, ForbiddenOperation},
		{"secondary from an unknown project", both(psn("op", "secondary"), psn("src", object{"prj": "nothing", "org": ""})), OpsForward, UnknownDomain},
		{"secondary from an unknown organisation", both(psn("op", "secondary"), psn("src", object{"prj": "tagged", "org": "x"})), OpsForward, UnknownDomain},
	} {
		o := goodClaims()
		c.change(o)
		raw := compact(goodHeader, o.String())
		for i := range 2 { // the second time the refusal may come from the cache
			err := r.try(raw, c.ops)
			if got := code(err); got != c.want {
				t.Errorf("%s, call %d: got %q, want %s", c.name, i+1, got, c.want)
			}
			if err != nil && strings.Contains(err.Error(), raw) {
				t.Errorf("%s: the token is in the error", c.name)
			}
		}
	}
}

// TestSkew checks that the tolerated skew is 30 seconds at most, and none if Skew is negative.
func TestSkew(t *testing.T) {
	for _, c := range []struct{ given, want time.Duration }{
		{0, 30 * time.Second}, {time.Hour, 30 * time.Second}, {5 * time.Second, 5 * time.Second}, {-1, 0},
	} {
		r := newRig(t, func(cfg *Config) { cfg.Skew = c.given })
		for _, step := range []struct {
			past time.Duration // of exp
			want string
		}{{c.want - time.Second, ""}, {c.want, ExpiredToken}} {
			o := goodClaims()
			o["exp"] = epoch0.Add(-step.past).Unix()
			if got := code(r.try(compact(goodHeader, o.String()), OpsForward)); got != step.want {
				t.Errorf("skew %v: %v after exp: got %q, want %q", c.given, step.past, got, step.want)
			}
		}
	}
}

// TestVerifyRefusesText checks claims that a Go map cannot express: duplicate members and
// unusual JSON.
func TestVerifyRefusesText(t *testing.T) {
	r := newRig(t)
	good := goodClaims().String()
	if err := r.try(compact(goodHeader, " "+good+"\n"), OpsForward); err != nil {
		t.Fatalf("white space around the claims: %v", err)
	}
	for name, claims := range map[string]string{
		"duplicate claim":             strings.Replace(good, `"iss":`, `"iss":"velonym","iss":`, 1),
		"duplicate foreign claim":     strings.Replace(good, `"iss":`, `"x":1,"x":1,"iss":`, 1),
		"duplicate in psn":            strings.Replace(good, `"v":1`, `"v":1,"v":1`, 1),
		"duplicate in dom":            strings.Replace(good, `"prj":"study"`, `"prj":"study","prj":"study"`, 1),
		"duplicate deep in a list":    strings.Replace(good, `"iss":`, `"x":[[{"a":{"b":1,"b":1}}]],"iss":`, 1),
		"duplicate by an escape":      strings.Replace(good, `"iss":`, `"\u0069ss":"velonym","iss":`, 1),
		"many members, one twice":     strings.Replace(good, `"iss":`, manyMembers(40)+`"m7":0,"iss":`, 1),
		"trailing data":               good + "{}",
		"trailing comma":              strings.Replace(good, `"v":1`, `"v":1,`, 1) + "",
		"two documents":               good + good,
		"truncated":                   good[:len(good)-1],
		"comment":                     "/**/" + good,
		"byte order mark":             "\ufeff" + good,
		"single quotes":               strings.ReplaceAll(good, `"`, `'`),
		"leading zero":                strings.Replace(good, `"v":1`, `"v":01`, 1),
		"plus sign":                   strings.Replace(good, `"v":1`, `"v":+1`, 1),
		"minus zero":                  strings.Replace(good, `"v":1`, `"v":1,"tag":-0`, 1),
		"NaN":                         strings.Replace(good, `"v":1`, `"v":NaN`, 1),
		"control character in text":   strings.Replace(good, `"study"`, "\"stu\ndy\"", 1),
		"broken UTF-8 in text":        strings.Replace(good, `"iss":`, "\"x\":\"\xff\",\"iss\":", 1),
		"lone surrogate":              strings.Replace(good, `"iss":`, `"x":"\ud800","iss":`, 1),
		"surrogates the wrong way":    strings.Replace(good, `"iss":`, `"x":"\udc00\ud800","iss":`, 1),
		"unknown escape":              strings.Replace(good, `"iss":`, `"x":"\x41","iss":`, 1),
		"nested too deep":             strings.Replace(good, `"iss":`, `"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`,"iss":`, 1),
		"a list":                      "[" + good + "]",
		"a text":                      `"x"`,
		"nothing":                     "",
		"null":                        "null",
		"name without quotes":         `{iss:"velonym"}`,
		"missing colon":               `{"iss" "velonym"}`,
		"claim in other capitals":     strings.Replace(good, `"jti"`, `"JTI"`, 1),
		"unknown member by an escape": strings.Replace(good, `"v":1`, `"v":1,"\u006Fq":"x"`, 1),
	} {
		if got := code(r.try(compact(goodHeader, claims), OpsForward)); got != InvalidToken {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if err := r.try(compact(goodHeader, strings.Replace(good, `"iss":`, manyMembers(40)+`"iss":`, 1)), OpsForward); err != nil {
		t.Errorf("many members, none twice: %v", err)
	}
	if err := r.try(compact(goodHeader, strings.Replace(good, `"study"`, `"\u0073tud\u0079"`, 1)), OpsForward); err != nil {
		t.Errorf("escapes in a text: %v", err)
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":%d,`, i, i)
	}
	return b.String()
}

// TestVerifyRefusesHeader checks headers with wrong or additional members.
func TestVerifyRefusesHeader(t *testing.T) {
	r := newRig(t)
	claims := goodClaims().String()
	jwk := `{"kty":"OKP","crv":"Ed25519","x":"` + b64(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)) + `"}`
	for name, header := range map[string]string{
		"alg none":            `{"alg":"none","typ":"JWT"}`,
		"alg None":            `{"alg":"None","typ":"JWT"}`,
		"no alg":              `{"typ":"JWT"}`,
		"alg is null":         `{"alg":null,"typ":"JWT"}`,
		"alg is a list":       `{"alg":["EdDSA"],"typ":"JWT"}`,
		"alg ES384":           `{"alg":"ES384","typ":"JWT"}`,
		"alg RS512":           `{"alg":"RS512","typ":"JWT"}`,
		"alg HS256":           `{"alg":"HS256","typ":"JWT"}`,
		"alg eddsa":           `{"alg":"eddsa","typ":"JWT"}`,
		"alg of another key":  `{"alg":"ES256","typ":"JWT"}`,
		"no typ":              `{"alg":"EdDSA"}`,
		"unknown typ":         `{"alg":"EdDSA","typ":"at+jwt"}`,
		"unknown kid":         `{"alg":"EdDSA","typ":"JWT","kid":"another"}`,
		"empty kid":           `{"alg":"EdDSA","typ":"JWT","kid":""}`,
		"kid is a number":     `{"alg":"EdDSA","typ":"JWT","kid":1}`,
		"jku":                 `{"alg":"EdDSA","typ":"JWT","jku":"https://keys.example/jwks"}`,
		"x5u":                 `{"alg":"EdDSA","typ":"JWT","x5u":"https://keys.example/cert"}`,
		"x5c":                 `{"alg":"EdDSA","typ":"JWT","x5c":["AAAA"]}`,
		"embedded jwk":        `{"alg":"EdDSA","typ":"JWT","jwk":` + jwk + `}`,
		"unknown crit":        `{"alg":"EdDSA","typ":"JWT","crit":["exp2"],"exp2":1}`,
		"known crit":          `{"alg":"EdDSA","typ":"JWT","crit":["b64"],"b64":true}`,
		"empty crit":          `{"alg":"EdDSA","typ":"JWT","crit":[]}`,
		"b64":                 `{"alg":"EdDSA","typ":"JWT","b64":false}`,
		"zip":                 `{"alg":"EdDSA","typ":"JWT","zip":"DEF"}`,
		"cty is a list":       `{"alg":"EdDSA","typ":"JWT","cty":["JWT"]}`,
		"x5t is an object":    `{"alg":"EdDSA","typ":"JWT","x5t":{}}`,
		"x5t twice":           `{"alg":"EdDSA","typ":"JWT","x5t":"a","x5t":"a"}`,
		"x5t#s256 in small":   `{"alg":"EdDSA","typ":"JWT","x5t#s256":"a"}`,
		"x5t critical":        `{"alg":"EdDSA","typ":"JWT","x5t":"a","crit":["x5t"]}`,
		"empty typ":           `{"alg":"EdDSA","typ":""}`,
		"duplicate alg":       `{"alg":"none","alg":"EdDSA","typ":"JWT"}`,
		"duplicate kid":       `{"alg":"EdDSA","typ":"JWT","kid":"a","kid":"` + r.issuer.KeyID() + `"}`,
		"Alg in capitals":     `{"Alg":"EdDSA","typ":"JWT"}`,
		"trailing data":       goodHeader + "{}",
		"a list":              "[]",
		"nothing":             "",
		"not JSON":            "alg",
		"duplicate by escape": `{"alg":"EdDSA","\u0061lg":"EdDSA","typ":"JWT"}`,
	} {
		if got := code(r.try(compact(header, claims), OpsForward)); got != InvalidToken {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// TestVerifyRefusesShape checks bytes that are not three segments of strict base64url.
func TestVerifyRefusesShape(t *testing.T) {
	r := newRig(t)
	good := compact(goodHeader, goodClaims().String())
	part := strings.Split(good, ".")
	// A segment of 2 or 3 characters more than a multiple of 4 has spare bits, which must be
	// zero.
	loose := ""
	for pad := 0; loose == ""; pad++ {
		claims := goodClaims().String() + strings.Repeat(" ", pad)
		if enc := b64([]byte(claims)); len(enc)%4 == 2 {
			last := enc[len(enc)-1]
			input := b64([]byte(goodHeader)) + "." + enc[:len(enc)-1] + string(rune(last+1))
			loose = input + "." + b64(ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(input)))
		}
	}
	// The signature of 64 bytes has 86 characters and so 4 spare bits.
	tail := good[len(good)-1]
	for name, raw := range map[string]string{
		"unsigned":                      part[0] + "." + part[1] + ".",
		"alg none, unsigned":            b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + part[1] + ".",
		"two parts":                     part[0] + "." + part[1],
		"four parts":                    good + "." + part[2],
		"five parts":                    good + ".." + part[2],
		"one part":                      part[0],
		"point alone":                   ".",
		"two points":                    "..",
		"empty header":                  "." + part[1] + "." + part[2],
		"empty claims":                  part[0] + ".." + part[2],
		"padding":                       part[0] + "." + part[1] + "." + part[2] + "==",
		"line end in the header":        part[0][:4] + "\n" + part[0][4:] + "." + part[1] + "." + part[2],
		"line end in the claims":        part[0] + "." + part[1][:4] + "\r\n" + part[1][4:] + "." + part[2],
		"line end in the signature":     part[0] + "." + part[1] + "." + part[2][:4] + "\n" + part[2][4:],
		"line end behind":               good + "\n",
		"space before":                  " " + good,
		"spare bits in the claims":      loose,
		"spare bits behind":             good[:len(good)-1] + string(rune(tail+1)),
		"standard base64":               strings.Replace(good, "_", "/", 1) + "+",
		"another signature":             part[0] + "." + part[1] + "." + b64(make([]byte, 64)),
		"short signature":               part[0] + "." + part[1] + "." + part[2][:40],
		"claims of another token":       part[0] + "." + b64([]byte(strings.Replace(goodClaims().String(), "clinic", "lab", 1))) + "." + part[2],
		"oversize":                      good + strings.Repeat("A", MaxSize),
		"oversize and signed":           compact(goodHeader, goodClaims().String()+strings.Repeat(" ", MaxSize)),
		"NUL":                           "\x00",
		"JSON serialisation (RFC 7515)": `{"payload":"` + part[1] + `","signature":"` + part[2] + `"}`,
	} {
		if got := code(r.try(raw, OpsForward)); got != InvalidToken {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if got := code(r.try("", OpsForward)); got != MissingToken {
		t.Errorf("no token: got %q", got)
	}
	if err := r.try(good, OpsForward); err != nil {
		t.Errorf("the unchanged token: %v, want a grant", err)
	}
}

func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestErrorsAreBearerErrors checks the RFC 6750 error of each code.
func TestErrorsAreBearerErrors(t *testing.T) {
	for code, want := range map[string]string{
		MissingToken: "", InvalidToken: "invalid_token", ExpiredToken: "invalid_token", RevokedToken: "invalid_token",
		ForbiddenOperation: "insufficient_scope", UnknownDomain: "insufficient_scope", QuotaExceeded: "",
	} {
		if got := (&Error{Code: code}).Bearer(); got != want {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}

// TestVerifierConfig checks that contradictory configurations and a broken keystore are refused.
func TestVerifierConfig(t *testing.T) {
	issuer, err := NewIssuer(seed, "velonym", "velonym")
	if err != nil {
		t.Fatal(err)
	}
	store := newMemory(time.Now)
	file := writeFile(t, "jwks.json", foreignKeys().jwks())
	for name, c := range map[string]Config{
		"no keystore":       {Issuer: issuer},
		"no issuer":         {Keystore: store, Audience: "a"},
		"no audience":       {Keystore: store, Trusted: []TrustedIssuer{{Name: "x", JWKSFile: file}}},
		"no keys":           {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x"}}},
		"two sources":       {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", JWKSFile: file, JWKSURL: "https://x.example"}}},
		"short secret":      {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", Secret: make([]byte, 31)}}},
		"HS256 of a JWKS":   {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", JWKSFile: file, Algorithms: []string{"HS256"}}}},
		"alg none":          {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", JWKSFile: file, Algorithms: []string{"none"}}}},
		"missing file":      {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", JWKSFile: file + ".gone"}}},
		"plain http":        {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", JWKSURL: "http://issuer.example/jwks"}}},
		"name given twice":  {Keystore: store, Issuer: issuer, Trusted: []TrustedIssuer{{Name: "velonym", JWKSFile: file}}},
		"file without keys": {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", JWKSFile: writeFile(t, "k", `{"keys":[]}`)}}},
		"file of a secret":  {Keystore: store, Audience: "a", Trusted: []TrustedIssuer{{Name: "x", JWKSFile: writeFile(t, "k", `{"keys":[{"kty":"oct","k":"`+b64(make([]byte, 64))+`"}]}`)}}},
		"broken keystore":   {Keystore: func() *memory { m := newMemory(time.Now); m.broken = errBroken; return m }(), Issuer: issuer},
	} {
		v, err := NewVerifier(c)
		if err == nil {
			v.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewVerifier(Config{Keystore: func() *memory { m := newMemory(time.Now); m.broken = errBroken; return m }(), Issuer: issuer}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("broken keystore: %v", err)
	}
}
