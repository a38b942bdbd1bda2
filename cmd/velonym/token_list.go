package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
)

// tokenJSON is a token in `token list --json`.
type tokenJSON struct {
	JTI       string    `json:"jti"`
	Issuer    string    `json:"issuer"`
	KeyID     string    `json:"kid"` // of the key that signed it
	Op        string    `json:"op"`
	Project   string    `json:"project"`
	Org       string    `json:"org"`
	Source    string    `json:"source,omitempty"`
	SourceOrg string    `json:"source_org,omitempty"`
	Issued    time.Time `json:"issued"`
	Expires   time.Time `json:"expires"`
	Max       *int64    `json:"max"`  // null: no limit
	Left      *int64    `json:"left"` // of max; null: no limit
	State     string    `json:"state"`
}

// States of a listed token.
const (
	tokenGood    = "good"
	tokenRevoked = "revoked"
	tokenExpired = "expired"
	tokenEnded   = "project ended"
)

// tokenStates decides the state of listed tokens at one time.
type tokenStates struct {
	now   time.Time
	ended map[string]bool // the projects that are severed or at their end
}

// newTokenStates reads the projects of the listed tokens.
func newTokenStates(ctx context.Context, ks *keys.Keystore, list []keys.TokenStatus, now time.Time) (tokenStates, error) {
	s := tokenStates{now: now, ended: map[string]bool{}}
	for _, t := range list {
		for _, name := range []string{t.Project, t.Source} {
			if _, known := s.ended[name]; known || name == "" {
				continue
			}
			p, err := ks.Project(ctx, name)
			if err != nil && !errors.Is(err, keys.ErrNotFound) {
				return s, err
			}
			s.ended[name] = err != nil || p.State(now) != keys.StateActive
		}
	}
	return s, nil
}

func (s tokenStates) of(t keys.TokenStatus) string {
	switch {
	case t.Revoked:
		return tokenRevoked
	case !s.now.Before(t.Expires):
		return tokenExpired
	case s.ended[t.Project] || s.ended[t.Source]:
		return tokenEnded
	}
	return tokenGood
}

func newTokenList(g *globals) *cobra.Command {
	var project, op, expiring string
	var limit int64
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The tokens that this keystore's issuer signed and that have not ended",
		Long: `Lists the tokens that were issued here, those that end first on top: jti, project,
operation, when they end, and how many values are left of --max. Values that servers
have leased and not given back yet count as spent. Tokens of other issuers are not
known here, nor those made before velonym kept a list. With --json it writes an array
of objects: jti, issuer, kid, op, project, org, source, source_org, issued, expires,
max and left (null without a limit), and state: good, revoked, expired or
project ended.`,
		Example: `  velonym token list
  velonym token list --project register --op reverse
  velonym token list --expiring 30d --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			filter := keys.TokenFilter{Project: project, Op: op, Limit: int(limit), After: now}
			if all {
				filter.After = time.Time{}
			}
			if expiring != "" {
				var err error
				if filter.Before, err = parseSpan(expiring, now); err != nil {
					return usagef("--expiring: %w", err)
				}
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			if project != "" {
				if _, err := ks.Project(cmd.Context(), project); err != nil {
					return err
				}
			}
			list, bad := ks.IssuedTokens(cmd.Context(), filter)
			if list == nil && bad != nil {
				return bad
			}
			s, err := newTokenStates(cmd.Context(), ks, list, now)
			if err != nil {
				return err
			}
			if asJSON {
				err = printTokens(cmd.OutOrStdout(), list, s)
			} else {
				err = tabulateTokens(cmd.OutOrStdout(), list, s)
			}
			if err == nil && limit > 0 && len(list) == int(limit) {
				fmt.Fprintf(cmd.ErrOrStderr(), "the first %d; there may be more\n", limit)
			}
			if bad != nil {
				return bad
			}
			return err
		},
	}
	f := cmd.Flags()
	checkedVar(f, &project, "project", "", "NAME", "only tokens for this project, or with it as their source", notEmpty)
	checkedVar(f, &op, "op", "", "OP", "only tokens for pseudonymise, reverse or secondary", oneOf("pseudonymise", "reverse", "secondary"))
	checkedVar(f, &expiring, "expiring", "", "SPAN", "only tokens that end within this time: 30d, 24h, 2031-01-31", checkAhead)
	f.Var(&numberFlag{p: &limit, min: 1, max: 1 << 30, hint: "; without the flag all are listed"}, "limit", "the first so many (default: all)")
	f.BoolVar(&all, "all", false, "also those that ended, for the minutes that they are kept")
	f.BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func printTokens(w io.Writer, list []keys.TokenStatus, s tokenStates) error {
	out := make([]tokenJSON, len(list))
	for i, t := range list {
		out[i] = tokenJSON{JTI: t.JTI, Issuer: t.Issuer, KeyID: t.KeyID, Op: t.Op, Project: t.Project, Org: t.Org,
			Source: t.Source, SourceOrg: t.SourceOrg, Issued: t.Issued, Expires: t.Expires, State: s.of(t)}
		if t.Max > 0 {
			left := max(0, t.Max-t.Spent)
			out[i].Max, out[i].Left = &t.Max, &left
		}
	}
	return printJSON(w, out)
}

func tabulateTokens(out io.Writer, list []keys.TokenStatus, s tokenStates) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "JTI\tPROJECT\tORG\tOP\tEXPIRES\tVALUES LEFT\tSTATE")
	for _, t := range list {
		left, project := "-", printable(t.Project)
		if t.Max > 0 {
			left = strconv.FormatInt(max(0, t.Max-t.Spent), 10) + " of " + strconv.FormatInt(t.Max, 10)
		}
		if t.Source != "" {
			project += " from " + printable(t.Source)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", printable(t.JTI), project, orDash(printable(t.Org)), t.Op, localTime(t.Expires), left, s.of(t))
	}
	return w.Flush()
}
