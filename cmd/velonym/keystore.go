package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

// isPostgres reports whether a keystore's place is a PostgreSQL address and not a file.
func isPostgres(keystore string) bool { return postgres.IsAddress(keystore) }

// addressLike matches what looks like a mistyped address, which may contain a password,
// and not like the name of a file.
var addressLike = expression(`(?i)^[^/\\]+:[^\\].*@|^postgres(ql)?:|://|password\s*=`)

// checkPlace refuses a place that is neither a file nor a database address. Its error
// does not repeat the place.
func checkPlace(keystore string) error {
	if isPostgres(keystore) || !strings.ContainsAny(keystore, ":=") || !addressLike().MatchString(keystore) {
		return nil
	}
	if _, err := os.Lstat(keystore); err == nil {
		return nil
	}
	return usagef("--keystore: a keystore is an SQLite file, postgres://user@host/database or host=… dbname=… user=…, and this is none of them (it is not shown, since it may hold a password; a file of such a name is written with ./ before it)")
}

// locations returns the places of keystore and master key: from the flags, else from the
// environment, else in --dir.
func (g *globals) locations() (keystore, masterKey string, err error) {
	// The environment is not the flags' default, because help shows defaults and a URL
	// may contain a password.
	keystore, masterKey = cmp.Or(g.keystore, os.Getenv("VELONYM_KEYSTORE")), cmp.Or(g.masterKey, os.Getenv("VELONYM_MASTER_KEY"))
	if err := checkPlace(keystore); err != nil {
		return "", "", err
	}
	if keystore == "" {
		if keystore, err = g.inFolder("keystore.db"); err != nil {
			return "", "", err
		}
	}
	if masterKey == "" {
		if masterKey, err = g.inFolder("master.key"); err != nil {
			return "", "", err
		}
	}
	if root := cmp.Or(g.tlsRoot, os.Getenv("VELONYM_TLS_ROOT")); root != "" {
		if !isPostgres(keystore) {
			return "", "", usagef("--tls-root is for a keystore in PostgreSQL, and this one is a file")
		}
		if keystore, err = postgres.WithTLSRoot(keystore, root); err != nil {
			return "", "", fmt.Errorf("--tls-root: %w: name the PEM file of the authority that signed the database server's certificate", err)
		}
	}
	return keystore, masterKey, nil
}

// openKeystore opens the keystore that `velonym init` made. It never creates one.
func (g *globals) openKeystore(ctx context.Context) (*keys.Keystore, error) {
	place, masterPlace, err := g.locations()
	if err != nil {
		return nil, err
	}
	if !isPostgres(place) {
		if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no keystore at %s yet: make one with 'velonym init', or name another folder with --dir", place)
		}
	}
	// The store comes first: without a store, an error about the master key would mislead.
	store, err := openStore(ctx, place)
	if err != nil {
		return nil, err
	}
	master, err := keys.LoadMasterKey(ctx, masterPlace)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	g.warnWeakKey(masterPlace)
	ks, err := keys.New(ctx, store, master)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	tombstones, err := g.inFolder("tombstones.jsonl")
	if err == nil {
		err = backup.Check(ctx, ks, tombstones)
	}
	if err != nil {
		return nil, errors.Join(err, ks.Close())
	}
	return ks, nil
}

// warnWeakKey warns, once, of a master key that came from the environment.
func (g *globals) warnWeakKey(masterPlace string) {
	if !strings.HasPrefix(masterPlace, "env:") || g.warn == nil || g.keyWarned {
		return
	}
	g.keyWarned = true
	g.warn("the master key comes from an environment variable, which is weaker than a 0600 file or exec: " +
		"it was erased from the environment of this process, but copies in its memory can stay, and whoever started it had the key too")
}

// openSwept opens the keystore for a verb that changes it. It first sweeps it, as a
// server does every minute. Verbs that only read use openKeystore and destroy nothing.
func (g *globals) openSwept(cmd *cobra.Command) (*keys.Keystore, error) {
	ctx := cmd.Context()
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return nil, err
	}
	swept, err := ks.SweepBefore(ctx)
	for _, text := range sweptTexts(swept) {
		fmt.Fprintln(cmd.ErrOrStderr(), text)
	}
	if len(swept.Ended)+len(swept.Resumed)+len(swept.Rotated)+len(swept.Destroyed) > 0 {
		log, closeLog, e := g.openAudit(ctx, ks)
		if e == nil {
			e = errors.Join(recordSwept(log, swept), closeLog())
		}
		if e != nil {
			return nil, errors.Join(fmt.Errorf("what the sweep did was not recorded: %w", e), err, ks.Close())
		}
	}
	if err != nil && !errors.Is(err, keys.ErrTraces) && !errors.Is(err, keys.ErrTampered) {
		return nil, errors.Join(err, ks.Close())
	}
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "velonym: %v\n", err)
	}
	return ks, nil
}

// sweptTexts describes what a sweep did, one line per project.
func sweptTexts(s keys.Swept) (lines []string) {
	for _, name := range s.Ended {
		lines = append(lines, fmt.Sprintf("project %s: it has ended: nothing uses its keys any more", name))
	}
	for _, name := range s.Resumed {
		lines = append(lines, fmt.Sprintf("project %s: it has not ended after all, by a clock that was set back: its keys are used again", name))
	}
	for _, r := range s.Destroyed {
		lines = append(lines, fmt.Sprintf("project %s: its retention is over: keys destroyed", r.Project))
	}
	for _, name := range s.Rotated {
		lines = append(lines, fmt.Sprintf("project %s: its generation had reached its age: a new one is active", name))
	}
	for _, name := range s.Spent {
		lines = append(lines, fmt.Sprintf("project %s: its generation has reached its age, and there can be no other: 'velonym project rotate %s' says the way on", name, name))
	}
	if n := len(s.Held); n > 0 {
		lines = append(lines, fmt.Sprintf("project %s%s: it has ended, and its keys are kept because this keystore's clock jumped: say 'velonym key clock --accept' if the clock is right", s.Held[0], andMore(n-1)))
	}
	return lines
}

// andMore returns " and n more", or nothing if n is 0.
func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// openStore opens the PostgreSQL or SQLite store at place.
func openStore(ctx context.Context, place string) (keys.Store, error) {
	if isPostgres(place) {
		return postgres.Open(ctx, place)
	}
	return sqlite.Open(place)
}

// makeFolder creates --dir with permissions for its owner only.
func (g *globals) makeFolder() error {
	dir, err := g.folder()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("init: folder %s: %w", filepath.Clean(dir), err)
	}
	return nil
}
