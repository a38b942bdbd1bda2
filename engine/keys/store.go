package keys

import (
	"context"
	"time"
)

// SchemaVersion is the version of the tables that the stores create and use. A store
// refuses a newer version with ErrSchema. [New] upgrades versions from OldestSchema on.
//
// Version 2 added the seals of rows (see seal.go) and renamed the table of the change
// counter, so that programs of version 1 that have the store open cannot change rows
// without sealing them.
//
// Version 3 added a project's grace, the time at which its end was noted, and its
// scheduled severing. It renamed the counter's table again.
//
// Version 4 added the list of issued tokens, rules that revoke many tokens, and the
// change number of each revocation. It renamed the counter's table a third time.
//
// Version 5 added scheduled rotation and moved wrapped secrets out of the table of
// generations.
const (
	SchemaVersion = 5
	OldestSchema  = 1
)

// Store keeps the rows of a keystore durably. It sees only wrapped secrets and makes
// no decisions. Several processes may use one store at the same time. Implementations
// are safe for concurrent use and pass the tests of package storetest.
type Store interface {
	// View calls f with a consistent, read-only view.
	View(ctx context.Context, f func(Tx) error) error

	// Update calls f in a transaction that is serialised against every other
	// Update of every process, and commits it durably if f returns nil.
	// Otherwise it changes nothing and returns the error of f unchanged.
	Update(ctx context.Context, f func(Tx) error) error

	// Change reads the change counter and what q asks for. It costs one query.
	Change(ctx context.Context, q ChangeQuery) (ChangeRow, error)

	// Domain overwrites rows with the answer to q, at the cost of one query. It
	// reports false, and leaves rows as they are, if the caller must read in a View.
	Domain(ctx context.Context, q DomainQuery, rows *DomainRows) (direct bool, err error)

	// Scrub rewrites the store's files so that they hold no content that was
	// deleted before the call.
	Scrub(ctx context.Context) error

	// Verify reads the whole store and checks its structure: see
	// [Keystore.Verify]. Errors: ErrCorrupt.
	Verify(ctx context.Context) error

	// Name says where the store is, for error texts. It contains no password.
	Name() string

	// Close releases the store. Calls after it fail.
	Close() error
}

// ChangeQuery asks for entries of the meta table besides the change counter.
type ChangeQuery struct {
	Meta    string // name of an entry
	Known   uint64 // a change number
	Changed string // name of an entry that is read unless the change number is Known
}

// ChangeRow answers a [ChangeQuery]. Entries that do not exist or were not read are nil.
type ChangeRow struct {
	Number  uint64    // the change counter
	Clock   time.Time // as Tx.Clock
	Meta    []byte
	Changed []byte
}

// Watcher is a Store that notifies of changes.
type Watcher interface {
	// Watch calls changed soon after any process has raised the change counter,
	// until the context ends. It may call changed more often, and it may miss
	// changes while the store cannot be reached, so callers must poll as well.
	Watch(ctx context.Context, changed func())
}

// ProjectRow is the stored row of a project.
type ProjectRow struct {
	Project
	Reason string // why it is severed: ReasonSevered or ReasonRetention

	KeysMAC []byte // HMAC of the states of its generations
	Seal    []byte // HMAC of all other fields
}

// KeyRow is the stored row of a generation.
type KeyRow struct {
	Domain
	Gen       int
	State     State
	Imported  bool
	Created   time.Time
	Destroyed time.Time
	Wrapped   []byte // nil when destroyed
}

// Tx is one transaction of a [Store]. It belongs to one goroutine and is invalid once
// the function that received it returns. Times have microsecond precision.
type Tx interface {
	// Schema returns the version of the store's tables. Upgrade brings older
	// tables to SchemaVersion and writes no seals. Before an upgrade only Schema
	// and Meta work.
	Schema() (int, error)
	Upgrade() error

	// Clock returns the time of the store's own clock, or zero if the store has
	// no clock of its own.
	Clock() (time.Time, error)

	// Meta returns nil if there is no such entry. SetMeta with nil removes the entry.
	Meta(name string) ([]byte, error)
	SetMeta(name string, value []byte) error

	// Project returns ErrNotFound if there is no project of that name. Projects
	// lists them by name, in byte order. AddProject returns ErrExists.
	Project(name string) (ProjectRow, error)
	Projects() ([]ProjectRow, error)
	ListProjects(q ProjectQuery) ([]ProjectRow, error)
	AddProject(p ProjectRow) error
	// Due lists, by name, the projects whose end or next rotation is at or before
	// by, and those noted as ended. It lists no severed project.
	Due(by time.Time) ([]ProjectRow, error)
	// Outlook counts the projects at the time now.
	Outlook(now time.Time) (Outlook, error)
	SetRetention(name string, until time.Time) error
	SetSevered(name string, at time.Time, reason string) error
	// SetSchedule stores when a sweep noted that the project ended, and when its
	// severing is scheduled. Zero clears either.
	SetSchedule(name string, ended, severAt time.Time) error
	SetRotation(name string, every time.Duration, at time.Time) error

	// SetSeal stores the seals of a project's row. SealList returns the document
	// of one bucket, nil if there is none. SealLists returns all documents.
	SetSeal(name string, keysMAC, seal []byte) error
	SealList(bucket uint16) ([]byte, error)
	SealLists() (map[uint16][]byte, error)
	SetSealList(bucket uint16, doc []byte) error

	// Keys lists the generations of all domains of a project, by organisation in
	// byte order, then by number. DomainKeys lists those of one domain, by
	// number. The caller wipes their Wrapped fields. KeyStates is Keys without
	// the secrets: Wrapped is nil.
	Keys(prj string) ([]KeyRow, error)
	KeyStates(prj string) ([]KeyRow, error)
	DomainKeys(d Domain) ([]KeyRow, error)
	AddKey(k KeyRow) error
	Deactivate(d Domain, gen int) error
	// RewrapKeys replaces every wrapped secret by the one that f returns for it.
	// Of the row, f gets Domain, Gen and Wrapped, and keeps nothing. The store
	// wipes both wrapped secrets.
	RewrapKeys(f func(KeyRow) (wrapped []byte, err error)) error
	// EraseKeys overwrites and then deletes all wrapped secrets of a project, and
	// marks its generations destroyed. EraseKey does so to one generation.
	EraseKeys(prj string, at time.Time) error
	EraseKey(d Domain, gen int, at time.Time) error

	// Receipts lists receipts in the order in which they were added. Project ""
	// selects all.
	AddReceipt(project string, doc []byte) error
	Receipts(project string) ([][]byte, error)

	TokenTx
	BackupTx

	// Change returns the change counter. RaiseChange increments it.
	Change() (uint64, error)
	RaiseChange() error
}
