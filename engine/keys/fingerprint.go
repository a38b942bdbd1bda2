package keys

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// Kinds of secrets that have fingerprints.
const (
	KindMasterKey  = "master key"
	KindGeneration = "generation"
)

// Fingerprint identifies a secret without revealing it: the first 64 bits of a SHA-256,
// as four groups of hexadecimal digits. Equal secrets of one kind have equal
// fingerprints in every keystore, so that people can recognise a wrong key. The secret
// must be random: of a guessable one the fingerprint would confirm a guess.
func Fingerprint(kind string, secret []byte) string {
	var sum [sha256.Size]byte
	_ = secmem.Scrubbed(func() error {
		b := make([]byte, 0, 64+len(secret))
		b = append(append(append(b, "velonym fingerprint 1\n"...), kind...), '\n')
		b = append(b, secret...)
		sum = sha256.Sum256(b)
		wipe(b)
		return nil
	})
	h := hex.EncodeToString(sum[:8])
	return h[:4] + "-" + h[4:8] + "-" + h[8:12] + "-" + h[12:]
}

// MasterKeyFingerprint returns the fingerprint of the master key in use.
func (ks *Keystore) MasterKeyFingerprint() string { return ks.mk.Fingerprint() }

// GenerationFingerprints returns the fingerprints of a project's existing secrets, by
// organisation and generation. Errors: ErrNotFound, ErrCorrupt.
func (ks *Keystore) GenerationFingerprints(ctx context.Context, name string) (map[string]map[int]string, error) {
	var out map[string]map[int]string
	err := ks.store.View(ctx, func(tx Tx) error {
		if _, err := ks.viewProject(tx, name); err != nil {
			return err
		}
		var err error
		out, err = ks.fingerprints(tx, name)
		return err
	})
	return out, err
}

// fingerprints is GenerationFingerprints within a transaction.
func (ks *Keystore) fingerprints(tx Tx, name string) (map[string]map[int]string, error) {
	rows, err := tx.Keys(name)
	defer wipeRows(rows)
	if err != nil {
		return nil, err
	}
	out := map[string]map[int]string{}
	var secret [SecretSize]byte
	defer wipe(secret[:])
	for _, r := range rows {
		if r.Wrapped == nil {
			continue
		}
		s, err := ks.mk.unwrap(secret[:0], r.Wrapped, purposeSecret, r.Domain, r.Gen)
		if err != nil || len(s) != SecretSize {
			return nil, fmt.Errorf("%w: generation %d of project %q does not open under the master key: restore %s from a backup", ErrCorrupt, r.Gen, name, ks.store.Name())
		}
		if out[r.Org] == nil {
			out[r.Org] = map[int]string{}
		}
		out[r.Org][r.Gen] = Fingerprint(KindGeneration, s)
	}
	return out, nil
}
