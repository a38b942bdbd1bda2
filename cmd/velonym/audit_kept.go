package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
)

// storedHeads are the heads that the keystore has of a log.
type storedHeads struct {
	keys     [][]byte        // the keystore's public key; empty: there is no keystore
	name     string          // of the log
	last     *keys.LogHead   // nil: none
	replaced []keys.LogHead  // of former logs of the same name
	others   map[string]bool // names of the other logs in the keystore
}

// storedHeads reads the heads of the log called name or, if name is empty, of the log at
// path. Without a keystore it returns none.
func (g *globals) storedHeads(ctx context.Context, path, name string) (k storedHeads, err error) {
	if k.name = name; name == "" {
		if k.name, err = logName(path); err != nil {
			return k, err
		}
	}
	at, _, err := g.locations()
	if err != nil {
		return k, err
	}
	if !isPostgres(at) {
		if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
			if name != "" {
				return k, usagef("--log: there is no keystore at %s to know it", at)
			}
			return k, nil
		}
	}
	ks, err := g.openKeystore(ctx)
	if err != nil {
		return k, fmt.Errorf("%w; to check without the keystore, give its public key with --key", err)
	}
	defer ks.Close()
	key, err := ks.ReceiptKey(ctx)
	if err != nil {
		return k, err
	}
	k.keys, k.others = [][]byte{key}, map[string]bool{}
	list, err := ks.LogHeads(ctx)
	if err != nil {
		return k, err
	}
	for _, h := range list {
		switch {
		case h.Log != k.name:
			k.others[h.Log] = true
		case h.Replaced.IsZero():
			k.last = &h
		default:
			k.replaced = append(k.replaced, h)
		}
	}
	if name != "" && k.last == nil {
		return k, usagef("--log: the keystore knows no such log; those it knows: %s", k.otherNames())
	}
	return k, nil
}

func (k *storedHeads) otherNames() string {
	if len(k.others) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(k.others)), ", ")
}

// gone returns an error with the number of missing records if a stored log is missing.
func (k *storedHeads) gone(err error) error {
	if k.last == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("the log is gone: the keystore has a signed head of it from %s, and at least %d records are missing", k.last.Time, k.last.Seq)
}

// headOf converts a head of the keystore.
func headOf(h keys.LogHead) audit.Head {
	return audit.Head{Seq: h.Seq, Digest: h.Digest, Time: h.Time, Key: h.Key, Signature: h.Signature}
}

// checkReplaced refuses a log that replaced another, until the operator has accounted for
// the former one with --begun-anew. It prints a note if the keystore does not know the log.
func (f *auditVerify) checkReplaced(cmd *cobra.Command, g *globals, k storedHeads, older bool) error {
	if f.anew && len(k.replaced) == 0 {
		return usagef("--begun-anew: the keystore knows no former log at %s", k.name)
	}
	if k.last == nil && len(k.others) > 0 && !older {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "not held against the keystore, which knows no log %s: name the one that this is with --log: %s\n", k.name, k.otherNames())
		return err
	}
	if len(k.replaced) == 0 {
		return nil
	}
	was := k.replaced[len(k.replaced)-1]
	if !f.anew {
		return fmt.Errorf("audit: the log was begun anew around %s: before, it had at least %d records, signed last at %s: check those where they are now, and then say --begun-anew",
			was.Replaced.Format(time.RFC3339), was.Seq, was.Time)
	}
	ks, err := g.openKeystore(cmd.Context())
	if err != nil {
		return err
	}
	defer ks.Close()
	return g.recorded(cmd.Context(), ks, audit.Record{Op: "forget-log"}, func(*keyAct) error {
		n, err := ks.ForgetLog(cmd.Context(), k.name, false)
		if err == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%d former heads of %s are forgotten\n", n, k.name)
		}
		return err
	})
}
