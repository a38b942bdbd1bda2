package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
)

// Entries of a store's meta table.
const (
	metaCheck   = "check"   // known text, wrapped by the master key
	metaIssuer  = "issuer"  // seed of the built-in issuer, wrapped
	metaReceipt = "receipt" // seed of the receipt key, wrapped
	metaScrub   = "scrub"   // random text, present while old pages may hold deleted secrets; each destruction replaces it
)

// The check text changed with schema 2, so that a store with sealed rows cannot pass as
// one from before seals existed.
const (
	checkText  = "velonym master key check 2"
	checkText1 = "velonym master key check"
)

// storeHeader holds what New reads from a store before it trusts the store.
type storeHeader struct {
	schema                      int
	check, sealKey, fingerprint []byte
}

func readHeader(tx Tx) (header storeHeader, err error) {
	if header.schema, err = tx.Schema(); err != nil {
		return header, err
	}
	if header.check, err = tx.Meta(metaCheck); err != nil {
		return header, err
	}
	if header.sealKey, err = tx.Meta(metaSealKey); err != nil {
		return header, err
	}
	header.fingerprint, err = tx.Meta(metaFingerprint)
	return header, err
}

// checkMasterKey verifies that check is the text want, wrapped by the master key.
// fingerprint is the stored one, for the error text; it may be nil.
func (ks *Keystore) checkMasterKey(check, fingerprint []byte, want string) error {
	text, err := ks.mk.unwrap(nil, check, purposeCheck, Domain{}, 0)
	switch {
	case err != nil:
		return ks.wrongMasterKey(fingerprint)
	case subtle.ConstantTimeCompare(text, []byte(want)) != 1:
		return ks.tampered("its version was changed")
	}
	return nil
}

// prepare upgrades a store of an older schema, binds a new store to the master key, and
// seals the rows of stores that have no seals yet.
func (ks *Keystore) prepare(tx Tx, header storeHeader) error {
	// Rows are sealed since schema 2, and an upgrade does not change them.
	sealed := header.check != nil && header.schema >= 2
	if header.check != nil {
		text := checkText1
		if sealed {
			text = checkText
		}
		if err := ks.checkMasterKey(header.check, header.fingerprint, text); err != nil {
			return err
		}
	}
	if header.schema < SchemaVersion {
		if err := tx.Upgrade(); err != nil {
			return err
		}
	}
	if err := tx.SetMeta(metaFingerprint, []byte(ks.mk.Fingerprint())); err != nil {
		return err
	}
	if sealed {
		if header.schema < 5 { // the upgrade moves wrapped secrets: old pages may keep copies
			if err := tx.SetMeta(metaScrub, []byte(rand.Text())); err != nil {
				return err
			}
		}
		if header.schema < 4 {
			if err := ks.upgradeRevocationSeals(tx, header.sealKey); err != nil {
				return err
			}
		}
		return tx.RaiseChange()
	}
	if header.check == nil {
		if err := ks.bind(tx); err != nil {
			return err
		}
	} else if err := tx.SetMeta(metaCheck, ks.mk.wrap([]byte(checkText), purposeCheck, Domain{}, 0)); err != nil {
		return err
	}
	if err := ks.createSeals(tx); err != nil {
		return err
	}
	return tx.RaiseChange()
}

// bind writes the check value, the issuer seed and the receipt seed of a new store.
func (ks *Keystore) bind(tx Tx) error {
	ps, err := tx.Projects()
	if err != nil {
		return err
	}
	issuer, err := tx.Meta(metaIssuer)
	if err != nil {
		return err
	}
	if len(ps) > 0 || issuer != nil {
		return fmt.Errorf("%w: %s has lost the check value of its master key: restore it from a backup", ErrCorrupt, ks.store.Name())
	}
	if err := tx.SetMeta(metaCheck, ks.mk.wrap([]byte(checkText), purposeCheck, Domain{}, 0)); err != nil {
		return err
	}
	var seed [ed25519.SeedSize]byte
	defer wipe(seed[:])
	rand.Read(seed[:])
	if err := tx.SetMeta(metaIssuer, ks.mk.wrap(seed[:], purposeIssuer, Domain{}, 0)); err != nil {
		return err
	}
	rand.Read(seed[:])
	return tx.SetMeta(metaReceipt, ks.mk.wrap(seed[:], purposeReceipt, Domain{}, 0))
}
