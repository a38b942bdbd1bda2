package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
)

// Entries of a store's meta table.
const (
	metaCheck   = "check"   // a known text, wrapped by the master key
	metaIssuer  = "issuer"  // seed of the built-in issuer, wrapped
	metaReceipt = "receipt" // seed of the receipt key, wrapped
	metaScrub   = "scrub"   // present while old pages may hold deleted secrets; each destruction writes a new value
)

// The check text includes the schema, so that nobody can pass off a store with sealed
// rows as one from before seals existed.
const (
	checkText  = "velonym master key check 2"
	checkText1 = "velonym master key check"
)

// opening holds what New reads from a store before it trusts it.
type opening struct {
	schema                int
	check, sealKey, print []byte
}

func readOpening(tx Tx) (at opening, err error) {
	if at.schema, err = tx.Schema(); err != nil {
		return at, err
	}
	if at.check, err = tx.Meta(metaCheck); err != nil {
		return at, err
	}
	if at.sealKey, err = tx.Meta(metaSealKey); err != nil {
		return at, err
	}
	at.print, err = tx.Meta(metaPrint)
	return at, err
}

// opens verifies that check is the text want, wrapped by the master key.
func (ks *Keystore) opens(check, print []byte, want string) error {
	text, err := ks.mk.unwrap(nil, check, purposeCheck, Domain{}, 0)
	switch {
	case err != nil:
		return ks.wrongMasterKey(print)
	case subtle.ConstantTimeCompare(text, []byte(want)) != 1:
		return ks.tampered("its version is not the one that it was left with")
	}
	return nil
}

// prepare upgrades a store of an older schema, binds a new one to the master key,
// and seals its rows.
func (ks *Keystore) prepare(tx Tx, at opening) error {
	// Since schema 2 the rows are sealed, and an upgrade leaves them as they are.
	sealed := at.check != nil && at.schema >= 2
	if at.check != nil {
		text := checkText1
		if sealed {
			text = checkText
		}
		if err := ks.opens(at.check, at.print, text); err != nil {
			return err
		}
	}
	if at.schema < SchemaVersion {
		if err := tx.Upgrade(); err != nil {
			return err
		}
	}
	if err := tx.SetMeta(metaPrint, []byte(ks.mk.Fingerprint())); err != nil {
		return err
	}
	if sealed {
		if at.schema < 5 { // what was moved then is to leave no traces
			if err := tx.SetMeta(metaScrub, []byte(rand.Text())); err != nil {
				return err
			}
		}
		if at.schema < 4 {
			if err := ks.resealRevocations(tx, at.sealKey); err != nil {
				return err
			}
		}
		return tx.RaiseChange()
	}
	if at.check == nil {
		if err := ks.bind(tx); err != nil {
			return err
		}
	} else if err := tx.SetMeta(metaCheck, ks.mk.wrap([]byte(checkText), purposeCheck, Domain{}, 0)); err != nil {
		return err
	}
	if err := ks.sealNew(tx); err != nil {
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
