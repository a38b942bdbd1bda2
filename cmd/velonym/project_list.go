package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
)

func newProjectList(g *globals) *cobra.Command {
	var asJSON bool
	var f keys.ProjectFilter
	var expiring string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List projects, all or some, in an order",
		Long: `Lists projects by name, including severed ones. --state and --expiring select, --sort
orders, and --limit with --after pages: --after is the last name of the previous page.
Without any of these flags it also verifies the whole keystore. With --json it writes an
array of objects with the members that 'velonym project show --help' describes, without
domains and receipts.`,
		Example: `  velonym project list
  velonym project list --expiring 30d --sort end
  velonym project list --state active --limit 100 --after register --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if expiring != "" {
				by, err := parseSpan(expiring, time.Now())
				if err != nil {
					return usagef("--expiring: %w", err)
				}
				f.EndsBy = by
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			var all []keys.Project
			if f == (keys.ProjectFilter{}) {
				all, err = ks.Projects(cmd.Context())
			} else {
				all, err = ks.ListProjects(cmd.Context(), f)
			}
			if err != nil {
				return err
			}
			if asJSON {
				list := make([]projectJSON, len(all))
				for i, p := range all {
					list[i] = toJSON(p)
				}
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printProjects(cmd.OutOrStdout(), all, time.Now())
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&asJSON, "json", false, "as JSON")
	checkedVar(fl, &f.State, "state", keys.StateAny, "STATE", "only those that are active, ended (used no more, keys not destroyed yet) or severed", oneOf(keys.StateActive, keys.StateEnded, keys.StateSevered))
	checkedVar(fl, &expiring, "expiring", "", "SPAN", "only those whose keys end within that, or have ended: 30d, 6mo, 2031-01-31", checkAhead)
	checkedVar(fl, &f.Sort, "sort", keys.ProjectSort(""), "ORDER", "by name, end (soonest first) or created", oneOf(keys.SortName, keys.SortEnd, keys.SortCreated))
	checkedVar(fl, &f.After, "after", "", "NAME", "go on behind this project in that order", notEmpty)
	fl.IntVar(&f.Limit, "limit", 0, "at most so many projects; 0: all")
	return cmd
}

// printProjects writes projects as a table.
func printProjects(out io.Writer, all []keys.Project, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tMETHOD\tPOLICY\tFORM\tTAG\tORGS\tKEYS UNTIL\tSTATE")
	for _, p := range all {
		until := "-"
		if !p.Retention.IsZero() {
			until = p.Retention.Local().Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", p.Name, p.Method, p.Policy, p.Form, p.Tag, orDash(strings.Join(p.Orgs, " ")), until, stateText(&p, now))
	}
	return w.Flush()
}

// stateText describes a project's state and what happens to it next.
func stateText(p *keys.Project, now time.Time) string {
	state := "active"
	switch p.State(now) {
	case keys.StateSevered:
		state = "severed"
	case keys.StateEnded:
		state = "ended"
		if at := p.DestroyAt(); !at.IsZero() {
			state += ", keys destroyed on " + at.Local().Format(time.DateOnly)
		}
	default:
		if !p.SeverAt.IsZero() {
			state = "severed on " + p.SeverAt.Local().Format(time.DateOnly)
		}
	}
	if p.Imported {
		state += ", secret imported"
	}
	return state
}
