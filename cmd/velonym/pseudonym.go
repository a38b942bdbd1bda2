package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
)

func newPseudonym(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pseudonym",
		Short:   "Inspect pseudonyms without reversing them",
		Example: `  velonym pseudonym inspect --project register pseudonyms.txt`,
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	cmd.AddCommand(newPseudonymInspect(g))
	return cmd
}

func newPseudonymInspect(g *globals) *cobra.Command {
	var r token.LocalRequest
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect --project NAME [FILE]",
		Short: "Report form, key generation and tag of pseudonyms; reverses nothing",
		Long: `Reads one pseudonym per line from FILE or standard input and reports for each line:
whether the project can have made it, its form, its key generation, the state of that
generation (a destroyed one cannot be reversed), and whether its tag is correct. It
neither shows nor reverses values. The exit status is 1 if a pseudonym is malformed or
has a wrong tag.

Without a tag only the padding reveals a foreign pseudonym; the forms digits and fpe
have neither. POST /api/validate reports the same over HTTP.`,
		Example: `  velonym pseudonym inspect --project register pseudonyms.txt
  velonym pseudonym inspect --project register --org north --json < pseudonyms.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.Project == "" {
				return usagef("pseudonym inspect: name the project with --project")
			}
			in := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("pseudonym inspect: %w: values are read from a file, a line each, and are no arguments, which others can see", err)
				}
				defer f.Close()
				in = f
			}
			return inspectPseudonyms(g, cmd, r, in, asJSON)
		},
	}
	cmd.Flags().StringVar(&r.Project, "project", "", "the project that made the pseudonyms")
	cmd.Flags().StringVar(&r.Org, "org", "", "its organisation")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line")
	return cmd
}

// findingJSON is a line of `pseudonym inspect --json`.
type findingJSON struct {
	Line       int             `json:"line"`
	WellFormed bool            `json:"well_formed"`
	Form       *spec.Form      `json:"form"`
	Generation *int            `json:"generation"`
	State      *suite.GenState `json:"state"`
	Tag        *suite.TagState `json:"tag"`
}

// inspectPseudonyms inspects the lines of in and skips empty ones, which are missing
// values.
func inspectPseudonyms(g *globals, cmd *cobra.Command, r token.LocalRequest, in io.Reader, asJSON bool) error {
	ctx := cmd.Context()
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return err
	}
	defer ks.Close()
	v, err := newVerifier(ctx, ks, verifierFlags{maxStale: time.Hour})
	if err != nil {
		return err
	}
	defer v.Close()
	grant, err := v.Local(ctx, r)
	if err != nil {
		return refusal(err)
	}
	defer grant.Release()
	inspector, err := grant.Plan.Inspector()
	if err != nil {
		return err
	}
	defer inspector.Close()
	out := bufio.NewWriter(cmd.OutOrStdout())
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(table, "LINE\tWELL FORMED\tFORM\tGENERATION\tSTATE\tTAG")
	}
	lines := json.NewEncoder(out)
	input := bufio.NewScanner(in)
	input.Buffer(nil, 1<<20)
	bad, n := 0, 0
	for input.Scan() {
		n++
		x := bytes.TrimRight(input.Bytes(), " \t\r")
		if len(x) == 0 {
			continue
		}
		f := inspector.Inspect(x)
		if !f.WellFormed || f.Tag == suite.TagWrong {
			bad++
		}
		if asJSON {
			if err := lines.Encode(lineFinding(n, f)); err != nil {
				return err
			}
			continue
		}
		if !f.WellFormed {
			fmt.Fprintf(table, "%d\tno\t-\t-\t-\t-\n", n)
			continue
		}
		gen := "-"
		if f.Generation >= 0 {
			gen = strconv.Itoa(f.Generation)
		}
		fmt.Fprintf(table, "%d\tyes\t%s\t%s\t%s\t%s\n", n, f.Form, gen, cmp.Or(f.State, "-"), f.Tag)
	}
	if input.Err() != nil {
		return fmt.Errorf("pseudonym inspect: line %d: longer than 1 MiB, or it cannot be read: %w", n+1, input.Err())
	}
	if err := errors.Join(table.Flush(), out.Flush()); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("pseudonym inspect: %d of %d lines hold no pseudonym of this project, or one with a wrong tag", bad, n)
	}
	return nil
}

// lineFinding converts a finding to JSON.
func lineFinding(line int, f suite.Finding) findingJSON {
	j := findingJSON{Line: line, WellFormed: f.WellFormed}
	if !f.WellFormed {
		return j
	}
	j.Form, j.Tag = &f.Form, &f.Tag
	if f.Generation >= 0 {
		j.Generation, j.State = &f.Generation, &f.State
	}
	return j
}
