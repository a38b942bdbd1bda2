package keys

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/kernel"
)

// Keystore gives out and looks after the secrets in a [Store]. It keeps no
// secret in memory between calls, and is safe for concurrent use, by several
// processes too.
type Keystore struct {
	store Store
	mk    *MasterKey
	now   func() time.Time
	seal  *kernel.HMAC
	root  atomic.Pointer[seals] // as last read by a view
}

// Option changes what [New] makes.
type Option func(*Keystore)

// WithClock sets the clock that retention is checked by.
func WithClock(now func() time.Time) Option {
	return func(ks *Keystore) { ks.now = now }
}

// New joins a store and a master key. A store that was only just created is
// bound to the key: its check value, the seed of the built-in issuer and the
// receipt key are written. From then on any other key is ErrWrongMasterKey.
// The store is not closed on error.
func New(ctx context.Context, store Store, mk *MasterKey, options ...Option) (*Keystore, error) {
	ks := &Keystore{store: store, mk: mk, now: time.Now}
	for _, o := range options {
		o(ks)
	}
	var at opening
	read := func(tx Tx) (err error) {
		at, err = readOpening(tx)
		return err
	}
	if err := store.View(ctx, read); err != nil {
		return nil, err
	}
	if at.check == nil || at.schema < SchemaVersion {
		err := store.Update(ctx, func(tx Tx) error {
			// Another process may have been faster.
			if err := read(tx); err != nil || at.check != nil && at.schema == SchemaVersion {
				return err
			}
			if err := ks.prepare(tx, at); err != nil {
				return err
			}
			return read(tx)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := ks.opens(at.check, checkText); err != nil {
		return nil, err
	}
	if err := ks.openSeals(at.sealKey); err != nil {
		return nil, err
	}
	return ks, nil
}

// Close closes the store. No call may be under way.
func (ks *Keystore) Close() error {
	ks.seal.Release()
	return ks.store.Close()
}

// change runs f in a transaction with the seals that were read in it, and writes
// these when f says that it changed them.
func (ks *Keystore) change(ctx context.Context, f func(Tx, *seals) (changed bool, err error)) error {
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

// IssuerSeed returns the 32-byte Ed25519 seed of the built-in issuer. It is
// made with the keystore and never changes. The caller wipes it.
func (ks *Keystore) IssuerSeed(ctx context.Context) ([]byte, error) {
	var seed []byte
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		seed, err = ks.seed(tx, metaIssuer, purposeIssuer)
		return err
	})
	return seed, err
}

func (ks *Keystore) seed(tx Tx, meta, purpose string) ([]byte, error) {
	blob, err := tx.Meta(meta)
	if err != nil {
		return nil, err
	}
	seed, err := ks.mk.unwrap(make([]byte, 0, ed25519.SeedSize), blob, purpose, Domain{}, 0)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: the %s key of %s does not open: restore it from a backup", ErrCorrupt, purpose, ks.store.Name())
	}
	return seed, nil
}

// Change returns a counter that every change of projects, keys and revocations
// raises, in whichever process it is made. It is cheap enough to be polled
// several times a second.
func (ks *Keystore) Change(ctx context.Context) (uint64, error) { return ks.store.Change(ctx) }
