package suite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// Code is why a value cannot be transformed.
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

// kernelForm returns the text form of C that f stands for, and 0 for format-preserving
// forms, which have none.
func kernelForm(f spec.Form) textform.Form {
	switch f {
	case spec.Pair62:
		return textform.Pair62
	case spec.Hex:
		return textform.Hex
	case spec.B64u:
		return textform.B64u
	case spec.B32:
		return textform.B32
	case spec.UUID:
		return textform.UUID
	}
	return 0
}

// policyNumber is the number of a policy in the cipher's tweak.
func policyNumber(p spec.Policy) byte {
	switch p {
	case spec.Same:
		return 1
	case spec.Different:
		return 2
	case spec.PerDocument:
		return 3
	}
	panic("suite: no such policy")
}

// Spec says how the values of a batch are transformed. The zero Gen is generation 0:
// callers that mean "the active one" write -1.
type Spec struct {
	Method spec.Method
	Policy spec.Policy
	Form   spec.Form
	Tag    int // bits of integrity: 0, 64 or 128
	Norm   Norm
	Gen    int // key generation; -1: the active one
}

// Validate refuses what the suite does not define: unknown values, a tag with an
// irreversible method, uuid with a tag or reversible with another policy than same,
// format-preserving with anything but reversible, same and tag 0.
func (s Spec) Validate() error {
	switch {
	case !s.Method.Valid():
		return errors.New("suite: no such method")
	case !s.Policy.Valid():
		return errors.New("suite: no such policy")
	case !s.Form.Valid():
		return errors.New("suite: no such form")
	case s.Tag != 0 && s.Tag != 64 && s.Tag != 128:
		return errors.New("suite: tag is 0, 64 or 128")
	case s.Gen < -1 || s.Gen >= MaxGenerations:
		return errors.New("suite: gen is 0 to 11, or -1 for the active one")
	case s.Method == spec.Irreversible && s.Tag != 0:
		return errors.New("suite: an irreversible method has no tag")
	case s.Form.Preserving() && (s.Method != spec.Reversible || s.Policy != spec.Same || s.Tag != 0):
		return errors.New("suite: format-preserving pseudonyms are reversible, policy same, tag 0")
	case s.Form == spec.UUID && s.Tag != 0:
		return errors.New("suite: form uuid holds 16 bytes and has no room for a tag")
	case s.Form == spec.UUID && s.Method == spec.Reversible && s.Policy != spec.Same:
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
