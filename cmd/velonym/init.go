package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

const initLong = `Creates a keystore, its master key and its issuer's key in --dir, accessible only to
their owner. It never overwrites anything. With --keystore postgres://… it creates the
keystore in that database, in a schema of its own, and only the master key in --dir.
With --master-key env:NAME or exec:COMMAND the master key comes from there (64
hexadecimal digits), and every other verb needs the same flag. A variable is weaker
than a file: it is erased from the environment, but copies in memory can remain, and
whoever starts the program has it too; each run warns of that.

A keystore is useless without its master key: back the key up, apart from the keystore.`

func newInit(g *globals) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create a keystore, its master key and its issuer's key in --dir; never overwrites",
		Long:  initLong,
		Example: `  velonym init
  velonym init --dir /srv/velonym --issuer https://tokens.example
  velonym init --keystore postgres://velonym@db.example/velonym --master-key 'exec:kms-client decrypt key'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.initKeystore(cmd.Context(), name, cmd.ErrOrStderr())
		},
	}
	checkedVar(cmd.Flags(), &name, "issuer", "", "NAME", "name of the keystore's issuer, the iss of its tokens (default velonym); choose one of its own where another keystore is to trust it", checkIssuer)
	return cmd
}

// initKeystore creates a keystore, its master key and its issuer, and reports them to
// out. An empty name means the default issuer name.
func (g *globals) initKeystore(ctx context.Context, name string, out io.Writer) error {
	place, masterPlace, err := g.locations()
	if err != nil {
		return err
	}
	if err := g.makeFolder(); err != nil {
		return err
	}
	if isPostgres(place) {
		if store, err := postgres.Open(ctx, place); err == nil {
			return errors.Join(fmt.Errorf("init: there is a keystore in %s already: it is never overwritten; use it, or name another database", store.Name()), store.Close())
		}
	} else if _, err := os.Lstat(place); err == nil {
		return fmt.Errorf("init: %s is there already: it is never overwritten; use it, or name another folder with --dir", place)
	}
	stones, err := g.inFolder("tombstones.jsonl")
	if err != nil {
		return err
	}
	if _, err := os.Lstat(stones); err == nil {
		return fmt.Errorf("init: %s is of an earlier keystore: to bring that back say 'velonym restore FILE'; for a new one name another folder with --dir, or move the file away", stones)
	}
	master, made, err := g.initMaster(ctx, masterPlace)
	if err != nil {
		return err
	}
	undo := func(err error) error {
		if made {
			err = errors.Join(err, os.Remove(masterPlace))
		}
		return err
	}
	var store keys.Store
	if isPostgres(place) {
		store, err = postgres.Create(ctx, place)
	} else {
		store, err = sqlite.Create(place)
	}
	if err != nil {
		return undo(err)
	}
	ks, err := keys.New(ctx, store, master)
	if err != nil {
		return undo(errors.Join(err, store.Close()))
	}
	defer ks.Close()
	if name != "" {
		if err := ks.NameIssuer(ctx, name); err != nil {
			return err
		}
	}
	if err := g.recorded(ctx, ks, audit.Record{Op: "init"}, func(*keyAct) error { return nil }); err != nil {
		return err
	}
	issuer, err := builtInIssuer(ctx, ks)
	if err != nil {
		return err
	}
	defer issuer.Close()
	fmt.Fprintf(out, "keystore    %s\n", store.Name())
	if made {
		fmt.Fprintf(out, "master key  %s (mode 0600; back it up apart from the keystore: without it every pseudonym is lost)\n", masterPlace)
	}
	fmt.Fprintf(out, "fingerprint %s of the master key\n", ks.MasterKeyFingerprint())
	fmt.Fprintf(out, "issuer      %s, key %s\n", printable(issuer.Name()), issuer.KeyID())
	return nil
}

// checkIssuer validates the name of an issuer.
func checkIssuer(s string) error {
	if s == "" || len(s) > 1024 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("write a name of 1 to 1024 bytes, as https://tokens.example")
	}
	return nil
}

// initMaster creates and loads the master key file, or loads the key from env: or exec:.
func (g *globals) initMaster(ctx context.Context, place string) (master *keys.MasterKey, made bool, err error) {
	if !strings.HasPrefix(place, "env:") && !strings.HasPrefix(place, "exec:") {
		if err := keys.NewMasterKeyFile(place); err != nil {
			return nil, false, err
		}
		made = true
	}
	master, err = keys.LoadMasterKey(ctx, place)
	if err == nil {
		g.warnWeakKey(place)
	}
	return master, made, err
}
