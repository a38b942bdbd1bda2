package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/velonym/velonym/engine/audit"
)

// auditFilter holds the flags that select records.
type auditFilter struct {
	audit.Filter
	since, until string
}

func (f *auditFilter) add(fl *pflag.FlagSet) {
	checkedVar(fl, &f.since, "since", "", "TIME", "records of this time or later: 2026-11-01, 2026-11-01T09:30:00Z, or 24h for as long ago", func(s string) error { _, err := parseSince(s, time.Now()); return err })
	checkedVar(fl, &f.until, "until", "", "TIME", "records before this time", func(s string) error { _, err := parseSince(s, time.Now()); return err })
}

// times parses --since and --until.
func (f *auditFilter) times(now time.Time) (err error) {
	if f.since != "" {
		if f.Since, err = parseSince(f.since, now); err != nil {
			return usagef("--since: %w", err)
		}
	}
	if f.until != "" {
		if f.Until, err = parseSince(f.until, now); err != nil {
			return usagef("--until: %w", err)
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return usagef("--since: that is not before --until")
	}
	return nil
}

// parseSince parses a moment, or a span, which stands for that long ago.
func parseSince(s string, now time.Time) (time.Time, error) {
	if t, err := parseMoment(s); err == nil {
		return t, nil
	}
	t, err := parseSpan(s, now)
	if err != nil {
		return t, errors.New("write a day as 2026-11-01, a time as 2026-11-01T09:30:00Z, or a span as 24h or 30d")
	}
	return now.Add(-t.Sub(now)), nil
}

// auditFiles returns the files given, or those of DIR/audit.jsonl.
func (g *globals) auditFiles(files []string) ([]string, error) {
	if len(files) > 0 {
		return files, nil
	}
	path, err := g.inFolder("audit.jsonl")
	if err != nil {
		return nil, err
	}
	return audit.Files(path)
}

func newAuditQuery(g *globals) *cobra.Command {
	var f auditFilter
	var asJSON bool
	var last int64
	cmd := &cobra.Command{
		Use:   "query [FILE …]",
		Short: "Records by project, token, operation and time, as a table or as JSON lines",
		Long: `Lists the records that all of the flags select, oldest first, from DIR/audit.jsonl and
the files that it was rotated into, or from the files named. Requests, runs ("request",
"run") and acts on keys and tokens ("key": init, create, rotate, shorten, sever, sweep,
issue, revoke, backup, restore and others) stand in one log. Records are told changed
ones apart; whether any are missing says 'velonym audit verify'.`,
		Example: `  velonym audit query --project register --since 30d
  velonym audit query --kind key --json
  velonym audit query --jti 0f6b1d2c9e4a48d7a1b25c3d4e5f6071 --last 20`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := f.times(time.Now()); err != nil {
				return err
			}
			files, err := g.auditFiles(files)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
			show, finish := jsonEntries(out), out.Flush
			if !asJSON {
				t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
				show, finish = tableEntries(t), func() error { return errors.Join(t.Flush(), out.Flush()) }
			}
			if last > 0 {
				show, finish = lastEntries(int(last), show, finish)
			}
			found := false
			err = errors.Join(audit.Query(f.Filter, func(e *audit.Entry) error { found = true; return show(e) }, files...), finish())
			if err == nil && !found {
				fmt.Fprintln(cmd.ErrOrStderr(), "no record is selected")
			}
			return err
		},
	}
	fl := cmd.Flags()
	checkedVar(fl, &f.Project, "project", "", "NAME", "records of this project, as target or source", notEmpty)
	checkedVar(fl, &f.JTI, "jti", "", "JTI", "records of this token", notEmpty)
	checkedVar(fl, &f.Op, "op", "", "OP", "pseudonymise, reverse, secondary, sever and others", notEmpty)
	checkedVar(fl, &f.Kind, "kind", "", "KIND", "request, run or key", notEmpty)
	checkedVar(fl, &f.Outcome, "outcome", "", "CODE", "OK, BEGUN or an error code", notEmpty)
	checkedVar(fl, &f.Request, "request", "", "ID", "records of one request or run", notEmpty)
	f.add(fl)
	limitVar(fl, &last, "last", "only the last so many (default: all)")
	fl.BoolVar(&asJSON, "json", false, "a JSON object a line")
	return cmd
}

func jsonEntries(w io.Writer) func(*audit.Entry) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return func(r *audit.Entry) error { return e.Encode(r) }
}

// alignRows is the number of rows whose columns are aligned together, in memory.
const alignRows = 1000

func tableEntries(w *tabwriter.Writer) func(*audit.Entry) error {
	rows := 0
	head := "SEQ\tTIME\tKIND\tOP\tPROJECT\tVALUES\tOUTCOME\tTOKEN\n"
	return func(r *audit.Entry) error {
		project := printable(r.Project)
		if r.Org != "" {
			project += "/" + printable(r.Org)
		}
		outcome := cmp.Or(r.Outcome, "-")
		if r.Lost > 0 {
			outcome = strconv.FormatInt(r.Lost, 10) + " records lost"
		}
		_, err := fmt.Fprintf(w, "%s%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", head, r.Seq, r.Time.UTC().Format(time.RFC3339), r.Kind,
			cmp.Or(r.Op, "-"), cmp.Or(project, "-"), r.Values, outcome, cmp.Or(printable(r.JTI), "-"))
		head = ""
		if rows++; err == nil && rows%alignRows == 0 {
			err = w.Flush()
		}
		return err
	}
}

// lastEntries wraps show and finish so that only the last n entries are shown.
func lastEntries(n int, show func(*audit.Entry) error, finish func() error) (func(*audit.Entry) error, func() error) {
	kept := make([]audit.Entry, 0, min(n, 1024))
	at := 0
	return func(e *audit.Entry) error {
			if len(kept) < n {
				kept = append(kept, *e)
				return nil
			}
			kept[at] = *e
			at = (at + 1) % n
			return nil
		}, func() error {
			for i := range kept {
				if err := show(&kept[(at+i)%len(kept)]); err != nil {
					return err
				}
			}
			return finish()
		}
}
