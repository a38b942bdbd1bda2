package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
	"github.com/velonym/velonym/engine/token"
)

// auditPlace adds to an error of opening the record of what was done how it can be
// written elsewhere.
func auditPlace(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: nothing is done without a record: give --dir a folder that is there and can be written, and say with --keystore and --master-key where those are", err)
	}
	return err
}

// openAudit opens the record of what was done, beside the keystore, whose key signs
// its heads. What is returned closes it.
func (g *globals) openAudit(ctx context.Context, ks *keys.Keystore) (*audit.Log, func() error, error) {
	path, err := g.inFolder("audit.jsonl")
	if err != nil {
		return nil, nil, err
	}
	return openAuditAt(ctx, ks, path, audit.Options{})
}

// openAuditAt opens a log at path whose heads are signed by the keystore and kept in it.
func openAuditAt(ctx context.Context, ks *keys.Keystore, path string, opt audit.Options) (*audit.Log, func() error, error) {
	signer, err := ks.HeadSigner(ctx)
	if err != nil {
		return nil, nil, err
	}
	name, err := logName(path)
	if err != nil {
		return nil, nil, errors.Join(err, signer.Close())
	}
	// What is known of the log is read before it is opened: meanwhile others append.
	known, err := ks.LogHeads(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, signer.Close())
	}
	// The last head is kept when the command was interrupted, too.
	ctx = context.WithoutCancel(ctx)
	opt.Signer = signer
	more := opt.OnHead
	opt.OnHead = func(h audit.Head) error {
		err := keepHead(ctx, ks, name, h)
		if more != nil {
			err = errors.Join(err, more(h))
		}
		return err
	}
	log, err := audit.Open(path, opt)
	if err != nil {
		return nil, nil, errors.Join(auditPlace(err), signer.Close())
	}
	for _, h := range known {
		if h.Log != name || !h.Replaced.IsZero() || h.Seq <= log.Opened() {
			continue
		}
		if err := ks.ReplaceLogHead(ctx, h); err != nil && !errors.Is(err, keys.ErrReadOnly) {
			return nil, nil, errors.Join(err, log.Close(), signer.Close())
		}
	}
	return log, func() error { return errors.Join(log.Close(), signer.Close()) }, nil
}

// keepTimeout is how long the keystore may take to keep a head.
const keepTimeout = 20 * time.Second

// keepHead keeps the last head of a log in the keystore. One that can only be read
// keeps none.
func keepHead(ctx context.Context, ks *keys.Keystore, name string, h audit.Head) error {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	err := ks.KeepLogHead(ctx, keys.LogHead{Log: name, Seq: h.Seq, Digest: h.Digest, Time: h.Time, Key: h.Key, Signature: h.Signature})
	if errors.Is(err, keys.ErrReadOnly) {
		return nil
	}
	return err
}

// logName is the name by which the keystore knows the log at path: several machines
// may have one at the same path.
func logName(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("audit: %w", err)
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(real, filepath.Base(path))
	}
	host, err := hostName()
	if err != nil {
		return "", err
	}
	return host + ":" + path, nil
}

// hostName names this machine, in the same way as long as its files are the same: a
// container gets another host name at each start.
func hostName() (string, error) {
	if name := os.Getenv("VELONYM_HOST"); name != "" {
		return name, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("this machine has no name: %w", err)
	}
	return host, nil
}

// keyAct is an act on keys or tokens that is being recorded.
type keyAct struct {
	log   *audit.Log
	begun audit.Record
	noted int
}

// note records a part of the act that is done, or with the project alone all of it.
func (a *keyAct) note(r audit.Record) error {
	r.Kind, r.Request, r.Sync = a.begun.Kind, a.begun.Request, true
	if r.Op == "" {
		r.Op = a.begun.Op
	}
	if r.Outcome == "" {
		r.Outcome = "OK"
	}
	a.noted++
	if err := a.log.Append(r); err != nil {
		return fmt.Errorf("it was done, but could not be recorded: %w", err)
	}
	return nil
}

// recorded does an act on keys or tokens. Its record stands in the audit log, and on
// disk, before the act begins, as BEGUN; and how it ended before anything of it is told.
// An act whose beginning cannot be recorded is not done.
func (g *globals) recorded(ctx context.Context, ks *keys.Keystore, r audit.Record, do func(*keyAct) error) error {
	log, closeLog, err := g.openAudit(ctx, ks)
	if err != nil {
		return err
	}
	r.Kind, r.Request, r.Sync, r.Outcome = "key", token.NewID(), true, "BEGUN"
	if err := log.Append(r); err != nil {
		return errors.Join(fmt.Errorf("nothing was done: %w", err), closeLog())
	}
	a := &keyAct{log: log, begun: r}
	err = errors.Join(do(a), g.noteTombstones(ctx, ks, nil))
	if err != nil || a.noted == 0 {
		r.Outcome = actOutcome(err)
		err = errors.Join(err, a.note(r))
	}
	return errors.Join(err, closeLog())
}

// noteTombstones notes beside the audit log what was destroyed and revoked, so that no
// older copy of the keystore brings it back.
func (g *globals) noteTombstones(ctx context.Context, ks *keys.Keystore, shortened map[string]time.Time) error {
	path, err := g.inFolder("tombstones.jsonl")
	if err != nil {
		return err
	}
	return backup.Note(context.WithoutCancel(ctx), ks, path, shortened)
}

// actOutcome is what the audit log says of an act on keys.
func actOutcome(err error) string {
	switch {
	case err == nil:
		return "OK"
	case errors.Is(err, keys.ErrTraces):
		return "TRACES" // destroyed, and the store's files are not rewritten yet
	}
	return "FAILED"
}

// recordSwept records the projects that a sweep found ended, and those whose keys it
// destroyed.
func recordSwept(log *audit.Log, swept keys.Swept) error {
	id := token.NewID()
	var errs []error
	note := func(op, project string) {
		errs = append(errs, log.Append(audit.Record{Kind: "key", Request: id, Op: op, Project: project, Outcome: "OK", Sync: true}))
	}
	for _, name := range swept.Ended {
		note("end", name)
	}
	for _, name := range swept.Resumed {
		note("resume", name)
	}
	for _, name := range swept.Rotated {
		note("rotate", name)
	}
	for _, r := range swept.Destroyed {
		note("sweep", r.Project)
	}
	return errors.Join(errs...)
}
