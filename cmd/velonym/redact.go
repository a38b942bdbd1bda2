package main

import (
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
		parts := []string{arg}
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
			parts = append(parts, value)
		}
		for _, s := range parts {
			if s == "" || !secretArgs.MatchString(s) {
				continue
			}
			text = strings.ReplaceAll(text, s, "…")
			quoted := strconv.Quote(s)
			text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], "…")
		}
	}
	return text
}
