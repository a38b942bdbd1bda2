package keys

import (
	"context"
	"crypto/rand"
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
