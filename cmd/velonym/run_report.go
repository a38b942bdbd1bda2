package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine"
	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/simd"
)

// outcome returns the outcome of a run for the audit log: OK, the code of the token's
// refusal, or FAILED.
func outcome(err error) string {
	var refused *token.Error
	switch {
	case err == nil:
		return "OK"
	case errors.As(err, &refused):
		return refused.Code
	}
	return "FAILED"
}

// recordRefused records a run whose token was refused before it began. It does not
// record other failures, since such a run has done nothing.
func (f *runFlags) recordRefused(log *audit.Log, err error) error {
	var refused *token.Error
	if !errors.As(err, &refused) {
		return nil
	}
	var r audit.Record
	if f.local.Project != "" { // the claims of a refused token are not authenticated
		r = engine.Record(&token.Claims{PSN: f.localClaims()})
	}
	r.Kind, r.Request, r.Outcome, r.Sync = "run", token.NewID(), refused.Code, true
	return log.Append(r)
}

// begun is the outcome of the records that a run begins with.
const begun = "BEGUN"

// recordBegun records the grants before anything is transformed, because a run that is
// killed leaves pseudonyms in its temporary file.
func recordBegun(log *audit.Log, id string, grants []*token.Grant) error {
	return record(log, id, grants, bulk.Summary{}, begun)
}

// record writes one audit record per grant of a run. id joins the records of the run.
func record(log *audit.Log, id string, grants []*token.Grant, sum bulk.Summary, outcome string) error {
	for i, g := range grants {
		r := engine.Record(g.Claims)
		r.Head = outcome != begun && i == len(grants)-1 // the run's last record: its sync is the head's too
		r.Kind, r.Request, r.Outcome, r.Sync = "run", id, outcome, true
		r.Values, r.Empty, r.Bad = sum.Values+sum.Empty+sum.Errors, sum.Empty, sum.Errors
		if err := log.Append(r); err != nil {
			return err
		}
	}
	return nil
}

// report runs the job with progress and a summary on w. If record is not nil, report
// calls it once with the outcome; for a successful run that is before the output gets
// its name, so that no output exists without its record.
func (f *runFlags) report(w io.Writer, cmd *cobra.Command, record func(bulk.Summary, error) error) error {
	j := f.job
	j.Stdin, j.Stdout = cmd.InOrStdin(), cmd.OutOrStdout()
	bar := newProgress(w, f.quiet || f.asJSON)
	j.Progress = bar.show
	j.Warn = func(warning error) { fmt.Fprintf(w, "velonym: %s\n", runErrorText(warning)) }
	recorded := false
	if record != nil {
		j.BeforeNaming = func(sum bulk.Summary) error {
			recorded = true
			return record(sum, nil)
		}
	}
	sum, err := bulk.Run(cmd.Context(), j)
	err = wordRunError(err)
	bar.done()
	if record != nil && (err != nil || !recorded) {
		err = errors.Join(err, record(sum, err))
	}
	if errors.Is(err, bulk.ErrUsage) {
		return usageError{err}
	}
	if f.asJSON {
		return errors.Join(err, dryRunError(j, sum, err), json.NewEncoder(w).Encode(struct {
			bulk.Summary
			Outcome string `json:"outcome"`
			Kernel  string `json:"kernel"`
		}{sum, outcome(err), simd.Kernel()}))
	}
	for _, e := range sum.Failures {
		fmt.Fprintf(w, "%s: line %d, column %q: %s\n", e.File, e.Line, e.Column, e.Code)
	}
	for _, c := range sum.Columns {
		if err == nil && !f.quiet && c.Type != "" {
			fmt.Fprintf(w, "column %q %s\n", c.Name, c.Type)
		}
		if err == nil && !f.quiet && c.Missing+c.Null+c.Other > 0 {
			fmt.Fprintf(w, "column %q: %d rows do not have it, %d null, %d of another shape left as they are\n", c.Name, c.Missing, c.Null, c.Other)
		}
	}
	if err == nil && !f.quiet {
		fmt.Fprintf(w, "%d rows, %d values replaced (about %d different), %d empty, %d not transformed%s, %.2f s, %.0f MB/s, kernel %s\n",
			sum.Rows, sum.Values, sum.Distinct, sum.Empty, sum.Errors, rejectedRows(sum), sum.Seconds, float64(sum.BytesIn)/1e6/max(sum.Seconds, 1e-9), simd.Kernel())
	}
	return errors.Join(err, dryRunError(j, sum, err))
}

// rejectedRows returns the part of the summary about rejected rows and repeated headers;
// empty if there were none.
func rejectedRows(sum bulk.Summary) string {
	s := ""
	if sum.Rejected > 0 {
		s += fmt.Sprintf(", %d rows kept out", sum.Rejected)
	}
	if sum.RepeatedHeaders > 0 {
		s += fmt.Sprintf(", %d repeated headers passed", sum.RepeatedHeaders)
	}
	return s
}

// dryRunError returns an error if a dry run found values that cannot be transformed.
func dryRunError(j bulk.Job, sum bulk.Summary, err error) error {
	if err != nil || !j.DryRun || sum.Errors == 0 {
		return nil
	}
	return fmt.Errorf("dry run: %d of the values cannot be transformed", sum.Errors)
}
