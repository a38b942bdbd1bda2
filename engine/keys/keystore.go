package keys

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/kernel/hmacsha256"
)

// Keystore manages the projects and secrets in a [Store]. It keeps no secret in
// memory between calls. It is safe for concurrent use by several goroutines and
// several processes.
type Keystore struct {
	store    Store
	mk       *MasterKey
	now      func() time.Time
	storeNow func() time.Time // replaces the store's clock in tests
	uptime   func() uptime
	seal     *hmacsha256.HMAC
	root     atomic.Pointer[sealRoot] // the last root that a view verified
}

// Option configures a [Keystore].
type Option func(*Keystore)

// WithClock replaces this machine's clock. It does not replace the time since boot.
func WithClock(now func() time.Time) Option {
	return func(ks *Keystore) { ks.now = now }
}

// New opens a store with a master key. It binds a newly created store to the key:
// it writes the key's check value, the seed of the built-in issuer and the receipt
// key. Any other key is ErrWrongMasterKey from then on. New upgrades a store of an
// older schema. It does not close the store on error.
func New(ctx context.Context, store Store, mk *MasterKey, options ...Option) (*Keystore, error) {
	ks := &Keystore{store: store, mk: mk, now: time.Now, uptime: machineUptime}
	for _, o := range options {
		o(ks)
	}
	var header storeHeader
	read := func(tx Tx) (err error) {
		header, err = readHeader(tx)
		return err
	}
	if err := store.View(ctx, read); err != nil {
		return nil, err
	}
	if header.check == nil || header.schema < SchemaVersion {
		err := store.Update(ctx, func(tx Tx) error {
			// Another process may have bound or upgraded the store meanwhile.
			if err := read(tx); err != nil || header.check != nil && header.schema == SchemaVersion {
				return err
			}
			if err := ks.prepare(tx, header); err != nil {
				return err
			}
			return read(tx)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := ks.checkMasterKey(header.check, header.fingerprint, checkText); err != nil {
		return nil, err
	}
	if err := ks.openSealKey(header.sealKey); err != nil {
		return nil, err
	}
	return ks, nil
}

// Close closes the store. No other call may be in progress.
func (ks *Keystore) Close() error {
	ks.seal.Release()
	return ks.store.Close()
}

// change runs f in a transaction with the store's seals. If f reports a change, it
// writes the seals back and raises the change counter.
func (ks *Keystore) change(ctx context.Context, f func(Tx, *sealRoot) (changed bool, err error)) error {
	return ks.store.Update(ctx, func(tx Tx) error {
		s, err := ks.readSeals(tx)
		if err != nil {
			return err
		}
		changed, err := f(tx, s)
		if err != nil || !changed {
			return err
		}
		if err := ks.writeSeals(tx, s); err != nil {
			return err
		}
		return tx.RaiseChange()
	})
}

// IssuerSeed returns the 32-byte Ed25519 seed of the built-in issuer. New creates it
// and RotateIssuer replaces it. The caller wipes the slice.
func (ks *Keystore) IssuerSeed(ctx context.Context) ([]byte, error) {
	var seed []byte
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		seed, err = ks.seed(tx, metaIssuer, purposeIssuer)
		return err
	})
	return seed, err
}

// seed unwraps the signing seed in an entry of the meta table. The caller wipes it.
func (ks *Keystore) seed(tx Tx, meta, purpose string) ([]byte, error) {
	blob, err := tx.Meta(meta)
	if err != nil {
		return nil, err
	}
	seed, err := ks.mk.unwrap(make([]byte, 0, ed25519.SeedSize), blob, purpose, Domain{}, 0)
	if err != nil {
		var again bool
		if again, err = ks.followMasterKey(tx); err != nil {
			return nil, err
		}
		if again {
			seed, err = ks.mk.unwrap(make([]byte, 0, ed25519.SeedSize), blob, purpose, Domain{}, 0)
		}
	}
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: the %s key of %s does not open: restore it from a backup", ErrCorrupt, purpose, ks.store.Name())
	}
	return seed, nil
}

// Change returns a counter that every change of projects, keys and revocations by any
// process increments. It is cheap enough to poll several times a second. Errors:
// ErrClock if the clock is refused, ErrWrongMasterKey if another process changed the
// master key.
func (ks *Keystore) Change(ctx context.Context) (uint64, error) {
	q := ChangeQuery{Meta: metaClock, Changed: metaSeals}
	if s := ks.root.Load(); s != nil {
		q.Known = s.change
	}
	row, err := ks.store.Change(ctx, q)
	if err != nil {
		return 0, err
	}
	c, err := ks.clockOf(row.Clock, row.Meta)
	if err == nil {
		_, err = c.Time()
	}
	if err != nil {
		return 0, err
	}
	if row.Number == q.Known {
		return row.Number, nil
	}
	if s, ok := ks.openSeals(row.Changed); ok {
		s.change = row.Number
		ks.root.Store(s)
		return row.Number, nil
	}
	// Either the master key has changed or something is wrong with the root.
	return row.Number, ks.store.View(ctx, func(tx Tx) error {
		_, err := ks.viewSeals(tx)
		return err
	})
}

// IssuersVersion identifies the settings of the issuers that the last call of Change saw:
// it changes with every change of the built-in issuer and of the trusted ones.
func (ks *Keystore) IssuersVersion() string {
	if s := ks.root.Load(); s != nil {
		return string(s.settings[:])
	}
	return ""
}

// Watch calls changed soon after any process has changed the store, until the context
// ends: see [Watcher]. It returns at once if the store does not notify of changes.
func (ks *Keystore) Watch(ctx context.Context, changed func()) {
	if w, ok := ks.store.(Watcher); ok {
		w.Watch(ctx, changed)
	}
}
