package main

import (
	"errors"
	"fmt"

	"github.com/velonym/velonym/engine/token"
)

// namedDomain adds the unknown project, organisation and generation to an UNKNOWN_DOMAIN
// error. Only the command does this: its operator may know the names, while a caller over
// HTTP gets the code alone.
func namedDomain(err error, c *token.PSN) error {
	var refused *token.Error
	if !errors.As(err, &refused) || refused.Code != token.UnknownDomain || c == nil {
		return err
	}
	name := func(d token.Domain) string {
		if d.Org == "" {
			return fmt.Sprintf("project %q", d.Prj)
		}
		return fmt.Sprintf("project %q, organisation %q", d.Prj, d.Org)
	}
	named := *refused
	named.Detail += " (" + name(c.Dom)
	if c.Src != nil {
		named.Detail += "; source " + name(*c.Src)
	}
	if c.Gen != nil {
		named.Detail += fmt.Sprintf("; generation %d", *c.Gen)
	}
	named.Detail += "): 'velonym project list' and 'velonym project show' say what this keystore has; another one is named with --dir or --keystore"
	return &named
}

// tokenDomain is namedDomain for the claims of a token. UNKNOWN_DOMAIN comes after the
// signature's verification, so the claims are authentic.
func tokenDomain(err error, raw []byte) error {
	var refused *token.Error
	if !errors.As(err, &refused) || refused.Code != token.UnknownDomain {
		return err
	}
	decoded, e := token.Decode(raw)
	if e != nil || decoded.Read == nil {
		return err
	}
	return namedDomain(err, &decoded.Read.PSN)
}
