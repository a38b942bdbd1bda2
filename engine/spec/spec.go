// Package spec defines what a project, a token and a plan agree on: the method, the policy,
// the operation and the form of a pseudonym. The values are the texts in tokens, stores,
// flags and audit records, so that every package stores and compares the same constants.
// Package suite implements the transforms.
package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Op is an operation: the direction in which values are transformed.
type Op string

// The operations.
const (
	Pseudonymise Op = "pseudonymise"
	Reverse      Op = "reverse"
	Secondary    Op = "secondary" // from pseudonyms of one domain to those of another
)

// Ops lists the operations.
func Ops() []Op { return []Op{Pseudonymise, Reverse, Secondary} }

// ParseOp parses one of Ops.
func ParseOp(s string) (Op, error) { return parse(s, "op", Ops()) }

// Valid reports whether o is one of Ops.
func (o Op) Valid() bool { return slices.Contains(Ops(), o) }

// Method is whether a pseudonym can be reversed.
type Method string

// The methods.
const (
	Reversible   Method = "reversible"
	Irreversible Method = "irreversible"
)

// Methods lists the methods.
func Methods() []Method { return []Method{Reversible, Irreversible} }

// ParseMethod parses one of Methods.
func ParseMethod(s string) (Method, error) { return parse(s, "method", Methods()) }

// Valid reports whether m is one of Methods.
func (m Method) Valid() bool { return slices.Contains(Methods(), m) }

// Policy is when equal values get equal pseudonyms.
type Policy string

// The policies.
const (
	Same        Policy = "same"      // always: deterministic
	Different   Policy = "different" // never: fully randomised
	PerDocument Policy = "document"  // the n-th occurrence in one document as the n-th in any other
)

// Policies lists the policies.
func Policies() []Policy { return []Policy{Same, Different, PerDocument} }

// ParsePolicy parses one of Policies.
func ParsePolicy(s string) (Policy, error) { return parse(s, "policy", Policies()) }

// Valid reports whether p is one of Policies.
func (p Policy) Valid() bool { return slices.Contains(Policies(), p) }

// parse returns the element of known whose text is s.
func parse[T ~string](s, what string, known []T) (T, error) {
	if i := slices.Index(known, T(s)); i >= 0 {
		return known[i], nil
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	return "", fmt.Errorf("spec: unknown %s: use one of %s", what, strings.Join(names, ", "))
}

// Form is the shape of a pseudonym: one of the constants, or "fpe:" and an alphabet of
// 2 to 94 different printable ASCII characters. Digits is the form fpe:0123456789.
type Form string

// The forms that have a name.
const (
	Pair62 Form = "pair62"
	Hex    Form = "hex"
	B64u   Form = "b64u"
	B32    Form = "b32"
	UUID   Form = "uuid"
	Digits Form = "digits"
)

const (
	fpePrefix     = "fpe:"
	decimalDigits = "0123456789"
)

// ParseForm parses the name of a form, or "fpe:" and an alphabet.
func ParseForm(s string) (Form, error) {
	switch f := Form(s); f {
	case Pair62, Hex, B64u, B32, UUID, Digits:
		return f, nil
	}
	a, ok := strings.CutPrefix(s, fpePrefix)
	if !ok {
		return "", errors.New("spec: unknown form: use one of pair62, hex, b64u, b32, uuid, digits, fpe:<alphabet>")
	}
	if len(a) < 2 || len(a) > 94 {
		return "", errors.New("spec: form fpe: an alphabet has 2 to 94 characters")
	}
	for i := range len(a) {
		// The 94 visible characters: a space is easily lost.
		if a[i] < 0x21 || a[i] > 0x7e {
			return "", errors.New("spec: form fpe: an alphabet is printable ASCII")
		}
		if strings.IndexByte(a[i+1:], a[i]) >= 0 {
			return "", errors.New("spec: form fpe: a character stands twice in the alphabet")
		}
	}
	if a == decimalDigits {
		return Digits, nil
	}
	return Form(s), nil
}

// Valid reports whether ParseForm accepts f.
func (f Form) Valid() bool {
	_, err := ParseForm(string(f))
	return err == nil
}

// Alphabet returns the characters of a format-preserving form in their order, and ""
// for other forms.
func (f Form) Alphabet() string {
	if f == Digits {
		return decimalDigits
	}
	a, ok := strings.CutPrefix(string(f), fpePrefix)
	if !ok {
		return ""
	}
	return a
}

// Preserving reports whether results have the length and the alphabet of their values:
// digits and fpe.
func (f Form) Preserving() bool { return f.Alphabet() != "" }
