package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/internal/newfile"
)

func newAuditExport(g *globals) *cobra.Command {
	var f auditFilter
	var to string
	cmd := &cobra.Command{
		Use:   "export -o FILE [FILE …]",
		Short: "An unbroken part of the log, with its signed heads, to be checked elsewhere",
		Long: `Writes the records of a time, all of them and byte for byte, to a new file of mode
0600, and the signed heads that vouch for them to FILE.heads. Standard output says how
to check them on another machine: with the anchor of the record before, and the
public key of the keystore.`,
		Example: `  velonym audit export --since 2026-10-01 --until 2026-11-01 -o october.jsonl`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if to == "" {
				return usagef("audit export: name the new file with -o")
			}
			if err := f.times(time.Now()); err != nil {
				return err
			}
			files, err := g.auditFiles(files)
			if err != nil {
				return err
			}
			return exportAudit(cmd, f.Filter, files, to)
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().VarP(&checkedFlag[string]{p: &to, kind: "FILE", check: notEmpty}, "output", "o", "new file for the records; the heads go to FILE.heads")
	return cmd
}

// exportAudit writes the selected records and their heads to new files.
func exportAudit(cmd *cobra.Command, f audit.Filter, files []string, to string) error {
	records, err := newfile.Create(to)
	if err != nil {
		return fmt.Errorf("audit export: %w", err)
	}
	defer records.Discard()
	heads, err := newfile.Create(audit.HeadsPath(to))
	if err != nil {
		return fmt.Errorf("audit export: %w", err)
	}
	defer heads.Discard()
	// Times within a log may go back, so every record between the first and the last
	// selected one is exported.
	var first, last uint64
	err = audit.Query(f, func(e *audit.Entry) error {
		if first == 0 {
			first = e.Seq
		}
		last = max(last, e.Seq)
		return nil
	}, files...)
	if err != nil {
		return err
	}
	if first == 0 {
		return errors.New("audit export: there are no records of that time")
	}
	w := bufio.NewWriterSize(records, 64<<10)
	before, err := audit.Export(w, first, last, files...)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("audit export: %w", err)
	}
	list, _, err := audit.ReadHeads(audit.HeadsPath(logOf(files[len(files)-1])))
	if err != nil {
		return err
	}
	key, covered := "", uint64(0)
	for _, h := range list {
		if h.Seq < first || h.Seq > last {
			continue
		}
		line, err := json.Marshal(h)
		if err == nil {
			_, err = heads.Write(append(line, '\n'))
		}
		if err != nil {
			return fmt.Errorf("audit export: %w", err)
		}
		key, covered = base64.StdEncoding.EncodeToString(h.Key), max(covered, h.Seq)
	}
	if err := heads.Commit(); err != nil {
		return fmt.Errorf("audit export: %w", err)
	}
	if err := records.Commit(); err != nil {
		return fmt.Errorf("audit export: %w", err)
	}
	out := cmd.OutOrStdout()
	how := "velonym audit verify"
	if first > 1 {
		how += fmt.Sprintf(" --anchor %d:%s", first-1, before)
	}
	if key != "" {
		how += " --key " + key
	}
	_, err = fmt.Fprintf(out, "records %d to %d, signed up to %d; check them with:\n%s %s\n", first, last, covered, how, to)
	return err
}
