package keys

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// metaFingerprint is the entry with the fingerprint of the master key. Only error texts
// use it.
const metaFingerprint = "master key fingerprint"

// Rewrap changes the master key of the keystore: in one transaction it wraps everything
// that the old key wraps with the new one, so a killed process has changed all or
// nothing. Other processes that have the keystore open notice. They adopt the new key if
// their source has it; until then they get ErrWrongMasterKey. Rewrap then removes the
// former wrapping from the store's files, as after a destruction, so that the old key
// opens only earlier copies of the keystore; the error is ErrTraces if that must be
// repeated. The keystore takes over to, and the caller's handle is closed. Errors:
// ErrInvalid if the key is the same.
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
		if err := tx.SetMeta(metaFingerprint, []byte(to.Fingerprint())); err != nil {
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

// rewrapSecrets rewraps the secrets of all generations.
func (ks *Keystore) rewrapSecrets(tx Tx, s *sealRoot, to *MasterKey) error {
	if _, err := ks.allProjects(tx, s); err != nil {
		return err
	}
	return tx.RewrapKeys(func(k KeyRow) ([]byte, error) {
		blob, err := ks.rewrapped(to, k.Wrapped, purposeSecret, k.Domain, k.Gen)
		if err != nil {
			return nil, fmt.Errorf("%w: generation %d of project %q does not open under the master key: restore %s from a backup", ErrCorrupt, k.Gen, k.Prj, ks.store.Name())
		}
		return blob, nil
	})
}

// rewrapped unwraps blob with the present master key and wraps it with another.
func (ks *Keystore) rewrapped(to *MasterKey, blob []byte, purpose string, d Domain, gen int) ([]byte, error) {
	secret, err := ks.mk.unwrap(make([]byte, 0, max(len(blob), SecretSize)), blob, purpose, d, gen)
	if err != nil {
		return nil, err
	}
	defer wipe(secret)
	return to.wrap(secret, purpose, d, gen), nil
}

// The least time between two reads of the source of a changed master key, and how long
// one read may take while a transaction waits for it.
const (
	reloadPause     = 200 * time.Millisecond
	reloadExecPause = 30 * time.Second
	reloadTimeout   = 5 * time.Second
)

// reload reads the key's source again. It returns nil if the source was read a moment
// ago or yields no key.
func (m *MasterKey) reload() *MasterKey {
	m.mu.Lock()
	pause := reloadPause
	if strings.HasPrefix(m.source, "exec:") {
		pause = reloadExecPause
	}
	source := m.source
	early := source == "" || time.Since(m.lastReload) < pause
	if !early {
		m.lastReload = time.Now()
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

// followMasterKey is called when something does not unwrap. If another process has
// changed the master key, it adopts the new key from the source of the old one and
// returns true, or it returns ErrWrongMasterKey. If the key is right it returns false:
// what did not unwrap is damaged.
func (ks *Keystore) followMasterKey(tx Tx) (followed bool, err error) {
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
	fingerprint, err := tx.Meta(metaFingerprint)
	if err != nil {
		return false, err
	}
	return false, ks.wrongMasterKey(fingerprint)
}

// wrongMasterKey returns ErrWrongMasterKey with the fingerprints of the expected key and
// of the given one.
func (ks *Keystore) wrongMasterKey(fingerprint []byte) error {
	want := ""
	if fingerprint != nil {
		want = fmt.Sprintf(" (its fingerprint is %.40s, that of the given one %s)", fingerprint, ks.mk.Fingerprint())
	}
	return fmt.Errorf("%w for %s%s: give the master key that it was made with, or that it was rewrapped with since (a file, env: or exec: source); without it its secrets cannot be read, and a new keystore is a new start", ErrWrongMasterKey, ks.store.Name(), want)
}
