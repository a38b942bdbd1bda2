package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
	"github.com/velonym/velonym/engine/token"
)

// tombstoneInterval is how often a server checks whether something was destroyed or
// revoked.
const tombstoneInterval = time.Second

// recordTombstones writes tombstones to path whenever the keystore has changed, until
// the context ends.
func recordTombstones(ctx context.Context, ks *keys.Keystore, path string, log *slog.Logger) {
	tick := time.NewTicker(tombstoneInterval)
	defer tick.Stop()
	var noted uint64
	failing := false
	for {
		n, err := ks.Change(ctx)
		if err == nil && n != noted {
			if err = backup.Note(ctx, ks, path, nil); err == nil {
				noted = n
			}
		}
		switch wrong := err != nil && ctx.Err() == nil && !errors.Is(err, keys.ErrClock); {
		case wrong && !failing:
			log.Error("tombstones cannot be noted: a backup could bring back what was severed or revoked", "error", err.Error())
			failing = true
		case err == nil && failing:
			log.Info("tombstones are noted again")
			failing = false
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// backupFlags are the flags of serve about backups.
type backupFlags struct {
	dir        string
	every      time.Duration
	keep       int64
	recipients []string
	sealTo     []age.Recipient
}

// check validates the flags.
func (f *backupFlags) check() (err error) {
	if f.dir == "" {
		if len(f.recipients) > 0 {
			return usagef("serve: --backup-recipient goes with --backup-dir")
		}
		return nil
	}
	if f.every < time.Minute {
		return usagef("--backup-every: a minute is the least")
	}
	if st, err := os.Stat(f.dir); err != nil {
		return usagef("--backup-dir: %w: make the folder, for its owner alone, or name another", err)
	} else if !st.IsDir() {
		return usagef("--backup-dir: %s is no folder", f.dir)
	}
	f.sealTo, err = parseRecipients("backup-recipient", f.recipients)
	return err
}

// run makes a backup whenever one is due and deletes the oldest beyond keep, until the
// context ends.
func (f *backupFlags) run(ctx context.Context, ks *keys.Keystore, record *audit.Log, log *slog.Logger) {
	for {
		wait := f.every
		last, err := f.last(ctx, ks)
		if err == nil {
			wait = time.Until(last.Add(f.every))
		}
		if wait <= 0 {
			path, err := f.make(ctx, ks, record)
			if err != nil {
				log.Error("a backup failed", "error", err.Error())
			} else {
				log.Info("backup made", "file", path)
			}
			wait = f.every
			if err != nil {
				wait = min(f.every, time.Minute)
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// last returns when the newest backup in the folder was made, or the zero time.
func (f *backupFlags) last(ctx context.Context, ks *keys.Keystore) (last time.Time, err error) {
	list, err := f.own(ctx, ks)
	if err != nil || len(list) == 0 {
		return last, err
	}
	return list[len(list)-1].Made, nil
}

// own returns the keystore's backups that are in the folder, oldest first.
func (f *backupFlags) own(ctx context.Context, ks *keys.Keystore) (own []keys.KnownBackup, err error) {
	folder, err := logName(filepath.Join(f.dir, "x"))
	if err != nil {
		return nil, err
	}
	list, err := ks.Backups(ctx)
	for _, b := range list {
		if filepath.Dir(b.Place) == filepath.Dir(folder) {
			own = append(own, b)
		}
	}
	return own, err
}

func (f *backupFlags) make(ctx context.Context, ks *keys.Keystore, record *audit.Log) (path string, err error) {
	path = filepath.Join(f.dir, "velonym-"+time.Now().UTC().Format("20060102T150405Z")+".backup")
	act := audit.Record{Kind: "key", Op: "backup", Request: token.NewID(), Sync: true, Outcome: "BEGUN"}
	if record != nil {
		if err := record.Append(act); err != nil {
			return path, err
		}
	}
	_, err = makeBackup(ctx, ks, path, f.sealTo)
	if act.Outcome = actOutcome(err); record != nil {
		err = errors.Join(err, record.Append(act))
	}
	if err != nil || f.keep == 0 {
		return path, err
	}
	list, err := f.own(ctx, ks)
	if err != nil {
		return path, err
	}
	host, err := hostName()
	if err != nil {
		return path, err
	}
	for ; int64(len(list)) > f.keep; list = list[1:] {
		old := list[0].Place
		if err := deleteBackup(old[len(host)+1:]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return path, err
		}
		if err := ks.ForgetBackups(ctx, old); err != nil {
			return path, err
		}
	}
	return path, nil
}

// startBackups starts to record tombstones and to make backups. stop ends both and waits.
func (f *serveFlags) startBackups(ctx context.Context, g *globals, ks *keys.Keystore) (stop func() error, err error) {
	path, err := g.inFolder("tombstones.jsonl")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { recordTombstones(ctx, ks, path, f.cfg.Log) })
	if f.backup.dir != "" {
		running.Go(func() { f.backup.run(ctx, ks, f.log, f.cfg.Log) })
	}
	return func() error { cancel(); running.Wait(); return nil }, nil
}
