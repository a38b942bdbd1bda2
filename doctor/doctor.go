// Package doctor looks at what a keystore, its audit log and the machine beneath need to
// work, and says of each thing whether it is well and what to do when it is not. It
// reads only: it writes, repairs and destroys nothing, and shows no key.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// Status is what a check came to.
type Status string

// OK is well, Warn works but should be looked at, Fail does not work or puts keys at
// risk. Skip could not be checked, or does not apply, for the reason in the detail.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Result is what one check found.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"` // what to do; empty when all is well
}

// Target is what to look at.
type Target struct {
	Dir       string   // folder of keystore and keys
	Keystore  string   // an SQLite file or the address of a PostgreSQL database
	MasterKey string   // a source as [keys.LoadMasterKey] takes it
	Audit     string   // the audit log's file; "" for none
	AuditName string   // by which the keystore knows that log; "" if it is not to be asked
	Host      string   // this machine in the places of backups
	Outputs   []string // folders that runs write to
	Dumps     string   // how this process keeps itself out of dumps: "off" or "allowed"
}

// timeout bounds each check of something that may not answer.
const timeout = 15 * time.Second

// checks are all families, in the order in which they are told.
var checks = []func(context.Context, *patient) []Result{
	checkFolder, checkMasterKeyFile, checkKeystoreFiles, checkAuditFiles,
	checkDatabase, checkOpens, checkSchema, checkProjects, checkTraces,
	checkClock, checkMachineClock,
	checkAuditLog, checkTombstones, checkBackups,
	checkDisks,
	checkKeyMemory, checkDumps,
}

// patient is the target, with what earlier checks opened.
type patient struct {
	Target
	store keys.Store
	ks    *keys.Keystore
	why   string // why the keystore is not open
}

// Run makes all checks.
func Run(ctx context.Context, t Target) []Result {
	p := &patient{Target: t}
	defer p.close()
	var all []Result
	for _, check := range checks {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		all = append(all, check(ctx, p)...)
		cancel()
	}
	return all
}

func (p *patient) close() {
	// Only reading was done: there is nothing that closing could lose.
	switch {
	case p.ks != nil:
		_ = p.ks.Close()
	case p.store != nil:
		_ = p.store.Close()
	}
}

func ok(check, format string, args ...any) Result {
	return Result{Check: check, Status: OK, Detail: fmt.Sprintf(format, args...)}
}

func skip(check, format string, args ...any) Result {
	return Result{Check: check, Status: Skip, Detail: fmt.Sprintf(format, args...)}
}

func warn(check, remedy, format string, args ...any) Result {
	return Result{Check: check, Status: Warn, Detail: fmt.Sprintf(format, args...), Remedy: remedy}
}

func fail(check, remedy, format string, args ...any) Result {
	return Result{Check: check, Status: Fail, Detail: fmt.Sprintf(format, args...), Remedy: remedy}
}

// readOnly is a store whose every change is refused, whatever opens it.
type readOnly struct{ keys.Store }

var errLooking = errors.New("doctor: it only looks")

func (readOnly) Update(context.Context, func(keys.Tx) error) error {
	return fmt.Errorf("%w: %w", keys.ErrReadOnly, errLooking)
}

func (readOnly) Scrub(context.Context) error {
	return fmt.Errorf("%w: %w", keys.ErrReadOnly, errLooking)
}
