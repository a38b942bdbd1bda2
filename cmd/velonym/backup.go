package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
)

func newBackup(g *globals) *cobra.Command {
	var to string
	var recipients []string
	cmd := &cobra.Command{
		Use:   "backup -o FILE",
		Short: "Copy the keystore, in use, to a file that either kind of store is restored from",
		Long: `Copies the keystore as it is at one moment, while servers and commands use it, from an
SQLite file or a PostgreSQL database, to a new file of mode 0600 from which either is
restored. The file has a checksum and the keystore's signature; it has its name only
when it is whole. With --recipient it is sealed to age keys, and 'velonym restore' wants
the identity. Secrets in it are wrapped by the master key in any case: back that up apart
from it, and keep both.

A backup outlives a severing: who has it and the master key has the secrets of then. The
keystore keeps a list of its backups ('velonym backup list'), a severing names those that
are left, and 'velonym backup prune' deletes old ones.`,
		Example: `  velonym backup -o /backup/velonym-2026-11-29.backup
  velonym backup -o nightly.backup --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch to {
			case "":
				return usagef("backup: name the new file with -o")
			case "-":
				return usagef("backup: a backup goes to a file, which has its name only when it is whole; name one with -o")
			}
			list, err := parseRecipients("recipient", recipients)
			if err != nil {
				return err
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			var h backup.Header
			err = g.recorded(cmd.Context(), ks, audit.Record{Op: "backup"}, func(*keyAct) (err error) {
				h, err = makeBackup(cmd.Context(), ks, to, list)
				return err
			})
			if err != nil {
				return err
			}
			how := "not sealed: who has it and the master key has all secrets"
			if h.Sealed {
				how = "sealed"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "backup %s of %s, %s\n", to, localTime(h.Made), how)
			return nil
		},
	}
	cmd.Flags().VarP(&checkedFlag[string]{p: &to, kind: "FILE", check: notEmpty}, "output", "o", "new file, of mode 0600")
	cmd.Flags().StringArrayVar(&recipients, "recipient", nil, "age `RECIPIENT` to seal it to (repeatable; default: not sealed)")
	cmd.AddCommand(newBackupVerify(), newBackupList(g), newBackupPrune(g))
	return cmd
}

// makeBackup writes a backup and adds it to the keystore's list.
func makeBackup(ctx context.Context, ks *keys.Keystore, to string, recipients []age.Recipient) (h backup.Header, err error) {
	place, err := logName(to)
	if err != nil {
		return h, err
	}
	version, commit := buildVersion()
	h, err = backup.Write(ctx, ks, to, backup.Options{Recipients: recipients, Program: version + " " + commit})
	if err != nil {
		return h, err
	}
	if err := ks.AddBackup(ctx, keys.KnownBackup{Place: place, Made: h.Made}); err != nil && !errors.Is(err, keys.ErrReadOnly) {
		return h, fmt.Errorf("the backup is made, but is not on the keystore's list: %w", err)
	}
	return h, nil
}

func parseRecipients(flag string, texts []string) (list []age.Recipient, err error) {
	for _, r := range texts {
		some, err := age.ParseRecipients(strings.NewReader(r))
		if err != nil {
			return nil, usagef("--%s: %w", flag, err)
		}
		list = append(list, some...)
	}
	return list, nil
}

// identityFlag adds --identity.
func identityFlag(fl *pflag.FlagSet, p *string) {
	checkedVar(fl, p, "identity", "", "FILE", "age identity of a sealed backup", notEmpty)
}

// readIdentities reads an age identity file.
func readIdentities(path string) ([]age.Identity, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--identity: %w", err)
	}
	defer f.Close()
	list, err := age.ParseIdentities(f)
	if err != nil {
		// age's error may contain a part of the line.
		return nil, fmt.Errorf("--identity: %s is no age identity file", path)
	}
	return list, nil
}

func newBackupVerify() *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check that a backup is whole, without keys",
		Long: `Reads a backup from one end to the other: checksum, signature and, unless it is sealed,
every row. Neither the keystore nor the master key is needed; a sealed one is read with
--identity. Whether the signature is your keystore's says 'velonym receipt key'.`,
		Example: `  velonym backup verify /backup/velonym-2026-11-29.backup`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := readIdentities(identity)
			if err != nil {
				return err
			}
			r, err := backup.Verify(args[0], ids)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "whole, made %s by version %s, schema %d\nsigned by the key %s\n", r.Made.UTC().Format(time.RFC3339), printable(r.Program), r.Schema, keyText(r.Store))
			if !r.Read {
				_, err = fmt.Fprintln(out, "sealed: its rows were not read; give --identity to read them")
				return err
			}
			_, err = fmt.Fprintf(out, "%d projects (%d severed), %d secrets, %d revocations, %d listed tokens\n", r.Projects, r.Severed, r.Generations, r.Revocations, r.Tokens)
			return err
		},
	}
	identityFlag(cmd.Flags(), &identity)
	return cmd
}

func newBackupList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "The backups that the keystore knows of",
		Example: `  velonym backup list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			list, err := ks.Backups(cmd.Context())
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "MADE\tPLACE")
			for _, b := range list {
				fmt.Fprintf(t, "%s\t%s\n", localTime(b.Made), printable(b.Place))
			}
			return t.Flush()
		},
	}
}

// backupPrune holds the flags of `velonym backup prune`.
type backupPrune struct {
	keep   int64
	older  string
	forget []string
}

func newBackupPrune(g *globals) *cobra.Command {
	var f backupPrune
	cmd := &cobra.Command{
		Use:   "prune --keep N | --older-than SPAN | --forget PLACE",
		Short: "Delete old backups of this machine, and take those that are gone off the list",
		Long: `Deletes the backups on the keystore's list that --keep or --older-than names, as far as
they are files of this machine, and takes them off the list; copies that were made of
them elsewhere are beyond it. Those that are gone already are taken off, too. --forget
takes off one of another machine, once it is deleted there.`,
		Example: `  velonym backup prune --older-than 35d
  velonym backup prune --keep 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.keep == 0 && f.older == "" && len(f.forget) == 0 {
				return usagef("backup prune: say which with --keep, --older-than or --forget")
			}
			now := time.Now()
			var before time.Time
			if f.older != "" {
				end, err := parseSpan(f.older, now)
				if err != nil {
					return usagef("--older-than: %w", err)
				}
				before = now.Add(-end.Sub(now))
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			return g.recorded(cmd.Context(), ks, audit.Record{Op: "prune-backups"}, func(*keyAct) error { return f.prune(cmd, ks, before) })
		},
	}
	fl := cmd.Flags()
	limitVar(fl, &f.keep, "keep", "the newest so many are kept")
	checkedVar(fl, &f.older, "older-than", "", "SPAN", "those made before: 35d, 6mo", func(s string) error { _, err := parseSpan(s, time.Now()); return err })
	fl.StringArrayVar(&f.forget, "forget", nil, "a `PLACE` as 'velonym backup list' shows it, whose file is deleted (repeatable)")
	return cmd
}

func (f *backupPrune) prune(cmd *cobra.Command, ks *keys.Keystore, before time.Time) error {
	list, err := ks.Backups(cmd.Context())
	if err != nil {
		return err
	}
	host, err := hostName()
	if err != nil {
		return err
	}
	gone := append([]string(nil), f.forget...)
	var errs []error
	for i, b := range list {
		path, here := strings.CutPrefix(b.Place, host+":")
		if !here || !filepath.IsAbs(path) {
			continue
		}
		_, err := os.Lstat(path)
		switch old := f.keep > 0 && int64(len(list)-i) > f.keep || b.Made.Before(before); {
		case errors.Is(err, fs.ErrNotExist):
		case !old:
			continue
		default:
			if err := deleteBackup(path); err != nil {
				errs = append(errs, err)
				continue
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "deleted %s\n", path)
		}
		gone = append(gone, b.Place)
	}
	if len(gone) > 0 {
		errs = append(errs, ks.ForgetBackups(cmd.Context(), gone...))
	}
	return errors.Join(errs...)
}

// deleteBackup deletes a file if it is a backup, and refuses any other.
func deleteBackup(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("backup prune: %w", err)
	}
	is := backup.Is(f)
	f.Close()
	if !is {
		return fmt.Errorf("backup prune: %s is no backup any more: it is left as it is; take it off the list with --forget", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("backup prune: %w", err)
	}
	return nil
}
