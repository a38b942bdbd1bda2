package keys

import (
	"context"
	"time"
)

// SchemaVersion is the version of the tables that this package's stores make
// and work with. A store refuses a newer one with ErrSchema; an older one, from
// OldestSchema on, is upgraded by [New].
//
// Version 2 added the seals of rows (see seal.go), and gave the table of the change
// counter another name, so that programs of version 1 that have the store open
// cannot change what they would not seal.
//
// Version 3 added the grace, the end that was noticed and the scheduled severing of a
// project, and renamed the counter's table again.
//
// Version 4 added the list of issued tokens, the revocation of many tokens by one
// rule, and the change with which a revocation was made; it renamed the counter's
// table a third time.
//
// Version 5 added when a project's generations are replaced, and keeps wrapped secrets
// apart from the states of generations.
const (
	SchemaVersion = 5
	OldestSchema  = 1
)

// Store keeps the rows of a keystore durably. It sees only wrapped secrets and
// takes no decision. Several processes may use one store at the same time.
// Implementations are safe for concurrent use; storetest holds the tests that
// all of them pass.
type Store interface {
	// View calls f with a consistent, read-only view.
	View(ctx context.Context, f func(Tx) error) error

	// Update calls f in a transaction that is serialised against every other
	// Update of every process, and commits it durably when f returns nil.
	// Otherwise nothing is changed, and the error of f is returned as it is.
	Update(ctx context.Context, f func(Tx) error) error

	// Change reads the change counter, the store's clock (see [Tx.Clock]) and
	// the entry of the meta table of that name, cheaply.
	Change(ctx context.Context, meta string) (n uint64, clock time.Time, value []byte, err error)

	// Scrub rewrites what the store keeps on disk so that no content deleted
	// before the call is left in it.
	Scrub(ctx context.Context) error

	// Verify reads all that the store keeps and checks its structure: see
	// [Keystore.Verify]. Errors: ErrCorrupt.
	Verify(ctx context.Context) error

	// Name says where the store is, for error texts; it holds no password.
	Name() string

	// Close releases the store. Calls after it fail.
	Close() error
}

// Watcher is a Store that tells of changes.
type Watcher interface {
	// Watch calls changed soon after any process has raised the change counter,
	// until the context ends. It may call more often, and it may miss changes while
	// the store cannot be reached: whoever watches polls as well.
	Watch(ctx context.Context, changed func())
}

// ProjectRow is a project as a store keeps it.
type ProjectRow struct {
	Project
	Reason string // why it is severed: ReasonSevered or ReasonRetention

	KeysMAC []byte // of the states of its generations
	Seal    []byte // of all the other fields
}

// KeyRow is a generation as a store keeps it.
type KeyRow struct {
	Domain
	Gen       int
	State     State
	Imported  bool
	Created   time.Time
	Destroyed time.Time
	Wrapped   []byte // nil when destroyed
}

// Tx is one transaction of a [Store]. It is used by one goroutine and not kept
// after the function that it was given to. Times have microsecond precision.
type Tx interface {
	// Schema is the version of the store's tables. Upgrade brings those of an
	// older one to SchemaVersion, without any seals; before it, only Schema and
	// Meta work.
	Schema() (int, error)
	Upgrade() error

	// Clock is the time of the store's own clock, and zero for a store that has
	// none beside that of its processes' machines.
	Clock() (time.Time, error)

	// Meta returns nil when there is no such entry. SetMeta with nil removes.
	Meta(name string) ([]byte, error)
	SetMeta(name string, value []byte) error

	// Project returns ErrNotFound when there is none of that name. Projects
	// are listed by name, in byte order. AddProject returns ErrExists.
	Project(name string) (ProjectRow, error)
	Projects() ([]ProjectRow, error)
	ListProjects(q ProjectQuery) ([]ProjectRow, error)
	AddProject(p ProjectRow) error
	// Due lists the projects, by name, whose end or next rotation is at that time
	// or earlier, and those noted as ended; no severed ones.
	Due(by time.Time) ([]ProjectRow, error)
	SetRetention(name string, until time.Time) error
	SetSevered(name string, at time.Time, reason string) error
	// SetSchedule stores when a sweep found the project ended and when it is to
	// be severed; zero for neither.
	SetSchedule(name string, ended, severAt time.Time) error
	SetRotation(name string, every time.Duration, at time.Time) error

	// SetSeal stores the seals of a project's row. SealList is what was stored
	// for a bucket, nil for none; SealLists are all.
	SetSeal(name string, keysMAC, seal []byte) error
	SealList(bucket uint16) ([]byte, error)
	SealLists() (map[uint16][]byte, error)
	SetSealList(bucket uint16, doc []byte) error

	// Keys lists the generations of all domains of a project, by
	// organisation in byte order, then by number. DomainKeys lists one
	// domain's, by number. The caller wipes what is wrapped in them.
	// KeyStates is Keys without reading any secret: Wrapped is nil.
	Keys(prj string) ([]KeyRow, error)
	KeyStates(prj string) ([]KeyRow, error)
	DomainKeys(d Domain) ([]KeyRow, error)
	AddKey(k KeyRow) error
	Deactivate(d Domain, gen int) error
	// SetWrapped replaces the wrapped secret of a living generation.
	SetWrapped(d Domain, gen int, wrapped []byte) error
	// EraseKeys overwrites and then deletes all wrapped secrets of a
	// project, and marks its generations destroyed.
	EraseKeys(prj string, at time.Time) error
	// EraseKey does the same to one generation.
	EraseKey(d Domain, gen int, at time.Time) error

	// Receipts are listed in the order in which they were added; project ""
	// means all.
	AddReceipt(project string, doc []byte) error
	Receipts(project string) ([][]byte, error)

	TokenTx
	BackupTx

	// Change reads the change counter, RaiseChange raises it.
	Change() (uint64, error)
	RaiseChange() error
}
