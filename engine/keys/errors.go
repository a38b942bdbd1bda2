package keys

import "errors"

// Errors of creating and opening a keystore.
var (
	// ErrNoKeystore is returned when there is no keystore to open. Opening never
	// creates one.
	ErrNoKeystore = errors.New("keys: no keystore")

	// ErrKeystoreExists is returned when something exists where a keystore is to be
	// created. Creating never overwrites.
	ErrKeystoreExists = errors.New("keys: already exists")

	// ErrForeign is returned for a file or database that is not a keystore.
	ErrForeign = errors.New("keys: not a velonym keystore")

	// ErrCorrupt is returned when a keystore is damaged: its structure is invalid,
	// or a wrapped secret does not unwrap.
	ErrCorrupt = errors.New("keys: keystore is damaged")

	// ErrTampered is returned when rows do not match their seals: something other
	// than this package wrote to the store.
	ErrTampered = errors.New("keys: KEYSTORE_TAMPERED")

	// ErrClock is returned by operations that destroy, create or return keys when
	// this machine's clock disagrees with the store's.
	ErrClock = errors.New("keys: KEYSTORE_CLOCK")

	// ErrCopied is returned for a copy of a keystore's file without the write-ahead
	// log, which holds the last commits.
	ErrCopied = errors.New("keys: KEYSTORE_COPIED")

	// ErrSchema is returned for a keystore of a newer version of this package.
	ErrSchema = errors.New("keys: unknown keystore schema")

	// ErrUnreadable is returned when the system refuses access.
	ErrUnreadable = errors.New("keys: cannot read keystore")

	// ErrReadOnly is returned by operations that write when the keystore can only be
	// read.
	ErrReadOnly = errors.New("keys: keystore is read-only")

	// ErrMasterKey is returned when a source yields no usable master key.
	ErrMasterKey = errors.New("keys: no master key")

	// ErrWrongMasterKey is returned when the master key is not the keystore's.
	ErrWrongMasterKey = errors.New("keys: wrong master key")
)

// Errors of creating and changing projects.
var (
	// ErrInvalid is returned for an invalid argument.
	ErrInvalid = errors.New("keys: invalid")

	// ErrScheduled is returned with ErrInvalid when a scheduled severing must be
	// cancelled first.
	ErrScheduled = errors.New("its severing is scheduled")

	// ErrExists is returned when a project of that name exists or existed.
	ErrExists = errors.New("keys: project exists")

	// ErrTooManyGenerations is returned when a domain has had MaxGenerations.
	ErrTooManyGenerations = errors.New("keys: too many generations")

	// ErrExtend is returned when the new end of a retention is later than the old one.
	ErrExtend = errors.New("keys: retention can only be shortened")
)

// Errors of using a project.
var (
	// ErrNotFound is returned when there is no such project, organisation,
	// generation, token or issuer.
	ErrNotFound = errors.New("keys: not found")

	// ErrRetentionOver is returned when the project's retention has ended.
	ErrRetentionOver = errors.New("keys: retention is over")

	// ErrSevered is returned when the project was severed before its
	// retention ended.
	ErrSevered = errors.New("keys: project is severed")
)

// Errors of destruction.
var (
	// ErrTraces is returned with a valid receipt when the secrets are deleted but
	// the store could not rewrite its files yet, for example because a reader held
	// them: old pages may still hold the wrapped secrets. The next Sweep tries again.
	ErrTraces = errors.New("keys: traces of destroyed secrets may remain")

	// ErrReceipt is returned when a receipt does not verify.
	ErrReceipt = errors.New("keys: receipt does not verify")
)
