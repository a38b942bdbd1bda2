package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Generations lists the generations of a project by organisation, oldest first,
// without secrets. Errors: ErrNotFound.
func (ks *Keystore) Generations(ctx context.Context, name string) (map[string][]Generation, error) {
	out := make(map[string][]Generation)
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		_, rows, err := ks.findWithKeys(tx, s, name)
		for i := range rows {
			out[rows[i].Org] = append(out[rows[i].Org], rows[i].generation())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (r *KeyRow) generation() Generation {
	return Generation{Gen: r.Gen, State: r.State, Imported: r.Imported, Created: r.Created, Destroyed: r.Destroyed}
}

// Secrets returns the living generations of a domain with their secrets, oldest
// first. The caller wipes them with [WipeSecrets]. Each call checks the retention
// against the clock. Errors: ErrNotFound, ErrRetentionOver, ErrSevered, ErrCorrupt.
func (ks *Keystore) Secrets(ctx context.Context, d Domain) ([]Generation, error) {
	for {
		fingerprint := ks.mk.Fingerprint()
		out, err := ks.secrets(ctx, d)
		// Another call may have adopted a new master key between reading and unwrapping.
		if err == nil || !errors.Is(err, ErrCorrupt) || ks.mk.Fingerprint() == fingerprint {
			return out, err
		}
	}
}

func (ks *Keystore) secrets(ctx context.Context, d Domain) ([]Generation, error) {
	var rows []KeyRow
	err := ks.store.View(ctx, func(tx Tx) error {
		p, err := ks.viewProject(tx, d.Prj)
		if err != nil {
			return err
		}
		if !p.hasOrg(d.Org) {
			return fmt.Errorf("%w: project %q has no such organisation", ErrNotFound, d.Prj)
		}
		var now time.Time
		if !p.Severed { // a severed project stays severed whatever the clock says
			if now, err = ks.time(tx); err != nil {
				return err
			}
		}
		if err := p.checkAlive(now); err != nil {
			return err
		}
		if rows, err = tx.DomainKeys(d); err != nil {
			return err
		}
		whole := rows
		if len(p.Orgs) > 1 {
			if whole, err = tx.KeyStates(d.Prj); err != nil {
				return err
			}
			if !slices.EqualFunc(rows, slices.DeleteFunc(slices.Clone(whole), func(r KeyRow) bool { return r.Org != d.Org }), sameState) {
				return ks.tamperedProject(d.Prj)
			}
		}
		return ks.checkKeys(&p, whole)
	})
	defer wipeRows(rows)
	if err != nil {
		return nil, err
	}
	out := make([]Generation, 0, len(rows))
	active := 0
	for i := range rows {
		if rows[i].State == Active {
			active++
		}
		if rows[i].State == Destroyed {
			continue
		}
		g := rows[i].generation()
		out = append(out, g)
		// Unwrap in place: no second copy is left behind.
		s := out[len(out)-1].Secret[:0]
		s, err := ks.mk.unwrap(s, rows[i].Wrapped, purposeSecret, d, g.Gen)
		if err != nil || len(s) != SecretSize {
			WipeSecrets(out)
			return nil, fmt.Errorf("%w: generation %d of project %q does not open under the master key: restore %s from a backup", ErrCorrupt, g.Gen, d.Prj, ks.store.Name())
		}
	}
	if active != 1 {
		WipeSecrets(out)
		return nil, fmt.Errorf("%w: project %q has %d active generations in a domain instead of one: restore %s from a backup", ErrCorrupt, d.Prj, active, ks.store.Name())
	}
	return out, nil
}

// wrapSecret wraps secret, or 32 random bytes if secret is nil.
func (ks *Keystore) wrapSecret(secret []byte, d Domain, gen int) []byte {
	if secret == nil {
		var s [SecretSize]byte
		defer wipe(s[:])
		rand.Read(s[:])
		secret = s[:]
	}
	return ks.mk.wrap(secret, purposeSecret, d, gen)
}

// sameState reports whether two rows are equal except for their secrets.
func sameState(a, b KeyRow) bool {
	a.Wrapped, b.Wrapped = nil, nil
	return a.Domain == b.Domain && a.Gen == b.Gen && a.State == b.State && a.Imported == b.Imported && a.Created.Equal(b.Created) && a.Destroyed.Equal(b.Destroyed)
}

// wipeRows overwrites the wrapped secrets of rows: whoever has the master key could
// unwrap a copy left in memory.
func wipeRows(rows []KeyRow) {
	for i := range rows {
		wipe(rows[i].Wrapped)
	}
}

// WipeSecrets overwrites the secrets that [Keystore.Secrets] returned.
func WipeSecrets(gens []Generation) {
	for i := range gens {
		wipe(gens[i].Secret[:])
	}
}

// MaxGenerations is how many generations a domain can have in its life. They are
// numbered from 0, and no number is reused.
const MaxGenerations = 12

// SecretSize is the length in bytes of the secret of a generation.
const SecretSize = 32

// State is the state of a generation.
type State string

// The states of a generation, in the order in which it passes through them.
const (
	Active      State = "active"      // makes and reverses pseudonyms
	Deactivated State = "deactivated" // only reverses
	Destroyed   State = "destroyed"   // its secret is destroyed
)

// Generation is one generation of a domain's secret.
type Generation struct {
	Gen       int
	State     State
	Imported  bool             // the secret came from outside
	Created   time.Time        // UTC
	Destroyed time.Time        // zero while the secret exists
	Secret    [SecretSize]byte // zero in listings and when destroyed
}
