package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

func newToken(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Create, inspect, list and revoke tokens",
		Example: `  velonym token create --project register --op pseudonymise > token
  velonym token inspect token`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newTokenCreate(g), newTokenInspect(g), newTokenList(g), newTokenRevoke(g), newTokenSchema(), newTokenJWKS(g))
	return cmd
}

func newTokenSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "The JSON Schema of a token's claims, for whoever issues tokens",
		Long: `Prints the JSON Schema (draft 2020-12) of the claims that a token must have. An issuer
can hold its tokens against it; 'velonym token inspect' also compares them with the
projects that are stored.`,
		Example: `  velonym token schema > claims.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(token.ClaimsSchema())
			return err
		},
	}
}

// needVerb is the RunE of a verb that only has subcommands.
func needVerb(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usagef("%s: say which: %s", cmd.Name(), strings.Join(names, ", "))
}

// builtInIssuer returns the issuer whose key is in the keystore. The caller closes it.
func builtInIssuer(ctx context.Context, ks *keys.Keystore) (*token.Issuer, error) {
	seed, err := ks.IssuerSeed(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	info, err := ks.Issuer(ctx)
	if err != nil {
		return nil, err
	}
	return token.NewIssuer(seed, info.Name, token.DefaultAudience)
}

// printJSON writes v, indented, with a line end.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// readToken reads a token from a file, from standard input ("-") or, if from is empty,
// from VELONYM_TOKEN. A token is never an argument, since process lists show those.
func readToken(from string, stdin io.Reader) ([]byte, error) {
	var raw []byte
	var err error
	source := from
	switch from {
	case "":
		source = "VELONYM_TOKEN"
		raw = []byte(os.Getenv("VELONYM_TOKEN"))
		if len(raw) == 0 {
			return nil, usagef("no token: give a file with --token-file, or set VELONYM_TOKEN")
		}
	case "-":
		source = "standard input"
		raw, err = io.ReadAll(io.LimitReader(stdin, token.MaxSize+64))
	default:
		var f *os.File
		if f, err = os.Open(from); err != nil {
			break
		}
		raw, err = io.ReadAll(io.LimitReader(f, token.MaxSize+64))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, fmt.Errorf("token: %s is empty", source)
	}
	if from == "" && isFileName(raw) {
		return nil, errTokenIsFileName
	}
	if err := checkToken(source, raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// checkToken refuses text that users leave around a token by mistake, such as quotes or
// "Bearer". source is the token's origin, for the error.
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

// isFileName reports whether raw is the name of an existing file instead of a token.
func isFileName(raw []byte) bool {
	if len(raw) > 4096 || bytes.Count(raw, []byte{'.'}) == 2 && bytes.HasPrefix(raw, []byte("eyJ")) {
		return false
	}
	_, err := os.Stat(string(raw))
	return err == nil
}

var errTokenIsFileName = errors.New("token: VELONYM_TOKEN holds the name of a file; it must hold the token itself: give the file with --token-file")
