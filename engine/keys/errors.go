package keys

import "errors"

// Errors of opening and making a keystore.
var (
	// ErrNoKeystore is returned when there is nothing where a keystore is
	// to be opened. Opening never makes one.
	ErrNoKeystore = errors.New("keys: no keystore")

	// ErrKeystoreExists is returned when a keystore, or anything else,
	// already is where one is to be made. Nothing is ever overwritten.
	ErrKeystoreExists = errors.New("keys: already exists")

	// ErrForeign is returned for a file or database that is something else
	// than a keystore.
	ErrForeign = errors.New("keys: not a velonym keystore")

	// ErrCorrupt is returned when a keystore is damaged: a structure that
	// does not hold, or a wrapped secret that does not open.
	ErrCorrupt = errors.New("keys: keystore is damaged")

	// ErrTampered is returned when projects, generations or revocations are
	// not as this package left them: somebody else wrote to the store.
	ErrTampered = errors.New("keys: KEYSTORE_TAMPERED")

	// ErrClock is returned when this machine's clock disagrees with the store's:
	// by what destroys, makes or gives out keys.
	ErrClock = errors.New("keys: KEYSTORE_CLOCK")

	// ErrCopied is returned for a copy of a keystore's file without the log that
	// holds what was committed last.
	ErrCopied = errors.New("keys: KEYSTORE_COPIED")

	// ErrSchema is returned for a keystore made by a newer version.
	ErrSchema = errors.New("keys: unknown keystore schema")

	// ErrUnreadable is returned when the system refuses access.
	ErrUnreadable = errors.New("keys: cannot read keystore")

	// ErrReadOnly is returned by what must write, for a keystore that can
	// only be read.
	ErrReadOnly = errors.New("keys: keystore is read-only")

	// ErrMasterKey is returned when a source yields no usable master key.
	ErrMasterKey = errors.New("keys: no master key")

	// ErrWrongMasterKey is returned when the master key is not the one that
	// the keystore was made with.
	ErrWrongMasterKey = errors.New("keys: wrong master key")
)

// Errors of making and changing projects.
var (
	// ErrInvalid is returned for a project, identifier or amount whose shape
	// is refused.
	ErrInvalid = errors.New("keys: invalid")

	// ErrScheduled is returned with ErrInvalid when a severing that is still to come
	// would have to be cancelled first.
	ErrScheduled = errors.New("its severing is scheduled")

	// ErrExists is returned when a project of that name exists or existed.
	ErrExists = errors.New("keys: project exists")

	// ErrTooManyGenerations is returned when a domain has had all its twelve.
	ErrTooManyGenerations = errors.New("keys: too many generations")

	// ErrExtend is returned when a retention would end later than it does.
	ErrExtend = errors.New("keys: retention can only be shortened")
)

// Errors of using a project.
var (
	// ErrNotFound is returned when there is no such project, or the project
	// has no such organisation.
	ErrNotFound = errors.New("keys: not found")

	// ErrRetentionOver is returned when the project's retention has ended.
	ErrRetentionOver = errors.New("keys: retention is over")

	// ErrSevered is returned when the project was severed before its
	// retention ended.
	ErrSevered = errors.New("keys: project is severed")
)

// Errors of destruction.
var (
	// ErrTraces is returned beside a valid receipt when the secrets are
	// deleted but the store could not yet rewrite its files, because a
	// reader held them: old pages may keep the wrapped secrets. The next
	// Sweep tries again.
	ErrTraces = errors.New("keys: traces of destroyed secrets may remain")

	// ErrReceipt is returned when a receipt does not verify.
	ErrReceipt = errors.New("keys: receipt does not verify")
)
