package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/doctor"
)

// doctorFlags are the flags of `velonym doctor`.
type doctorFlags struct {
	audit   string
	outputs []string
	json    bool
}

func newDoctor(g *globals) *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check keystore, audit log and machine, and say what to do",
		Long: `Checks what an operator can act on: who may read keystore, master key and audit log;
whether the keystore opens, its structure, its projects' seals and other files beside
it; this machine's clock against the keystore's; the chain of the audit log and its
signed heads; tombstones and the age of backups; free space; memory for keys; core
dumps; for PostgreSQL the connection and its encryption.

It prints one line per check: ok, warn, fail or skip (could not be checked, and why),
with the remedy for warn and fail. It changes nothing and shows no key. Run it as the
user who runs velonym, with the same flags and environment. The exit status is 1 if a
check fails; warnings do not count.`,
		Example: `  velonym doctor
  velonym doctor --json --output /data/out`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, g) },
	}
	fl := cmd.Flags()
	placeVar(fl, &f.audit, "audit", "FILE", "audit file of the server (default DIR/audit.jsonl; none: no record)")
	fl.StringArrayVar(&f.outputs, "output", []string{"."}, "folder that runs write to (repeatable)")
	fl.BoolVar(&f.json, "json", false, "as JSON: {checks: [{check, status, detail, remedy}], failed, warned, skipped}")
	return cmd
}

// diagnosis is what --json prints.
type diagnosis struct {
	Checks  []doctor.Result `json:"checks"`
	Failed  int             `json:"failed"`
	Warned  int             `json:"warned"`
	Skipped int             `json:"skipped"`
}

func (f *doctorFlags) run(cmd *cobra.Command, g *globals) error {
	t := doctor.Target{Audit: f.audit, Outputs: f.outputs, Dumps: dumps()}
	var err error
	if t.Keystore, t.MasterKey, err = g.locations(); err != nil {
		return err
	}
	if t.Dir, err = g.folder(); err != nil {
		return err
	}
	switch f.audit {
	case "":
		if t.Audit, err = g.inFolder("audit.jsonl"); err != nil {
			return err
		}
	case "none":
		t.Audit = ""
	}
	if t.Host, err = hostName(); err != nil {
		return err
	}
	if t.Audit != "" {
		if t.AuditName, err = logName(t.Audit); err != nil {
			return err
		}
	}
	d := diagnosis{Checks: doctor.Run(cmd.Context(), t)}
	for _, r := range d.Checks {
		switch r.Status {
		case doctor.Fail:
			d.Failed++
		case doctor.Warn:
			d.Warned++
		case doctor.Skip:
			d.Skipped++
		}
	}
	if err := d.print(cmd.OutOrStdout(), f.json); err != nil {
		return err
	}
	if d.Failed > 0 {
		return fmt.Errorf("doctor: %d of %d checks failed", d.Failed, len(d.Checks))
	}
	return nil
}

func (d *diagnosis) print(out io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(d)
	}
	for _, r := range d.Checks {
		remedy := ""
		if r.Remedy != "" {
			remedy = ": " + r.Remedy
		}
		if _, err := fmt.Fprintf(out, "%-5s %-19s %s%s\n", r.Status, r.Check, r.Detail, remedy); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%d checks: %d failed, %d to look at, %d skipped\n", len(d.Checks), d.Failed, d.Warned, d.Skipped)
	return err
}
