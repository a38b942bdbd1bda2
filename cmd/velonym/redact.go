package main

import (
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// secretArgs are arguments that an error must not repeat, whatever wrote it: a
// token, and an address that can hold a password.
var secretArgs = regexp.MustCompile(`(?i)://.*@|://.*[?&](ssl)?password=|\b(ssl)?password\s*=|^[^/]+:[^/].*@|^\s*eyJ[\w-]*\.[\w-]*\.`)

// withoutSecrets takes what the user typed out of an error's text where it can
// be a secret. Errors hold none by themselves; this catches those of libraries
// that quote arguments which they do not know.
func withoutSecrets(text string, args []string) string {
	args = append(args[:len(args):len(args)], os.Getenv("VELONYM_KEYSTORE"), os.Getenv("VELONYM_MASTER_KEY"))
	for _, arg := range args {
		// --flag=VALUE, and NAME=VALUE in a flag's value: each may be quoted alone.
		for parts := arg; ; {
			text = without(text, parts)
			var ok bool
			if _, parts, ok = strings.Cut(parts, "="); !ok {
				break
			}
		}
	}
	return text
}

// password finds the password of an address with a user: what libraries quote of one
// that they cannot read may begin or end within it.
var password = regexp.MustCompile(`^(?:[^/=]*=)?(?:[\w+.-]+://)?[^:/@]*:(.+)@`)

// without takes s out of text if it can be a secret, and the password in it.
func without(text, s string) string {
	if s == "" || !secretArgs.MatchString(s) {
		return text
	}
	secrets := []string{s}
	if m := password.FindStringSubmatch(s); m != nil && len(m[1]) > 2 {
		secrets = append(secrets, m[1])
	}
	for _, secret := range secrets {
		quoted := strconv.Quote(secret)
		for _, form := range []string{secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret)} {
			text = strings.ReplaceAll(text, form, "…")
		}
	}
	return text
}
