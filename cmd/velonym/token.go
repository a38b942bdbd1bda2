package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

func newToken(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Create, inspect and revoke tokens",
		Args:  cobra.NoArgs,
		RunE:  needVerb,
	}
	cmd.AddCommand(newTokenCreate(g), newTokenInspect(g), newTokenRevoke(g))
	return cmd
}

// needVerb is what a verb does that has only verbs below it.
func needVerb(cmd *cobra.Command, _ []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usagef("%s: say which: %s", cmd.Name(), strings.Join(names, ", "))
}

func newTokenCreate(g *globals) *cobra.Command {
	var r token.Request
	var ttl string
	var normSteps string
	var gen int
	cmd := &cobra.Command{
		Use:   "create --project NAME --op pseudonymise|reverse|secondary",
		Short: "Sign a token for a project; it is printed alone on standard output",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.Project == "" || r.Op == "" {
				return usagef("token create: name the project with --project and what the token allows with --op")
			}
			if ttl != "" {
				until, err := parseSpan(ttl, time.Now())
				if err != nil {
					return usagef("--ttl: %w", err)
				}
				r.TTL = time.Until(until)
			}
			if normSteps != "" {
				r.Norm = strings.Split(normSteps, ",")
			}
			if cmd.Flags().Changed("gen") {
				r.Gen = &gen
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			issuer, err := builtInIssuer(cmd.Context(), ks)
			if err != nil {
				return err
			}
			defer issuer.Close()
			signed, claims, err := issuer.Create(cmd.Context(), ks, r)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), signed); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "token %s for %s, expires %s\n", claims.ID, claims.PSN.Op, claims.Expires.Format(time.RFC3339))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Project, "project", "", "project whose key domain the token is for")
	f.StringVar(&r.Org, "org", "", "organisation of the project")
	f.StringVar(&r.Op, "op", "", "pseudonymise, reverse or secondary")
	f.StringVar(&r.Source, "source", "", "secondary: the project that made the pseudonyms")
	f.StringVar(&r.SourceOrg, "source-org", "", "secondary: its organisation")
	f.StringVar(&ttl, "ttl", "", "time to live, such as 24h, 90d, 1y (default: until the project's retention ends, 90 days without one)")
	f.StringVar(&r.Format, "format", "", "shape of a pseudonym (default: the project's)")
	f.StringVar(&normSteps, "norm", "", "steps before the transform, in order, with commas between: trim, nfc, upper, lower, digits")
	f.StringVar(&r.Err, "on-error", "", "strict: one bad value refuses the whole request; item: null in its place (default strict)")
	f.IntVar(&gen, "gen", 0, "key generation, 0 to 11 (default: the active one)")
	f.Int64Var(&r.Limits.Max, "max", 0, "values in the token's life (default: no limit)")
	f.Int64Var(&r.Limits.Rate, "rate", 0, "values a second (default: no limit)")
	f.Int64Var(&r.Limits.Req, "req", 0, "values a request (default: no limit)")
	return cmd
}

// builtInIssuer returns the issuer whose seed the keystore keeps.
func builtInIssuer(ctx context.Context, ks *keys.Keystore) (*token.Issuer, error) {
	seed, err := ks.IssuerSeed(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return token.NewIssuer(seed, token.DefaultIssuer, token.DefaultAudience)
}

func newTokenInspect(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect [FILE|-]",
		Short: "Decoded claims, what the token allows, and whether it verifies here",
		Long: `Prints what a token says, read from FILE, standard input (-) or VELONYM_TOKEN,
and whether it verifies against the keystore in --dir. Exit status 1 when it does not.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := ""
			if len(args) == 1 {
				from = args[0]
			}
			raw, err := readToken(from, cmd.InOrStdin())
			if err != nil {
				return err
			}
			decoded, err := token.Decode(raw)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if err := printJSON(out, map[string]any{"header": decoded.Header, "claims": decoded.Claims}); err != nil {
				return err
			}
			if decoded.Problem != nil {
				return fmt.Errorf("does not verify: %s: %s", decoded.Problem.Code, decoded.Problem.Detail)
			}
			describe(out, decoded.Read)
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			verifier, err := newVerifier(cmd.Context(), ks, verifierFlags{})
			if err != nil {
				return err
			}
			defer verifier.Close()
			grant, err := verifier.Verify(cmd.Context(), raw, token.OpsAny)
			if err != nil {
				var refused *token.Error
				if errors.As(err, &refused) {
					return fmt.Errorf("does not verify here: %s: %s", refused.Code, refused.Detail)
				}
				return err
			}
			grant.Release()
			_, err = fmt.Fprintln(out, "verifies here: yes")
			return err
		},
	}
}

// printJSON writes v, indented, with a line end.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// describe says in words what a token allows.
func describe(w io.Writer, c *token.Claims) {
	p := c.PSN
	of := p.Dom.Prj
	if p.Dom.Org != "" {
		of += ", organisation " + p.Dom.Org
	}
	if p.Src != nil {
		of += ", from " + p.Src.Prj
	}
	fmt.Fprintf(w, "allows: %s for %s (%s, policy %s, form %s, tag %d)\n", p.Op, of, p.Method, p.Policy, p.Fmt, p.Tag)
	fmt.Fprintf(w, "until: %s\n", c.Expires.Format(time.RFC3339))
	for _, l := range []struct {
		n    int64
		unit string
	}{{p.Lim.Max, "values in all"}, {p.Lim.Rate, "values a second"}, {p.Lim.Req, "values a request"}} {
		if l.n > 0 {
			fmt.Fprintf(w, "limit: %d %s\n", l.n, l.unit)
		}
	}
}

// readToken reads a token from a file, standard input ("-") or, without a
// name, VELONYM_TOKEN. It never comes from an argument, which process lists show.
func readToken(from string, stdin io.Reader) ([]byte, error) {
	var raw []byte
	var err error
	switch from {
	case "":
		raw = []byte(os.Getenv("VELONYM_TOKEN"))
		if len(raw) == 0 {
			return nil, usagef("no token: give a file with --token-file, or set VELONYM_TOKEN")
		}
	case "-":
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
	return []byte(strings.TrimSpace(string(raw))), nil
}

func newTokenRevoke(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke JTI",
		Short: "Refuse a token from now on, in every process (jti: see inspect)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := ks.Revoke(cmd.Context(), args[0], time.Time{}); err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "revoked")
			return nil
		},
	}
}
