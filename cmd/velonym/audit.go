package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
)

func newAudit(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Check the record of what was done",
		Example: `  velonym audit verify`,
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	var anchor string
	verify := &cobra.Command{
		Use:   "verify [FILE …]",
		Short: "Check the chain of records; names the first broken one",
		Long: `Checks that every record carries the digest of the one before it, and names the
first that does not. Without a file it checks DIR/audit.jsonl and the files that it
was rotated into; files that are named are checked in that order.

Records cut off at the end show only against an earlier check: keep the anchor that
it prints, away from this machine, and give it with --anchor.`,
		Example: `  velonym audit verify
  velonym audit verify --anchor 1042:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef`,
		RunE: func(cmd *cobra.Command, files []string) error {
			var a audit.Anchor
			if anchor != "" {
				var err error
				if a, err = parseAnchor(anchor); err != nil {
					return usagef("--anchor: %w", err)
				}
			}
			if len(files) == 0 {
				file, err := g.inFolder("audit.jsonl")
				if err != nil {
					return err
				}
				if files, err = audit.Files(file); err != nil {
					return err
				}
			}
			r, err := audit.VerifyAnchored(a, files...)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%d records, the chain holds\n", r.Records)
			if r.Torn > 0 || r.Lost > 0 {
				fmt.Fprintf(out, "%d lines torn by a crash and closed off, %d records that could not be written\n", r.Torn, r.Lost)
			}
			_, err = fmt.Fprintf(out, "anchor %d:%s\n", r.Seq, r.Head)
			return err
		},
	}
	checkedVar(verify.Flags(), &anchor, "anchor", "", "SEQ:DIGEST", "what an earlier check printed: the chain must go through it", func(s string) error {
		_, err := parseAnchor(s)
		return err
	})
	cmd.AddCommand(verify)
	return cmd
}

// parseAnchor reads what verify prints.
func parseAnchor(s string) (a audit.Anchor, err error) {
	seq, head, ok := strings.Cut(s, ":")
	a.Seq, err = strconv.ParseUint(seq, 10, 64)
	if _, e := hex.DecodeString(head); err != nil || e != nil || !ok || len(head) != 64 {
		return a, errors.New("write SEQ:DIGEST as 'velonym audit verify' prints it")
	}
	a.Head = head
	return a, nil
}
