package token

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// schema is the part of JSON Schema that claims.schema.json uses. Any other keyword fails the
// test, so that none is ignored.
type schema struct {
	Schema, Title, Description string
	Default                    any

	Never                bool // the schema false
	Ref                  string
	Type                 string
	Const                any
	Enum                 []any
	MinLength, MaxLength *int
	Pattern              string
	Minimum, Maximum     *float64
	ExclusiveMaximum     *float64
	MinItems, MaxItems   *int
	Items                *schema
	Required             []string
	Properties           map[string]*schema
	AdditionalProperties *schema
	AnyOf, AllOf         []*schema
	If, Then, Else       *schema
	Defs                 map[string]*schema
}

func (s *schema) UnmarshalJSON(b []byte) error {
	if string(b) == "false" {
		s.Never = true
		return nil
	}
	type plain schema
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	renamed := map[string]json.RawMessage{}
	for k, v := range m {
		renamed[strings.TrimPrefix(k, "$")] = v
	}
	b, err := json.Marshal(renamed)
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(s))
}

// accepts reports whether v, as encoding/json decodes it, satisfies s.
func (s *schema) accepts(root *schema, v any) bool {
	if s == nil {
		return true
	}
	if s.Never {
		return false
	}
	if s.Ref != "" && !root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].accepts(root, v) {
		return false
	}
	number, isNumber := v.(float64)
	text, isText := v.(string)
	list, isList := v.([]any)
	members, isObject := v.(map[string]any)
	switch s.Type {
	case "":
	case "number":
		if !isNumber {
			return false
		}
	case "integer":
		if !isNumber || number != math.Trunc(number) {
			return false
		}
	case "string":
		if !isText {
			return false
		}
	case "array":
		if !isList {
			return false
		}
	case "object":
		if !isObject {
			return false
		}
	default:
		panic("a type that the test does not know: " + s.Type)
	}
	ok := (s.Const == nil || s.Const == v) && (s.Enum == nil || !isList && !isObject && slices.Contains(s.Enum, v))
	if isText {
		ok = ok && (s.MinLength == nil || len(text) >= *s.MinLength) && (s.MaxLength == nil || len(text) <= *s.MaxLength) &&
			(s.Pattern == "" || pattern(s.Pattern).MatchString(text))
	}
	if isNumber {
		ok = ok && (s.Minimum == nil || number >= *s.Minimum) && (s.Maximum == nil || number <= *s.Maximum) &&
			(s.ExclusiveMaximum == nil || number < *s.ExclusiveMaximum)
	}
	if isList {
		ok = ok && (s.MinItems == nil || len(list) >= *s.MinItems) && (s.MaxItems == nil || len(list) <= *s.MaxItems)
		for _, item := range list {
			ok = ok && s.Items.accepts(root, item)
		}
	}
	if isObject {
		for _, name := range s.Required {
			_, there := members[name]
			ok = ok && there
		}
		for name, member := range members {
			if p, there := s.Properties[name]; there {
				ok = ok && p.accepts(root, member)
			} else {
				ok = ok && s.AdditionalProperties.accepts(root, member)
			}
		}
	}
	ok = ok && (len(s.AnyOf) == 0 || slices.ContainsFunc(s.AnyOf, func(o *schema) bool { return o.accepts(root, v) }))
	for _, o := range s.AllOf {
		ok = ok && o.accepts(root, v)
	}
	if s.If != nil {
		if s.If.accepts(root, v) {
			ok = ok && s.Then.accepts(root, v)
		} else {
			ok = ok && s.Else.accepts(root, v)
		}
	}
	return ok
}

var patterns = map[string]*regexp.Regexp{}

func pattern(s string) *regexp.Regexp {
	if patterns[s] == nil {
		patterns[s] = regexp.MustCompile(s)
	}
	return patterns[s]
}

// clone returns a deep copy, made through JSON.
func clone(o object) object {
	var out map[string]any
	d := json.NewDecoder(strings.NewReader(o.String()))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		panic(err)
	}
	out["psn"] = object(out["psn"].(map[string]any))
	return out
}

// TestClaimsSchema checks that the reader of claims accepts exactly what the schema accepts:
// for every combination of method, policy, form and tag, and with every claim left out or
// replaced by values of all kinds, alone and two at a time. The tables of values make it long.
func TestClaimsSchema(t *testing.T) {
	simdtest.Alone(t)
	var root schema
	if err := json.Unmarshal(ClaimsSchema(), &root); err != nil {
		t.Fatal(err)
	}
	cases, accepted := 0, 0
	check := func(o object) {
		t.Helper()
		cases++
		text := o.String()
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		n, err := parseJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var f faults
		readClaims(&n, &f)
		readPSN(&n, &f)
		want := root.accepts(&root, v)
		if want {
			accepted++
		}
		if (len(f) == 0) != want {
			t.Errorf("the schema says %v, the reader %v: %s", want, f, text)
		}
	}
	base := goodClaims()
	check(base)
	forms := []any{nil, "pair62", "hex", "b64u", "b32", "uuid", "digits", "fpe:01", "fpe:0", "Hex"}
	for _, op := range []string{"pseudonymise", "reverse", "secondary", "other"} {
		for _, method := range []string{"reversible", "irreversible", "x"} {
			for _, policy := range []any{nil, "same", "different", "document", "x"} {
				for _, form := range forms {
					for _, tag := range []any{nil, 0, 64, 128, 32} {
						for more := range 4 {
							o := clone(base)
							p := o.psn()
							p["op"], p["method"] = op, method
							for name, v := range map[string]any{"policy": policy, "fmt": form, "tag": tag} {
								if v != nil {
									p[name] = v
								}
							}
							if more&1 == 1 {
								p["src"] = object{"prj": "tagged"}
							}
							if more&2 == 2 {
								delete(p, "ret")
							}
							check(o)
						}
					}
				}
			}
		}
	}
	values := []any{nil, true, false, "", "x", "velonym", "same", "trim", strings.Repeat("a", 255), strings.Repeat("a", 257), strings.Repeat("a", 1025),
		0, 1, -1, 11, 12, 64, 1.5, 1 << 53, float64(1<<53) * 2, 253402300799, 253402300800, 1e300, []any{}, []any{"velonym"}, []any{"trim", "nfc"}, []any{""}, []any{"trim", 1},
		slices.Repeat([]any{"trim"}, 17), object{}, object{"prj": "p"}, object{"prj": "p", "org": ""}, object{"prj": ""}, object{"prj": "p", "x": 1}, object{"org": "o"},
		object{"max": 1}, object{"max": 0}, object{"rate": 1.5}, object{"req": "1"}, object{"day": 1}, object{"max": 1, "rate": 1 << 53, "req": 3}, object{"max": float64(1<<53) + 2}}
	claims := []string{"iss", "aud", "jti", "iat", "exp", "nbf", "sub", "psn"}
	members := []string{"v", "op", "dom", "src", "method", "policy", "fmt", "tag", "gen", "ret", "norm", "err", "lim", "Op"}
	set := func(o object, at int, v any, drop bool) object {
		into, name := o, ""
		if at < len(claims) {
			name = claims[at]
		} else {
			name = members[at-len(claims)]
			psn, ok := o["psn"].(object)
			if !ok {
				return o
			}
			into = psn
		}
		if drop {
			delete(into, name)
		} else {
			into[name] = v
		}
		return o
	}
	all := len(claims) + len(members)
	for at := range all {
		check(set(clone(base), at, nil, true))
		for i, v := range values {
			one := set(clone(base), at, v, false)
			check(one)
			if o, ok := one["psn"].(object); !ok || o == nil {
				continue
			}
			for other := range all {
				if other != at {
					check(set(maps.Clone(object{"psn": maps.Clone(one.psn())}).with(one), other, values[(i*7+other*3)%len(values)], false))
				}
			}
		}
	}
	if cases < 30_000 || accepted < 800 {
		t.Errorf("%d cases, %d of them accepted", cases, accepted)
	}
}

// with returns o with the members of other that it lacks.
func (o object) with(other object) object {
	for k, v := range other {
		if _, there := o[k]; !there {
			o[k] = v
		}
	}
	return o
}

// TestExamine checks that all faults of a token are found at once, each with a remedy, and that
// a token that Verify accepts has none. The tables of faults make it long.
func TestExamine(t *testing.T) {
	r := newRig(t)
	examine := func(raw string) map[string]Fault {
		t.Helper()
		list, err := r.Examine(t.Context(), []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]Fault{}
		for _, f := range list {
			if f.Code == "" || f.Detail == "" || f.Remedy == "" {
				t.Errorf("a fault without code, detail or remedy: %+v", f)
			}
			out[f.Claim] = f
		}
		refused := r.try(raw, OpsAny)
		if (refused == nil) != (len(list) == 0) {
			t.Errorf("the verifier says %v, the examination %v", refused, list)
		}
		return out
	}
	if f := examine(compact(goodHeader, goodClaims().String())); len(f) > 0 {
		t.Errorf("a valid token has the faults %v, want none", f)
	}
	o := goodClaims()
	delete(o, "jti")
	o["aud"], o["exp"], o["iat"] = "elsewhere", epoch0.Unix()-3600, epoch0.Unix()+3600
	p := o.psn()
	p["method"], p["policy"], p["tag"], p["norm"], p["err"], p["x"] = "irreversible", "different", 32, []string{"rot13"}, "ignore", 1
	p["dom"] = object{"prj": "study", "org": "clinic"}
	raw := compact(`{"alg":"EdDSA","kid":"none","jku":"https://x.example"}`, o.String())
	got := examine(raw)
	for claim, code := range map[string]string{"header.typ": InvalidToken, "header.jku": InvalidToken, "jti": InvalidToken, "aud": InvalidToken, "exp": ExpiredToken,
		"iat": InvalidToken, "psn.tag": InvalidToken, "psn.norm": InvalidToken, "psn.err": InvalidToken, "psn": InvalidToken, "psn.method": ForbiddenOperation, "psn.policy": ForbiddenOperation} {
		if got[claim].Code != code {
			t.Errorf("%s: %+v, want %s", claim, got[claim], code)
		}
	}
	if len(got) != 12 {
		t.Errorf("%d faults: %v", len(got), slices.Sorted(maps.Keys(got)))
	}

	for name, c := range map[string]struct {
		change      func(o object)
		claim, code string
	}{
		"unknown project":      {func(o object) { o.psn()["dom"] = object{"prj": "nothing"} }, "psn.dom", UnknownDomain},
		"unknown organisation": {func(o object) { o.psn()["dom"] = object{"prj": "study", "org": "x"} }, "psn.dom", UnknownDomain},
		"tag":                  {func(o object) { o.psn()["tag"] = 64 }, "psn.tag", ForbiddenOperation},
		"generation":           {func(o object) { o.psn()["gen"] = 3 }, "psn.gen", UnknownDomain},
		"retention over":       {func(o object) { o.psn()["ret"] = epoch0.Unix() }, "psn.ret", RetentionExpired},
		"beyond the retention": {func(o object) {
			o.psn()["ret"], o["exp"] = epoch0.AddDate(3, 0, 0).Unix(), epoch0.AddDate(2, 0, 0).Unix()
		}, "psn.ret", ForbiddenOperation},
		"irreversible source": {func(o object) { o.psn()["op"], o.psn()["src"] = "secondary", object{"prj": "oneway"} }, "psn.src", ForbiddenOperation},
		"unknown source":      {func(o object) { o.psn()["op"], o.psn()["src"] = "secondary", object{"prj": "nothing"} }, "psn.src", UnknownDomain},
		"issuer":              {func(o object) { o["iss"] = "someone" }, "iss", InvalidToken},
		"no psn":              {func(o object) { delete(o, "psn") }, "psn", InvalidToken},
		"uuid with randomness": {func(o object) {
			o.psn()["dom"], o.psn()["policy"], o.psn()["fmt"] = object{"prj": "random"}, "different", "uuid"
		}, "psn", InvalidToken},
	} {
		o := goodClaims()
		c.change(o)
		if got := examine(compact(goodHeader, o.String())); len(got) != 1 || got[c.claim].Code != c.code {
			t.Errorf("%s: %v", name, got)
		}
	}
	good := compact(goodHeader, goodClaims().String())
	if got := examine(good[:len(good)-8] + "AAAAAAAA"); len(got) != 1 || got["signature"].Code != InvalidToken {
		t.Errorf("another signature: %v", got)
	}
	if got := examine("x"); len(got) != 1 {
		t.Errorf("no token: %v", got)
	}
	r.store.alter(func() { r.store.revoked[fmt.Sprint(goodClaims()["jti"])] = struct{}{} })
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := examine(good); len(got) != 1 || got["jti"].Code != RevokedToken {
		t.Errorf("revoked: %v", got)
	}
}
