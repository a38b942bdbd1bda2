package suite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/velonym/velonym/engine/kernel"
)

// Op is the direction of a plan.
type Op uint8

// The operations. The zero value is none of them.
const (
	Pseudonymise Op = iota + 1
	Reverse
	Secondary
)

var opNames = [...]string{Pseudonymise: "pseudonymise", Reverse: "reverse", Secondary: "secondary"}

// ParseOp reads "pseudonymise", "reverse" or "secondary".
func ParseOp(s string) (Op, error) {
	i, err := parseName(s, "op", opNames[:])
	return Op(i), err
}

// String returns the name that ParseOp reads.
func (o Op) String() string { return nameOf(int(o), opNames[:]) }

// Method says whether a pseudonym leads back to its value.
type Method uint8

// The methods. The zero value is none of them.
const (
	Reversible Method = iota + 1
	Irreversible
)

var methodNames = [...]string{Reversible: "reversible", Irreversible: "irreversible"}

// ParseMethod reads "reversible" or "irreversible".
func ParseMethod(s string) (Method, error) {
	i, err := parseName(s, "method", methodNames[:])
	return Method(i), err
}

// String returns the name that ParseMethod reads.
func (m Method) String() string { return nameOf(int(m), methodNames[:]) }

// Policy says when two equal values get equal pseudonyms. The numbers are those of
// the cipher's tweak.
type Policy uint8

// The policies. The zero value is none of them.
const (
	Same        Policy = 1 // always: deterministic
	Different   Policy = 2 // never: fully randomised
	PerDocument Policy = 3 // "document": the n-th occurrence in one document as the n-th in any other
)

var policyNames = [...]string{Same: "same", Different: "different", PerDocument: "document"}

// ParsePolicy reads "same", "different" or "document".
func ParsePolicy(s string) (Policy, error) {
	i, err := parseName(s, "policy", policyNames[:])
	return Policy(i), err
}

// String returns the name that ParsePolicy reads.
func (p Policy) String() string { return nameOf(int(p), policyNames[:]) }

// Code says why one value cannot be transformed.
type Code uint8

// The codes. The zero value is none of them.
const (
	NotAPseudonym      Code = iota + 1 // reverse, secondary: not made under this key and policy
	ValueNotText                       // not UTF-8, or holds control characters, where text is needed
	ValueTooLong                       // over 65,535 bytes, or over what a UUID holds
	ValueNotInAlphabet                 // format-preserving: a character outside the alphabet; norm digits: a digit of another script
	ValueLength                        // format-preserving: too short or too long
	ValueEmpty                         // nothing is left after normalisation of a value that held more than White_Space
	NotAString                         // an item of a JSON array that is no string; set by callers
)

var codeNames = [...]string{
	NotAPseudonym:      "NOT_A_PSEUDONYM",
	ValueNotText:       "VALUE_NOT_TEXT",
	ValueTooLong:       "VALUE_TOO_LONG",
	ValueNotInAlphabet: "VALUE_NOT_IN_ALPHABET",
	ValueLength:        "VALUE_LENGTH",
	ValueEmpty:         "VALUE_EMPTY",
	NotAString:         "NOT_A_STRING",
}

// String returns the code as the HTTP contract spells it.
func (c Code) String() string { return nameOf(int(c), codeNames[:]) }

func parseName(s, what string, names []string) (int, error) {
	if s != "" {
		for i, n := range names {
			if n == s {
				return i, nil
			}
		}
	}
	var known []string
	for _, n := range names {
		if n != "" {
			known = append(known, n)
		}
	}
	return 0, fmt.Errorf("suite: unknown %s: use one of %s", what, strings.Join(known, ", "))
}

func nameOf(i int, names []string) string {
	if i < len(names) && names[i] != "" {
		return names[i]
	}
	return "unknown"
}

// Form is the shape of a pseudonym. The zero value is no form.
type Form struct {
	form     kernel.Form
	alphabet string // format-preserving only
}

// The forms without an alphabet of their own, and digits.
var (
	Pair62 = Form{form: kernel.Pair62}
	Hex    = Form{form: kernel.Hex}
	B64u   = Form{form: kernel.B64u}
	B32    = Form{form: kernel.B32}
	UUID   = Form{form: kernel.UUID}
	Digits = Form{alphabet: "0123456789"}
)

// ParseForm reads "pair62", "hex", "b64u", "b32", "uuid", "digits" or
// "fpe:<alphabet>" with 2 to 94 different printable ASCII characters.
func ParseForm(s string) (Form, error) {
	switch s {
	case "pair62":
		return Pair62, nil
	case "hex":
		return Hex, nil
	case "b64u":
		return B64u, nil
	case "b32":
		return B32, nil
	case "uuid":
		return UUID, nil
	case "digits":
		return Digits, nil
	}
	a, ok := strings.CutPrefix(s, "fpe:")
	if !ok {
		return Form{}, errors.New("suite: unknown form: use one of pair62, hex, b64u, b32, uuid, digits, fpe:<alphabet>")
	}
	if len(a) < 2 || len(a) > 94 {
		return Form{}, errors.New("suite: form fpe: an alphabet has 2 to 94 characters")
	}
	for i := range len(a) {
		// The 94 that leave a mark: a space is easily lost.
		if a[i] < 0x21 || a[i] > 0x7e {
			return Form{}, errors.New("suite: form fpe: an alphabet is printable ASCII")
		}
		if strings.IndexByte(a[i+1:], a[i]) >= 0 {
			return Form{}, errors.New("suite: form fpe: a character stands twice in the alphabet")
		}
	}
	return Form{alphabet: a}, nil
}

// String returns what ParseFormat reads; an alphabet of the ten digits in order is
// "digits".
func (f Form) String() string {
	switch {
	case f.alphabet == Digits.alphabet:
		return "digits"
	case f.alphabet != "":
		return "fpe:" + f.alphabet
	case f.form == 0:
		return "unknown"
	}
	return f.form.String()
}

// Preserving says whether results have the length and the alphabet of their values:
// digits and fpe.
func (f Form) Preserving() bool { return f.alphabet != "" }

// Spec says how the values of a batch are transformed. The zero Gen is generation 0:
// callers that mean "the active one" write -1.
type Spec struct {
	Method Method
	Policy Policy
	Form   Form
	Tag    int // bits of integrity: 0, 64 or 128
	Norm   Norm
	Gen    int // key generation; -1: the active one
}

// Validate refuses what the suite does not define: unknown values, a tag with an
// irreversible method, uuid with a tag or reversible with another policy than same,
// format-preserving with anything but reversible, same and tag 0.
func (s Spec) Validate() error {
	switch {
	case s.Method != Reversible && s.Method != Irreversible:
		return errors.New("suite: no such method")
	case s.Policy < Same || s.Policy > PerDocument:
		return errors.New("suite: no such policy")
	case s.Form == Form{}:
		return errors.New("suite: no such form")
	case s.Tag != 0 && s.Tag != 64 && s.Tag != 128:
		return errors.New("suite: tag is 0, 64 or 128")
	case s.Gen < -1 || s.Gen >= MaxGenerations:
		return errors.New("suite: gen is 0 to 11, or -1 for the active one")
	case s.Method == Irreversible && s.Tag != 0:
		return errors.New("suite: an irreversible method has no tag")
	case s.Form.Preserving() && (s.Method != Reversible || s.Policy != Same || s.Tag != 0):
		return errors.New("suite: format-preserving pseudonyms are reversible, policy same, tag 0")
	case s.Form == UUID && s.Tag != 0:
		return errors.New("suite: form uuid holds 16 bytes and has no room for a tag")
	case s.Form == UUID && s.Method == Reversible && s.Policy != Same:
		return errors.New("suite: form uuid, reversible, needs policy same")
	}
	for _, n := range s.Norm {
		if n < Trim || n > DigitsOnly {
			return errors.New("suite: no such norm step")
		}
	}
	return nil
}

// MaxGenerations is how many generations a domain can have in its life: the mark of
// pair62 has no room for more.
const MaxGenerations = 12

// Limits of a value, in bytes.
const (
	maxValue    = 65535
	maxFPE      = 256
	maxReversed = 16 + 16 + (maxValue+16)/16*16 // longest C
)
