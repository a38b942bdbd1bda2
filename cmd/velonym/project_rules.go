package main

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// checkProject validates a new project's choices by the rules for its tokens.
func checkProject(p keys.Project) error {
	if err := checkCombination(p.Method, p.Policy, p.Form, p.Tag); err != nil {
		return usagef("project create: --method %s, --policy %s, --form %s and --tag %d do not go together: %w", p.Method, p.Policy, p.Form, p.Tag, err)
	}
	if p.Method == spec.Reversible && p.Retention.IsZero() {
		return usagef("project create: a reversible project needs an end: give --retention, for example 5y")
	}
	for i, org := range p.Orgs {
		switch {
		case slices.Contains(p.Orgs[:i], org):
			return usagef("project create: --org %q is given twice", org)
		case org == "" && len(p.Orgs) > 1:
			return usagef("project create: one --org is empty: give each organisation a name, or none to a project without any")
		}
	}
	return nil
}

// checkCombination returns an error if a method, policy, form and tag, each of them valid
// by itself, make no transform together.
func checkCombination(method spec.Method, policy spec.Policy, form spec.Form, tag int) error {
	return withoutPackage(suite.Spec{Method: method, Policy: policy, Form: form, Tag: tag, Gen: -1}.Validate())
}

// checkName validates the name of a project or an organisation.
func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("the name is empty")
	case len(s) > 255:
		return errors.New("a name has 255 bytes at most")
	case !utf8.ValidString(s):
		return errors.New("a name is UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("a name has no control characters, and none that cannot be seen")
	case strings.TrimSpace(s) != s:
		return errors.New("a name has no space at its ends")
	}
	return nil
}

// orgName validates the name of an organisation; "" stands for none.
func orgName(s string) error {
	if s == "" {
		return nil
	}
	return checkName(s)
}

// orgs is the repeatable flag --org.
type orgs struct{ p *[]string }

func (o orgs) String() string { return strings.Join(*o.p, ",") }

func (o orgs) Type() string { return "ORG" }

func (o orgs) Set(s string) error {
	if err := orgName(s); err != nil {
		return err
	}
	*o.p = append(*o.p, s)
	return nil
}
