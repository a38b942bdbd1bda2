package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

func newKeyRotateIssuer(g *globals) *cobra.Command {
	var overlap string
	var yes bool
	cmd := &cobra.Command{
		Use:   "rotate-issuer [--overlap SPAN]",
		Short: "Give the keystore's issuer a new key",
		Long: `Creates a new key, which signs tokens from now on, and destroys the private half of
the former one. Tokens that the former key signed stay valid for the overlap; running
servers follow within a second. The verb names issued tokens that end after the overlap,
and then needs --yes: issue them again before the overlap is over. If a key has leaked,
use --overlap 0. Give other services the new key set: 'velonym token jwks', or
/.well-known/jwks.json of a server.`,
		Example: `  velonym key rotate-issuer --overlap 30d --yes
  velonym key rotate-issuer --overlap 0 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			span, err := parseGrace(overlap)
			if err != nil {
				return usagef("--overlap: %w", err)
			}
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			before, err := ks.Issuer(ctx)
			if err != nil {
				return err
			}
			end := time.Now().Add(span)
			list, err := ks.IssuedTokens(ctx, keys.TokenFilter{After: end})
			if err != nil {
				return err
			}
			var cut []string
			for _, t := range list {
				if t.KeyID == token.KeyID(before.Public) && !t.Revoked {
					cut = append(cut, printable(t.JTI))
				}
			}
			if n := len(cut); n > 0 {
				more := ""
				if n > maxNamed {
					more = fmt.Sprintf(" and %d more ('velonym token list')", n-maxNamed)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "tokens that the present key signed, and that are refused from %s on: %s%s\n", localTime(end), strings.Join(cut[:min(n, maxNamed)], ", "), more)
				if !yes {
					return usagef("key rotate-issuer: nothing was changed: say --yes if that is meant, or choose a longer --overlap")
				}
			}
			var info keys.IssuerInfo
			err = g.recorded(ctx, ks, audit.Record{Op: "rotate-issuer"}, func(*keyAct) (err error) {
				info, err = ks.RotateIssuer(ctx, span)
				return err
			})
			if err != nil {
				return err
			}
			until := "is good no more"
			if span > 0 {
				until = "is good until " + localTime(end)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "issuer %s: key %s from now on; %s %s\n", printable(info.Name), token.KeyID(info.Public), token.KeyID(before.Public), until)
			return nil
		},
	}
	checkedVar(cmd.Flags(), &overlap, "overlap", "90d", "SPAN", "how long tokens of the former key stay good: 90d, 24h, 0", func(s string) error { _, err := parseGrace(s); return err })
	cmd.Flags().BoolVar(&yes, "yes", false, "tokens that end later are meant to be refused")
	return cmd
}

func newTokenJWKS(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "jwks",
		Short: "Print the issuer's public keys for services that trust its tokens",
		Long: `Prints the public keys of the keystore's issuer as a JWK Set (RFC 7517): the present
one, and former ones whose overlap is not over. A server gives the same at
/.well-known/jwks.json. Another keystore trusts them with 'velonym key trust'.`,
		Example: `  velonym token jwks > north.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			info, err := ks.Issuer(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", token.JWKS(info))
			return err
		},
	}
}

func newKeyTrust(g *globals) *cobra.Command {
	var t keys.TrustedIssuer
	var source string
	cmd := &cobra.Command{
		Use:   "trust [ISSUER --jwks FILE|URL]",
		Short: "Accept the tokens of another issuer, or list the trusted issuers",
		Long: `Makes every server and run of this keystore accept tokens of ISSUER (their iss), at
once and without a restart. The public keys are a JWK Set: a file, whose present content
is stored in the keystore, or an https URL, which servers fetch repeatedly. The projects
that its tokens name must be in this keystore. A second call replaces the keys. Without
arguments it lists the trusted issuers; 'velonym key distrust' removes one. The flags of
'velonym serve' add issuers to one server only.

Two keystores need different issuer names: see 'velonym init --issuer'.`,
		Example: `  velonym key trust north --jwks north.json
  velonym key trust https://login.example --jwks https://login.example/jwks --audience register
  velonym key trust`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if len(args) == 0 {
				if source != "" || t.Audience != "" || t.AccessTokens {
					return usagef("key trust: name the issuer")
				}
				ks, err := g.openKeystore(ctx)
				if err != nil {
					return err
				}
				defer ks.Close()
				return listTrusted(cmd, ks)
			}
			if t.Name = args[0]; t.Name == "" || source == "" {
				return usagef("key trust: name the issuer, and its keys with --jwks")
			}
			if strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://") {
				t.URL = source
			} else {
				f, err := os.Open(source)
				if err != nil {
					return fmt.Errorf("--jwks: %w", err)
				}
				defer f.Close()
				if t.JWKS, err = io.ReadAll(io.LimitReader(f, 1<<20)); err != nil {
					return fmt.Errorf("--jwks: %w", err)
				}
			}
			n, err := token.CheckTrusted(t)
			if err != nil {
				return fmt.Errorf("--jwks: %s: %w", source, err)
			}
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := g.recorded(ctx, ks, audit.Record{Op: "trust"}, func(*keyAct) error { return ks.TrustIssuer(ctx, t) }); err != nil {
				return err
			}
			keysText := "keys fetched from its URL"
			if t.URL == "" {
				keysText = fmt.Sprintf("%d keys", n)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "issuer %s is trusted: %s, audience %s\n", printable(t.Name), keysText, printable(cmp.Or(t.Audience, token.DefaultAudience)))
			return nil
		},
	}
	f := cmd.Flags()
	checkedVar(f, &source, "jwks", "", "FILE|URL", "its public keys, a JWK Set", notEmpty)
	checkedVar(f, &t.Audience, "audience", "", "NAME", "aud that its tokens must have (default: that of this keystore's own)", notEmpty)
	f.BoolVar(&t.AccessTokens, "access-tokens", false, "accept OAuth access tokens (typ at+jwt) too: only where all that it signs for this audience is meant for here")
	return cmd
}

func listTrusted(cmd *cobra.Command, ks *keys.Keystore) error {
	list, err := ks.TrustedIssuers(cmd.Context())
	if err != nil {
		return err
	}
	info, err := ks.Issuer(cmd.Context())
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ISSUER\tAUDIENCE\tKEYS\tSINCE")
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(info.Name), token.DefaultAudience, "its own: "+token.KeyID(info.Public), orDash(orNever(info.Since)))
	for _, t := range list {
		source := printable(t.URL)
		if t.URL == "" {
			n, err := token.CheckTrusted(t)
			if err != nil {
				return err
			}
			source = fmt.Sprintf("%d kept", n)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(t.Name), printable(cmp.Or(t.Audience, token.DefaultAudience)), source, localTime(t.Since))
	}
	return w.Flush()
}

// orNever formats a time for people, and the zero time as "".
func orNever(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return localTime(t)
}

func newKeyDistrust(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "distrust ISSUER",
		Short: "Stop accepting the tokens of an issuer",
		Long: `Removes an issuer that 'velonym key trust' added. Servers refuse its tokens within a
second, including tokens in use.`,
		Example: `  velonym key distrust north`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := g.recorded(ctx, ks, audit.Record{Op: "distrust"}, func(*keyAct) error { return ks.DistrustIssuer(ctx, args[0]) }); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "issuer %s is no longer trusted\n", printable(args[0]))
			return nil
		},
	}
}
