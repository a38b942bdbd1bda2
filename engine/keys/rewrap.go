package keys

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// metaPrint is the fingerprint of the master key, for messages alone.
const metaPrint = "master key fingerprint"

// Rewrap makes another key the master key of the keystore: everything that the old one
// wraps is wrapped by the new one, in one transaction. A process that is killed has
// changed all or nothing. Other processes that have the keystore open notice, and take
// the new key up if their source has it; until then they are refused with
// ErrWrongMasterKey. The old key opens copies of the keystore that were made before,
// and nothing else: after a rewrap what the store's files keep of the former wrapping
// is removed, as after a destruction; the error is ErrTraces if that must be tried
// again. The keystore uses the new key from then on, and the caller's handle of it is
// closed. Errors: ErrInvalid if it is the same key.
func (ks *Keystore) Rewrap(ctx context.Context, to *MasterKey) error {
	if ks.mk.Fingerprint() == to.Fingerprint() {
		return fmt.Errorf("%w: the new master key is the one that the keystore has", ErrInvalid)
	}
	err := ks.store.Update(ctx, func(tx Tx) error {
		s, err := ks.readSeals(tx)
		if err != nil {
			return err
		}
		for _, m := range []struct{ name, purpose string }{
			{metaCheck, purposeCheck}, {metaIssuer, purposeIssuer}, {metaReceipt, purposeReceipt}, {metaSealKey, purposeSealKey},
		} {
			blob, err := tx.Meta(m.name)
			if err != nil {
				return err
			}
			if blob, err = ks.rewrapped(to, blob, m.purpose, Domain{}, 0); err != nil {
				return fmt.Errorf("%w: the %s key of %s does not open: restore it from a backup", ErrCorrupt, m.purpose, ks.store.Name())
			}
			if err := tx.SetMeta(m.name, blob); err != nil {
				return err
			}
		}
		if err := ks.rewrapSecrets(tx, s, to); err != nil {
			return err
		}
		if err := tx.SetMeta(metaSeals, to.wrap(s.encode(), purposeSeals, Domain{}, 0)); err != nil {
			return err
		}
		if err := tx.SetMeta(metaPrint, []byte(to.Fingerprint())); err != nil {
			return err
		}
		if err := tx.SetMeta(metaScrub, []byte(rand.Text())); err != nil {
			return err
		}
		return tx.RaiseChange()
	})
	if err != nil {
		return err
	}
	ks.mk.replace(to)
	return ks.scrub(ctx)
}

// rewrapSecrets wraps the secrets of all generations anew.
func (ks *Keystore) rewrapSecrets(tx Tx, s *seals, to *MasterKey) error {
	projects, err := ks.all(tx, s)
	if err != nil {
		return err
	}
	for _, p := range projects {
		rows, err := tx.Keys(p.Name)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Wrapped == nil {
				continue
			}
			blob, err := ks.rewrapped(to, r.Wrapped, purposeSecret, r.Domain, r.Gen)
			if err == nil {
				err = tx.SetWrapped(r.Domain, r.Gen, blob)
			} else {
				err = fmt.Errorf("%w: generation %d of project %q does not open under the master key: restore %s from a backup", ErrCorrupt, r.Gen, p.Name, ks.store.Name())
			}
			wipe(blob)
			if err != nil {
				wipeRows(rows)
				return err
			}
		}
		wipeRows(rows)
	}
	return nil
}

// rewrapped unwraps with the present master key and wraps with another.
func (ks *Keystore) rewrapped(to *MasterKey, blob []byte, purpose string, d Domain, gen int) ([]byte, error) {
	secret, err := ks.mk.unwrap(make([]byte, 0, max(len(blob), SecretSize)), blob, purpose, d, gen)
	if err != nil {
		return nil, err
	}
	defer wipe(secret)
	return to.wrap(secret, purpose, d, gen), nil
}

// Pauses between two looks at the source of a master key that was changed, and the
// time that one may take while a transaction waits.
const (
	reloadPause     = 200 * time.Millisecond
	reloadExecPause = 30 * time.Second
	reloadTimeout   = 5 * time.Second
)

// reload reads the key's source again, nil if that cannot be done now.
func (m *MasterKey) reload() *MasterKey {
	m.mu.Lock()
	pause := reloadPause
	if strings.HasPrefix(m.source, "exec:") {
		pause = reloadExecPause
	}
	source := m.source
	early := source == "" || time.Since(m.tried) < pause
	if !early {
		m.tried = time.Now()
	}
	m.mu.Unlock()
	if early {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	fresh, err := LoadMasterKey(ctx, source)
	if err != nil {
		return nil
	}
	return fresh
}

// follow is called when something did not open under the master key. If another
// process has changed the key, follow takes up the new one from where the old one
// came from, or returns ErrWrongMasterKey. If the key is the right one it returns
// false: what did not open is damaged.
func (ks *Keystore) follow(tx Tx) (followed bool, err error) {
	check, err := tx.Meta(metaCheck)
	if err != nil {
		return false, err
	}
	if _, err := ks.mk.unwrap(nil, check, purposeCheck, Domain{}, 0); err == nil {
		return false, nil
	}
	if fresh := ks.mk.reload(); fresh != nil {
		if _, err := fresh.unwrap(nil, check, purposeCheck, Domain{}, 0); err == nil {
			ks.mk.replace(fresh)
			return true, nil
		}
		fresh.Close()
	}
	print, err := tx.Meta(metaPrint)
	if err != nil {
		return false, err
	}
	return false, ks.wrongMasterKey(print)
}

// wrongMasterKey is ErrWrongMasterKey with the fingerprints of the key that is wanted
// and the one that was given.
func (ks *Keystore) wrongMasterKey(print []byte) error {
	want := ""
	if print != nil {
		want = fmt.Sprintf(" (its fingerprint is %.40s, that of the given one %s)", print, ks.mk.Fingerprint())
	}
	return fmt.Errorf("%w for %s%s: give the master key that it was made with, or that it was rewrapped with since (a file, env: or exec: source); without it its secrets cannot be read, and a new keystore is a new start", ErrWrongMasterKey, ks.store.Name(), want)
}
