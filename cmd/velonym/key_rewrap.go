package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
)

const rewrapLong = `Wraps all secrets of the keystore with another master key, in one transaction: if it
is interrupted, all are wrapped by the old key or all by the new one, and the same
command continues. SOURCE is a 0600 file, env:NAME or exec:COMMAND; a file that does not
exist is created with a random key. No token, project or pseudonym changes.

With --replace the new key's file then replaces the old one's, in the same folder; the
old file stays there, with the old key's fingerprint in its name. Without --replace, give
the new SOURCE with --master-key from then on. Running servers notice within a second.
They adopt the new key if the source that they were started with has it, as with
--replace; otherwise they refuse all calls, and readyz says so.

Keep the old key as long as you keep backups that were made before: only it opens them.
The keystore's files keep nothing that it opens.`

func newKeyRewrap(g *globals) *cobra.Command {
	var source string
	var replace bool
	cmd := &cobra.Command{
		Use:   "rewrap --new-master SOURCE [--replace]",
		Short: "Give the keystore another master key",
		Long:  rewrapLong,
		Example: `  velonym key rewrap --new-master next.key --replace
  velonym key rewrap --new-master 'exec:kms-client decrypt key2'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if source == "" {
				return usagef("key rewrap: say where the new key is with --new-master")
			}
			ctx := cmd.Context()
			_, old, err := g.locations()
			if err != nil {
				return err
			}
			if replace {
				// A name without a folder means the old key's folder: the file must be there.
				if source, err = keyInSameFolder(old, source); err != nil {
					return err
				}
			}
			if source == old || sameFile(source, old) {
				return usagef("key rewrap: the new master key has the place of the present one: give it another")
			}
			ks, done, err := g.openForRewrap(ctx, source)
			if err != nil {
				return err
			}
			defer ks.Close()
			before := ks.MasterKeyFingerprint()
			var traces error
			if !done {
				fresh, made, err := loadOrCreateMaster(ctx, source)
				if err != nil {
					return err
				}
				defer fresh.Close()
				err = g.recorded(ctx, ks, audit.Record{Op: "rewrap"}, func(*keyAct) error { return ks.Rewrap(ctx, fresh) })
				if errors.Is(err, keys.ErrTraces) {
					traces, err = err, nil
				}
				if err != nil && made { // the rewrap may have been committed
					return fmt.Errorf("%w; the new key stays in %s: say the same again", err, source)
				}
				if err != nil {
					return err
				}
			}
			if done {
				before = "another"
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "master key: %s from now on, before it was %s\n", ks.MasterKeyFingerprint(), before)
			if !replace {
				if done {
					fmt.Fprintln(cmd.ErrOrStderr(), "it had been rewrapped before: nothing was changed")
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "say --master-key %s from now on, and start servers again with it; keep the old key as long as backups that need it\n", shellWord(source))
				return traces
			}
			kept, err := replaceKey(ctx, old, source)
			if err != nil {
				return fmt.Errorf("the keystore has the new master key, and its file is still %s: %w: say the same again", source, err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s has the new key; the old one is %s: keep it, apart from here, as long as backups that need it\n", old, kept)
			return traces
		},
	}
	checkedVar(cmd.Flags(), &source, "new-master", "", "SOURCE", "the new master key: a 0600 file (made if it is not there), exec:COMMAND or env:NAME", notEmpty)
	cmd.Flags().BoolVar(&replace, "replace", false, "put the new key's file in the place of the present one")
	return cmd
}

func isKeyFile(source string) bool {
	return !strings.HasPrefix(source, "env:") && !strings.HasPrefix(source, "exec:")
}

// keyInSameFolder returns the path of the new key, which must be in the folder of the
// present one.
func keyInSameFolder(old, source string) (string, error) {
	if !isKeyFile(old) || !isKeyFile(source) {
		return "", usagef("key rewrap: --replace is for keys in files")
	}
	if filepath.Base(source) == source {
		source = filepath.Join(filepath.Dir(old), source)
	}
	a, errA := filepath.Abs(filepath.Dir(old))
	b, errB := filepath.Abs(filepath.Dir(source))
	if err := errors.Join(errA, errB); err != nil || a != b {
		return "", usagef("key rewrap: with --replace the new key's file must be in %s, where the present one is", filepath.Dir(old))
	}
	return source, nil
}

func sameFile(a, b string) bool {
	sa, errA := os.Stat(a)
	sb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(sa, sb)
}

// openForRewrap opens the keystore with its present master key. If an interrupted call
// has already changed the key, it opens the keystore with the new one and returns done.
func (g *globals) openForRewrap(ctx context.Context, source string) (ks *keys.Keystore, done bool, err error) {
	ks, err = g.openKeystore(ctx)
	if err == nil || strings.HasPrefix(source, "env:") || !errors.Is(err, keys.ErrWrongMasterKey) && !errors.Is(err, keys.ErrMasterKey) {
		return ks, false, err
	}
	if _, e := os.Stat(source); isKeyFile(source) && e != nil {
		return nil, false, err
	}
	with := *g
	with.masterKey = source
	ks, e := with.openKeystore(ctx)
	if e != nil {
		return nil, false, err
	}
	return ks, true, nil
}

// loadOrCreateMaster loads the new master key. It creates the file if it does not exist.
func loadOrCreateMaster(ctx context.Context, source string) (mk *keys.MasterKey, made bool, err error) {
	if isKeyFile(source) {
		if _, err := os.Lstat(source); errors.Is(err, fs.ErrNotExist) {
			if err := keys.NewMasterKeyFile(source); err != nil {
				return nil, false, err
			}
			made = true
		}
	}
	mk, err = keys.LoadMasterKey(ctx, source)
	return mk, made, err
}

// replaceKey renames the file of the old key and gives its name to the file of the new
// key. At every moment the name belongs to one of the two files.
func replaceKey(ctx context.Context, old, fresh string) (kept string, err error) {
	was, err := keys.LoadMasterKey(ctx, old)
	if err != nil {
		return "", err
	}
	kept = old + "." + was.Fingerprint()
	was.Close()
	if err := os.Link(old, kept); err != nil && !sameFile(old, kept) {
		return "", err
	}
	if err := os.Rename(fresh, old); err != nil {
		return "", err
	}
	if runtime.GOOS == "windows" {
		return kept, nil // directories cannot be synced there
	}
	d, err := os.Open(filepath.Dir(old))
	if err != nil {
		return "", err
	}
	return kept, errors.Join(d.Sync(), d.Close())
}

// shellWord quotes a word for a shell if necessary.
func shellWord(s string) string {
	if strings.ContainsAny(s, " '\"$&|;<>()*?`\\") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
