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

// withAuditHint adds to an error of opening the audit log how to put the log elsewhere.
func withAuditHint(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: nothing is done without a record: give --dir a folder that is there and can be written, and say with --keystore and --master-key where those are", err)
	}
	return err
}

// openAudit opens DIR/audit.jsonl, whose heads the keystore signs. The function that it
// returns closes the log.
func (g *globals) openAudit(ctx context.Context, ks *keys.Keystore) (*audit.Log, func() error, error) {
	path, err := g.inFolder("audit.jsonl")
	if err != nil {
		return nil, nil, err
	}
	return openAuditAt(ctx, ks, path, audit.Options{})
}

// openAuditAt opens a log at path whose heads the keystore signs and stores.
func openAuditAt(ctx context.Context, ks *keys.Keystore, path string, opt audit.Options) (*audit.Log, func() error, error) {
	signer, err := ks.HeadSigner(ctx)
	if err != nil {
		return nil, nil, err
	}
	name, err := logName(path)
	if err != nil {
		return nil, nil, errors.Join(err, signer.Close())
	}
	// The stored heads are read before the log is opened: others may append meanwhile.
	known, err := ks.LogHeads(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, signer.Close())
	}
	// The last head is stored even if the command was interrupted.
	ctx = context.WithoutCancel(ctx)
	opt.Signer = signer
	more := opt.OnHead
	opt.OnHead = func(h audit.Head) error {
		err := storeHead(ctx, ks, name, h)
		if more != nil {
			err = errors.Join(err, more(h))
		}
		return err
	}
	log, err := audit.Open(path, opt)
	if err != nil {
		return nil, nil, errors.Join(withAuditHint(err), signer.Close())
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

// headTimeout bounds the time to store a head in the keystore.
const headTimeout = 20 * time.Second

// keepHead keeps the last head of a log in the keystore. One that can only be read
// keeps none.
func storeHead(ctx context.Context, ks *keys.Keystore, name string, h audit.Head) error {
	ctx, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	err := ks.KeepLogHead(ctx, keys.LogHead{Log: name, Seq: h.Seq, Digest: h.Digest, Time: h.Time, Key: h.Key, Signature: h.Signature})
	if errors.Is(err, keys.ErrReadOnly) {
		return nil
	}
	return err
}

// logName returns the name of the log at path in the keystore: machine and path, since
// several machines may have a log at the same path.
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

// hostName returns VELONYM_HOST or the machine's host name. A container, which gets another
// host name at each start, needs the variable.
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

// keyAct is an act on keys or tokens whose beginning is in the audit log.
type keyAct struct {
	log   *audit.Log
	begun audit.Record
	noted int // records of parts
}

// note appends the record of a part of the act that is done.
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

// recorded performs an act on keys or tokens. A record with outcome BEGUN is on disk before
// the act begins, and one with its outcome before recorded returns. If the first cannot be
// written, the act is not performed.
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
	err = errors.Join(do(a), g.appendTombstones(ctx, ks, nil))
	if err != nil || a.noted == 0 {
		r.Outcome, r.Head = actOutcome(err), true // one sync for the record and the last head
		err = errors.Join(err, a.note(r))
	}
	return errors.Join(err, closeLog())
}

// appendTombstones appends what was destroyed and revoked to the tombstone file beside the
// audit log, so that no older copy of the keystore can bring it back.
func (g *globals) appendTombstones(ctx context.Context, ks *keys.Keystore, shortened map[string]time.Time) error {
	path, err := g.inFolder("tombstones.jsonl")
	if err != nil {
		return err
	}
	return backup.Note(context.WithoutCancel(ctx), ks, path, shortened)
}

// actOutcome returns the outcome of an act on keys for the audit log.
func actOutcome(err error) string {
	switch {
	case err == nil:
		return "OK"
	case errors.Is(err, keys.ErrTraces):
		return "TRACES" // destroyed, and the store's files are not rewritten yet
	}
	return "FAILED"
}

// recordSwept appends a record for every project that a sweep ended, resumed or rotated,
// or whose keys it destroyed.
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
