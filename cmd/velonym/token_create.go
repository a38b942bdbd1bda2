package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine"
	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

func newTokenCreate(g *globals) *cobra.Command {
	var r token.Request
	var ttl, normSteps string
	var gen int64
	cmd := &cobra.Command{
		Use:   "create --project NAME --op pseudonymise|reverse|secondary",
		Short: "Sign a token for a project; it is printed alone on standard output",
		Long: `Signs a token with the keystore's own issuer. It carries the project's method, policy
and tag, and what the flags say; never a key. The token alone goes to standard
output, its jti and its end to standard error.` + normHelp,
		Example: `  velonym token create --project register --op pseudonymise > token
  velonym token create --project trial --org north --op reverse --ttl 8h --max 10000 > back.token
  velonym token create --project trial --org north --op secondary --source register > move.token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkRequest(&r); err != nil {
				return err
			}
			now := time.Now().Truncate(time.Second) // claims have whole seconds
			r.Now = now
			var until time.Time
			if ttl != "" {
				var err error
				if until, err = parseSpan(ttl, now); err != nil {
					return usagef("--ttl: %w", err)
				}
				r.TTL = until.Sub(now)
			}
			if normSteps != "" {
				r.Norm = splitNorm(normSteps)
			}
			if cmd.Flags().Changed("gen") {
				n := int(gen)
				r.Gen = &n
			}
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := checkAgainstStore(cmd.Context(), ks, r); err != nil {
				return err
			}
			signed, claims, err := g.issue(cmd.Context(), ks, r)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), signed); err != nil {
				return err
			}
			cut := ""
			if !until.IsZero() && claims.Expires.Before(until.Add(-time.Second)) {
				cut = ", with the retention, sooner than --ttl says"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "token %s for %s, expires %s%s\n", claims.ID, claims.PSN.Op, localTime(claims.Expires), cut)
			return nil
		},
	}
	f := cmd.Flags()
	checkedVar(f, &r.Project, "project", "", "NAME", "project whose key domain the token is for", notEmpty)
	checkedVar(f, &r.Org, "org", "", "ORG", "organisation of the project, where it has some", orgName)
	checkedVar(f, &r.Op, "op", "", "OP", "pseudonymise, reverse or secondary", oneOf(spec.Ops()...))
	checkedVar(f, &r.Source, "source", "", "NAME", "secondary: the project that made the pseudonyms", notEmpty)
	checkedVar(f, &r.SourceOrg, "source-org", "", "ORG", "secondary: its organisation, where it has some", orgName)
	checkedVar(f, &ttl, "ttl", "", "SPAN", "time to live: 30min, 24h, 90d, 6mo, 1y, 2031-01-31 (default: until the project's retention ends, 90 days without one)", checkLife)
	formVar(f, &r.Form, "", "shape of a pseudonym: pair62, hex, b64u, b32, uuid, digits or fpe:ALPHABET (default: the project's)")
	checkedVar(f, &normSteps, "norm", "", "STEPS", "before the transform, in order, with commas between: trim, nfc, upper, lower, digits (default: none)", checkNorm)
	checkedVar(f, &r.Err, "on-error", token.ErrStrict, "HOW", "strict: one bad value refuses the whole request; item: null in its place", oneOf(token.ErrStrict, token.ErrItem))
	f.Var(&numberFlag{p: &gen, max: keys.MaxGenerations - 1, hint: "; without the flag it is the active one"}, "gen", "key generation, 0 to 11 (default: the active one)")
	limitVar(f, &r.Limits.Max, "max", "values in the token's life, over all servers (default: no limit)")
	limitVar(f, &r.Limits.Rate, "rate", "values a second (default: no limit)")
	limitVar(f, &r.Limits.Req, "req", "values a request (default: no limit)")
	return cmd
}

// issue signs a token and writes the act's audit record.
func (g *globals) issue(ctx context.Context, ks *keys.Keystore, r token.Request) (signed string, claims *token.Claims, err error) {
	issuer, err := builtInIssuer(ctx, ks)
	if err != nil {
		return "", nil, err
	}
	defer issuer.Close()
	err = g.recorded(ctx, ks, audit.Record{Op: "issue", Project: r.Project, Org: r.Org, Source: r.Source, SrcOrg: r.SourceOrg}, func(a *keyAct) (err error) {
		signed, claims, err = issuer.Create(ctx, ks, r)
		if errors.Is(err, token.ErrNotListed) {
			g.warn(strings.TrimPrefix(err.Error(), "token: "))
		} else if err != nil {
			return err
		}
		issued := engine.Record(claims)
		issued.Op = ""
		return a.note(issued)
	})
	return signed, claims, err
}

// checkLife judges a token's time to live.
func checkLife(s string) error {
	if err := checkAhead(s); err != nil {
		return err
	}
	now := time.Now()
	if until, _ := parseSpan(s, now); until.After(now.AddDate(250, 0, 0)) {
		return errors.New("a token lives for 250 years at most")
	}
	return nil
}

// checkRequest checks the combination of flags, without the keystore.
func checkRequest(r *token.Request) error {
	switch {
	case r.Project == "" || r.Op == "":
		return usagef("token create: name the project with --project and what the token allows with --op")
	case r.Op == spec.Secondary && r.Source == "":
		return usagef("token create: --op secondary needs --source, the project that made the pseudonyms")
	case r.Op != spec.Secondary && (r.Source != "" || r.SourceOrg != ""):
		return usagef("token create: --source and --source-org go with --op secondary")
	}
	return nil
}

// checkAgainstStore checks a request against the projects that it names; its errors list
// what exists instead. The issuer, and the verifier at every use, check again.
func checkAgainstStore(ctx context.Context, ks *keys.Keystore, r token.Request) error {
	p, err := usableProject(ctx, ks, r.Project, r.Org)
	if err != nil {
		return err
	}
	if r.Op == spec.Reverse && p.Method != spec.Reversible {
		return fmt.Errorf("token create: project %s is irreversible: nothing leads back to its values", p.Name)
	}
	if r.Form != "" {
		if err := checkCombination(p.Method, p.Policy, r.Form, p.Tag); err != nil {
			return fmt.Errorf("token create: --form %s does not go with project %s (%s, policy %s, tag %d): %w", r.Form, p.Name, p.Method, p.Policy, p.Tag, err)
		}
	}
	if r.Op == spec.Secondary {
		src, err := usableProject(ctx, ks, r.Source, r.SourceOrg)
		if err != nil {
			return err
		}
		if src.Method != spec.Reversible {
			return fmt.Errorf("token create: source project %s is irreversible: nothing leads back to its values", src.Name)
		}
	}
	if r.Gen == nil {
		return nil
	}
	gens, err := ks.Generations(ctx, r.Project)
	if err != nil {
		return err
	}
	var usable []string
	for _, g := range gens[r.Org] {
		switch {
		case g.Gen == *r.Gen && (g.State == keys.Active || g.State == keys.Deactivated && r.Op == spec.Reverse):
			return nil
		case g.State == keys.Active:
			usable = append(usable, fmt.Sprintf("%d (active)", g.Gen))
		case g.State == keys.Deactivated:
			usable = append(usable, fmt.Sprintf("%d (only reverses)", g.Gen))
		}
	}
	return fmt.Errorf("token create: --gen %d: project %s has no such generation for %s: those there are: %s", *r.Gen, p.Name, r.Op, strings.Join(usable, ", "))
}

// usableProject returns a project that lists the organisation and is not severed. Its errors
// list what exists instead.
func usableProject(ctx context.Context, ks *keys.Keystore, name, org string) (keys.Project, error) {
	p, err := ks.Project(ctx, name)
	switch {
	case errors.Is(err, keys.ErrNotFound):
		return p, fmt.Errorf("token create: no such project: %q: 'velonym project list' lists those there are", name)
	case err != nil:
		return p, err
	case p.Severed:
		return p, fmt.Errorf("token create: the keys of project %s are destroyed: nothing can be made or reversed with it any more", name)
	case slices.Contains(p.Orgs, org):
		return p, nil
	case len(p.Orgs) == 1 && p.Orgs[0] == "":
		return p, fmt.Errorf("token create: project %s has no organisations: leave %q away", name, org)
	case org == "":
		return p, fmt.Errorf("token create: project %s has organisations: name one of them: %s", name, strings.Join(p.Orgs, ", "))
	}
	return p, fmt.Errorf("token create: project %s has no organisation %q: those there are: %s", name, org, strings.Join(p.Orgs, ", "))
}
