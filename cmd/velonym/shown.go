package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/velonym/velonym/engine/token"
)

// A token that is given in place of a file's name must not be printed, although the
// error of opening such a file holds the name. So every argument is looked at before
// anything is done with it, and withoutTokens goes over every error text that is printed.

// leastToken is the length from which on a text is taken for a token.
const leastToken = 20

// tokenIn finds the first token in text: base64url whose beginning is that of a JSON
// object, as the header and the claims of a JWT are, with all that follows of
// base64url and points. It returns its place, or ok false.
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
		if to-from >= leastToken && beginsObject(text[from:to]) {
			return from, to, true
		}
		at = from + len(start)
	}
}

// beginsObject says whether segment decodes to what a JSON object begins with.
func beginsObject(segment string) bool {
	segment, _, _ = strings.Cut(segment, ".")
	segment = segment[:min(len(segment), leastToken)&^3]
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

// withoutTokens returns an error's text as it may be printed: without tokens.
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

// refuseTokens returns a usage error when an argument holds a token: process lists
// show arguments, and it stands where the name of something is wanted.
func refuseTokens(args []string) error {
	if len(args) > 2 && args[0] == "token" && args[1] == "revoke" {
		return nil // it says what it wants instead of a token
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

// checkToken says what is wrong with a token's text that no verifier needs to see:
// what people put around it. source is where it came from.
func checkToken(source string, raw []byte) error {
	say := func(format string, args ...any) error {
		return fmt.Errorf("token: %s %s", source, fmt.Sprintf(format, args...))
	}
	first, _, several := bytes.Cut(raw, []byte{' '})
	switch {
	case bytes.HasPrefix(bytes.ToLower(raw), []byte("authorization:")):
		return say("holds a whole header: leave \"Authorization: Bearer \" away")
	case several && bytes.EqualFold(first, []byte("bearer")):
		return say("has the word Bearer before the token: leave it away")
	case bytes.ContainsAny(raw, "\"'`"):
		return say("has quotes around the token: leave them away")
	case bytes.ContainsAny(raw, " \t\r\n"):
		return say("has a space or a line end within the token: it must stand on one line, and alone")
	case bytes.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return say("has control characters within the token: write it anew, as it was made")
	case len(raw) > token.MaxSize:
		return say("is longer than the %d bytes that a token can have", token.MaxSize)
	}
	return nil
}

// isFileName says whether a token's text is rather the name of a file that is there.
func isFileName(raw []byte) bool {
	if len(raw) > 4096 || bytes.Count(raw, []byte{'.'}) == 2 && bytes.HasPrefix(raw, []byte("eyJ")) {
		return false
	}
	_, err := os.Stat(string(raw))
	return err == nil
}

var errTokenIsFileName = errors.New("token: VELONYM_TOKEN holds the name of a file; it must hold the token itself: give the file with --token-file")
