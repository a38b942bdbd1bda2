package spec

import (
	"strings"
	"testing"
)

// TestParse checks that every constant parses, and that nothing else does.
func TestParse(t *testing.T) {
	for _, o := range Ops() {
		if got, err := ParseOp(string(o)); got != o || err != nil || !o.Valid() {
			t.Errorf("op %q: %q, %v", o, got, err)
		}
	}
	for _, m := range Methods() {
		if got, err := ParseMethod(string(m)); got != m || err != nil || !m.Valid() {
			t.Errorf("method %q: %q, %v", m, got, err)
		}
	}
	for _, p := range Policies() {
		if got, err := ParsePolicy(string(p)); got != p || err != nil || !p.Valid() {
			t.Errorf("policy %q: %q, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "Reverse", "same ", "hex"} {
		_, op := ParseOp(s)
		_, method := ParseMethod(s)
		_, policy := ParsePolicy(s)
		if op == nil || method == nil || policy == nil || Op(s).Valid() || Method(s).Valid() || Policy(s).Valid() {
			t.Errorf("%q is accepted: %v, %v, %v", s, op, method, policy)
		}
	}
	if _, err := ParsePolicy("x"); err == nil || !strings.HasSuffix(err.Error(), "unknown policy: use one of same, different, document") {
		t.Errorf("an unknown policy: %v", err)
	}
}

func TestParseForm(t *testing.T) {
	for s, alphabet := range map[string]string{
		"pair62": "", "hex": "", "b64u": "", "b32": "", "uuid": "",
		"digits": "0123456789", "fpe:01": "01", "fpe:9876543210": "9876543210", `fpe:"\,:`: `"\,:`,
	} {
		f, err := ParseForm(s)
		if err != nil || string(f) != s || f.Alphabet() != alphabet || f.Preserving() != (alphabet != "") || !f.Valid() {
			t.Errorf("%q: %q, alphabet %q, %v", s, f, f.Alphabet(), err)
		}
	}
	if f, err := ParseForm("fpe:0123456789"); f != Digits || err != nil {
		t.Errorf("the ten digits in order: %q, %v", f, err)
	}
	for _, s := range []string{"", "Hex", "fpe", "fpe:", "fpe:0", "fpe:00", "fpe:0 1", "fpe:0é", "fpe:" + strings.Repeat("x", 95)} {
		if f, err := ParseForm(s); err == nil || Form(s).Valid() {
			t.Errorf("%q is accepted as %q, want an error", s, f)
		}
	}
}
