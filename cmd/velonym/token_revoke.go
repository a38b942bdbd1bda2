package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// revocation are the flags of `velonym token revoke`.
type revocation struct {
	tokenFile, project, issuer, before string
	unlisted, yes                      bool
}

func newTokenRevoke(g *globals) *cobra.Command {
	var f revocation
	cmd := &cobra.Command{
		Use:   "revoke JTI … | --token-file FILE | --project NAME | --issuer NAME | --before TIME",
		Short: "Refuse tokens from now on, in every process",
		Long: `Refuses tokens from now on and for good: in running servers and runs within a second.

A token is named by its jti, which 'velonym token list', 'velonym token inspect' and
'velonym token create' say, or given with --token-file. A jti that is not on the list
is unknown here, and nothing is revoked: a token of another issuer, or of before there
was a list, is revoked by its jti all the same with --unlisted, or by its file.

--project, --issuer and --before refuse all tokens that they describe together, listed
or not, of every issuer unless one is named: those that were issued before TIME, which
is now unless --before says otherwise. Tokens that are issued from the next second on
are good. Without --project that wants --yes. An issuer that this keystore does not
trust, because only servers do (--jwks, --hs256), wants --unlisted.`,
		Example: `  velonym token revoke 0f6b1d2c9e4a48d7a1b25c3d4e5f6071
  velonym token revoke --token-file leaked.token
  velonym token revoke --project register
  velonym token revoke --project register --before 2026-11-01
  velonym token revoke --issuer https://login.example --yes`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, jtis []string) error {
			rule := f.project != "" || f.issuer != "" || f.before != ""
			switch {
			case len(jtis) == 0 && f.tokenFile == "" && !rule:
				return usagef("token revoke: name tokens by their jti, or give --token-file, --project, --issuer or --before")
			case rule && (len(jtis) > 0 || f.tokenFile != "" || f.unlisted && f.issuer == ""), len(jtis) > 0 && f.tokenFile != "":
				return usagef("token revoke: give jti, or --token-file, or some of --project, --issuer and --before")
			case rule && f.project == "" && !f.yes:
				return usagef("token revoke: that would refuse tokens of all projects: nothing was changed: say --yes if it is meant")
			}
			for _, jti := range jtis {
				switch {
				case jti == "":
					return usagef("token revoke: the jti is empty")
				case strings.Count(jti, ".") == 2 && strings.HasPrefix(jti, "ey"):
					return usagef("token revoke: that is a whole token, which process lists now show: give its jti, see 'velonym token inspect'")
				case len(jti) > 256:
					return usagef("token revoke: a jti has 256 bytes at most: see 'velonym token inspect'")
				}
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			return g.recorded(cmd.Context(), ks, audit.Record{Op: "revoke", Project: f.project}, func(a *keyAct) error {
				switch {
				case rule:
					return f.byRule(cmd, ks)
				case f.tokenFile != "":
					return f.byFile(cmd, ks, a)
				}
				return f.byJTI(cmd, ks, a, jtis)
			})
		},
	}
	fl := cmd.Flags()
	checkedVar(fl, &f.tokenFile, "token-file", "", "FILE", "the token itself (- for standard input)", notEmpty)
	checkedVar(fl, &f.project, "project", "", "NAME", "all tokens for this project, or with it as their source", notEmpty)
	checkedVar(fl, &f.issuer, "issuer", "", "NAME", "all tokens of this issuer (their iss)", notEmpty)
	checkedVar(fl, &f.before, "before", "", "TIME", "tokens issued before it: a day as 2026-11-01 (its beginning), or 2026-11-01T09:30:00Z (default: now)", checkPast)
	fl.BoolVar(&f.unlisted, "unlisted", false, "revoke a jti that is not on the list, for good, or the tokens of an issuer that only servers trust")
	fl.BoolVar(&f.yes, "yes", false, "tokens of all projects are meant")
	return cmd
}

// parseMoment parses a time, or a day, which stands for its first moment in local time.
func parseMoment(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, s, time.Local)
	if err != nil {
		return t, errors.New("write a day as 2026-11-01, or a time as 2026-11-01T09:30:00Z")
	}
	return t, nil
}

func checkPast(s string) error {
	t, err := parseMoment(s)
	if err == nil && t.After(time.Now()) {
		err = errors.New("that is in the future: tokens that are not issued yet cannot be revoked")
	}
	return err
}

// byRule revokes all tokens of a project, an issuer or a time.
func (f *revocation) byRule(cmd *cobra.Command, ks *keys.Keystore) error {
	ctx := cmd.Context()
	rule := keys.RevocationRule{Issuer: f.issuer, Project: f.project}
	if f.before != "" {
		var err error
		if rule.Before, err = parseMoment(f.before); err != nil {
			return usagef("--before: %w", err)
		}
	}
	if f.project != "" {
		if _, err := ks.Project(ctx, f.project); err != nil {
			return err
		}
	}
	if f.issuer != "" && !f.unlisted {
		if err := f.knownIssuer(ctx, ks); err != nil {
			return err
		}
	}
	before, err := ks.RevokeBefore(ctx, rule)
	if err != nil {
		return err
	}
	listed, err := ks.IssuedTokens(ctx, keys.TokenFilter{Project: f.project, Issuer: f.issuer, After: time.Now()})
	if err != nil {
		return fmt.Errorf("revoked; but how many tokens that are cannot be said: %w", err)
	}
	n := 0
	for _, t := range listed {
		if t.Issued.Before(before) {
			n++
		}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "revoked: all tokens that were issued before %s, %d on the list among them\n", localTime(before), n)
	return nil
}

// knownIssuer returns an error if the keystore neither trusts the issuer nor has a token
// of it on the list: its name may be mistyped.
func (f *revocation) knownIssuer(ctx context.Context, ks *keys.Keystore) error {
	own, err := ks.Issuer(ctx)
	if err != nil || own.Name == f.issuer {
		return err
	}
	trusted, err := ks.TrustedIssuers(ctx)
	if err != nil || slices.ContainsFunc(trusted, func(t keys.TrustedIssuer) bool { return t.Name == f.issuer }) {
		return err
	}
	listed, err := ks.IssuedTokens(ctx, keys.TokenFilter{Issuer: f.issuer, Limit: 1})
	if err != nil || len(listed) > 0 {
		return err
	}
	return fmt.Errorf("token revoke: unknown issuer: %s: this keystore is not, and does not trust, an issuer of that name ('velonym key trust' lists those it trusts), and nothing was revoked: is it typed right? One that only servers trust, by --jwks or --hs256, is revoked with --unlisted", printable(f.issuer))
}

// byFile revokes the token in a file.
func (f *revocation) byFile(cmd *cobra.Command, ks *keys.Keystore, a *keyAct) error {
	raw, err := readToken(f.tokenFile, cmd.InOrStdin())
	if err != nil {
		return err
	}
	decoded, err := token.Decode(raw)
	if err != nil {
		return err
	}
	if decoded.Read == nil {
		return fmt.Errorf("token revoke: no verifier would accept this token, so nothing was revoked: %s", decoded.Problem.Detail)
	}
	jti := decoded.Read.ID
	t, err := ks.IssuedToken(cmd.Context(), jti)
	switch {
	case err == nil:
		return revokeListed(cmd, ks, a, t)
	case !errors.Is(err, keys.ErrNotFound):
		return err
	}
	// The claim exp is not verified, so the revocation never ends.
	if err := ks.Revoke(cmd.Context(), jti, time.Time{}); err != nil {
		return err
	}
	if err := a.note(audit.Record{JTI: jti}); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "revoked %s, which was not issued here, for good\n", printable(jti))
	return nil
}

// byJTI revokes tokens by jti, and none of them if one is unknown.
func (f *revocation) byJTI(cmd *cobra.Command, ks *keys.Keystore, a *keyAct, jtis []string) error {
	var listed []keys.TokenStatus
	var unlisted []string
	for _, jti := range jtis {
		t, err := ks.IssuedToken(cmd.Context(), jti)
		switch {
		case err == nil:
			listed = append(listed, t)
		case errors.Is(err, keys.ErrNotFound):
			unlisted = append(unlisted, jti)
		default:
			return err
		}
	}
	if len(unlisted) > 0 && !f.unlisted {
		return fmt.Errorf("token revoke: unknown jti: %s: no token of it is on the list ('velonym token list'), and nothing was revoked: is it typed right? A token of another issuer, or of before there was a list, is revoked with --unlisted", printable(strings.Join(unlisted, ", ")))
	}
	list := make([]keys.Revocation, 0, len(jtis))
	for _, t := range listed {
		list = append(list, keys.Revocation{JTI: t.JTI, Expires: t.Expires})
	}
	for _, jti := range unlisted {
		list = append(list, keys.Revocation{JTI: jti})
	}
	if err := ks.RevokeTokens(cmd.Context(), list...); err != nil {
		return err
	}
	for _, t := range listed {
		if err := a.note(audit.Record{JTI: t.JTI, Project: t.Project, Org: t.Org}); err != nil {
			return err
		}
	}
	for _, jti := range unlisted {
		if err := a.note(audit.Record{JTI: jti}); err != nil {
			return err
		}
	}
	for _, t := range listed {
		printRevoked(cmd, t)
	}
	for _, jti := range unlisted {
		fmt.Fprintf(cmd.ErrOrStderr(), "revoked %s, which is not on the list, for good\n", printable(jti))
	}
	return nil
}

func revokeListed(cmd *cobra.Command, ks *keys.Keystore, a *keyAct, t keys.TokenStatus) error {
	if err := ks.Revoke(cmd.Context(), t.JTI, t.Expires); err != nil {
		return err
	}
	if err := a.note(audit.Record{JTI: t.JTI, Project: t.Project, Org: t.Org}); err != nil {
		return err
	}
	printRevoked(cmd, t)
	return nil
}

func printRevoked(cmd *cobra.Command, t keys.TokenStatus) {
	again := ""
	if t.Revoked {
		again = ", which was revoked already"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "revoked %s: %s for %s, until %s%s\n", printable(t.JTI), t.Op, printable(t.Project), localTime(t.Expires), again)
}
