package main

import (
	"encoding/base64"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// redact returns an error's text without secrets: arguments and environment
// variables that may hold a password or a token, and every token in the text.
// Errors of this program contain none; libraries quote arguments that they cannot
// parse, and the error of opening a file contains its name.
func redact(text string, args []string) string {
	return withoutTokens(withoutSecrets(text, args))
}

// expression returns a function that compiles a regular expression at its first call,
// since most commands need none.
func expression(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// secretArgs matches arguments that no error may repeat: a token, and an address
// that may contain a password.
var secretArgs = expression(`(?i)://.*@|://.*[?&](ssl)?password=|\b(ssl)?password\s*=|^[^/]+:[^/].*@|^\s*eyJ[\w-]*\.[\w-]*\.`)

// withoutSecrets removes from text every argument that may be a secret.
func withoutSecrets(text string, args []string) string {
	args = append(args[:len(args):len(args)], os.Getenv("VELONYM_KEYSTORE"), os.Getenv("VELONYM_MASTER_KEY"))
	for _, arg := range args {
		// An error may quote VALUE of --flag=VALUE, or of NAME=VALUE within it.
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

// password finds the password of an address with a user. A library that cannot parse
// an address may quote a part that begins or ends within the password.
var password = expression(`^(?:[^/=]*=)?(?:[\w+.-]+://)?[^:/@]*:(.+)@`)

// without removes s from text if s may be a secret, and removes the password in s.
func without(text, s string) string {
	if s == "" || !secretArgs().MatchString(s) {
		return text
	}
	secrets := []string{s}
	if m := password().FindStringSubmatch(s); m != nil && len(m[1]) > 2 {
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

// minTokenLength is the shortest text that counts as a token, in bytes.
const minTokenLength = 20

// tokenIn returns the range of the first token in text: base64url that decodes to the
// start of a JSON object, as a JWT's header and claims do, with the base64url and
// points after it. ok is false if there is none.
func tokenIn(text string) (from, to int, ok bool) {
	const start = "eyJ" // {"
	for at := 0; ; {
		i := strings.Index(text[at:], start)
		if i < 0 {
			return 0, 0, false
		}
		from = at + i
		to = from
		for to < len(text) && (base64urlByte(text[to]) || text[to] == '.') {
			to++
		}
		if to-from >= minTokenLength && beginsObject(text[from:to]) {
			return from, to, true
		}
		at = from + len(start)
	}
}

// beginsObject reports whether segment decodes to printable ASCII, as a JSON object's
// start does.
func beginsObject(segment string) bool {
	segment, _, _ = strings.Cut(segment, ".")
	segment = segment[:min(len(segment), minTokenLength)&^3]
	b, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return false
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(b) >= 3
}

func base64urlByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

const tokenNotShown = "(a token, not shown)"

// withoutTokens replaces every token in text and then says how to pass one.
func withoutTokens(text string) string {
	found := false
	for {
		from, to, ok := tokenIn(text)
		if !ok {
			break
		}
		found = true
		text = text[:from] + tokenNotShown + text[to:]
	}
	if found {
		text += "; a token is given through a file, standard input (-) or VELONYM_TOKEN, and nowhere else"
	}
	return text
}

// refuseTokens returns a usage error if an argument contains a token: process lists
// show arguments, and no verb takes a token as an argument.
func refuseTokens(args []string) error {
	if len(args) > 2 && args[0] == "token" && args[1] == "revoke" {
		return nil // this verb has an error of its own for a token as argument
	}
	for i, arg := range args {
		from, _, ok := tokenIn(arg)
		if !ok {
			continue
		}
		where := "an argument"
		if name, _, ok := strings.Cut(arg[:from], "="); ok && strings.HasPrefix(name, "--") {
			where = name
		} else if i > 0 && strings.HasPrefix(args[i-1], "--") && !strings.Contains(args[i-1], "=") {
			where = args[i-1]
		}
		return usagef("%s: this is a token, not the name of a file: write it to a file and give the file's name, or - for standard input", where)
	}
	return nil
}
