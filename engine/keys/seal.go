package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/velonym/velonym/engine/kernel/hmacsha256"
	"github.com/velonym/velonym/engine/kernel/secmem"
)

// Seals detect changes by anyone who can write to the store but has no master key:
//
//   - a project's row holds an HMAC over all its other fields, one of which is an
//     HMAC over the states of its generations;
//   - project names are divided into buckets, and one list per bucket holds the name
//     and the HMAC of every project, so that nobody can delete, add, or roll back a
//     row;
//   - the root, which the master key wraps, holds the digest of every list, the
//     number of revocations, and the XOR of their HMACs.
//
// The HMAC key is random for each store and wrapped by the master key, so rows of one
// store do not verify in another. Seals do not detect an older copy of the whole store.

// Entries of the meta table.
const (
	metaSealKey = "sealkey"
	metaSeals   = "seals"
)

const (
	sealSize    = 16
	sealBuckets = 1024
)

// sealRoot is the root of the seals. It is immutable once several goroutines share it.
type sealRoot struct {
	change  uint64 // the store's change counter when the root was read
	revoked uint64 // number of revocations and rules
	sum     [sealSize]byte
	lists   map[uint16][sha256.Size]byte // digests by bucket; empty buckets have none

	settings [sealSize]byte // HMAC of the settings; zero if there are none
}

func (s *sealRoot) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.revoked)
	b = append(b, s.sum[:]...)
	if s.settings != [sealSize]byte{} { // the length tells whether it is present
		b = append(b, s.settings[:]...)
	}
	for _, k := range slices.Sorted(maps.Keys(s.lists)) {
		b = binary.BigEndian.AppendUint16(b, k)
		digest := s.lists[k]
		b = append(b, digest[:]...)
	}
	return b
}

func decodeSeals(b []byte) (*sealRoot, bool) {
	s := &sealRoot{lists: map[uint16][sha256.Size]byte{}}
	const head, entry = 8 + sealSize, 2 + sha256.Size
	if len(b) < head {
		return nil, false
	}
	s.revoked = binary.BigEndian.Uint64(b)
	copy(s.sum[:], b[8:])
	switch b = b[head:]; len(b) % entry {
	case 0:
	case sealSize:
		copy(s.settings[:], b)
		b = b[sealSize:]
	default:
		return nil, false
	}
	for ; len(b) > 0; b = b[entry:] {
		s.lists[binary.BigEndian.Uint16(b)] = [sha256.Size]byte(b[2:])
	}
	return s, true
}

// tampered returns ErrTampered with what was changed and what to do.
func (ks *Keystore) tampered(what string) error {
	return fmt.Errorf("%w: %s, in %s: it was changed by something else than velonym: find out who can write there, and restore it from a backup", ErrTampered, what, ks.store.Name())
}

func (ks *Keystore) tamperedProject(name string) error {
	return ks.tampered(fmt.Sprintf("the stored row of project %q does not match its seal", name))
}

// add adds the HMACs of n revocations to the sum; a negative n removes them.
func (s *sealRoot) add(mac []byte, n int) {
	subtle.XORBytes(s.sum[:], s.sum[:], mac)
	s.revoked += uint64(n)
}

// readSeals reads and unwraps the root.
func (ks *Keystore) readSeals(tx Tx) (*sealRoot, error) {
	blob, err := tx.Meta(metaSeals)
	if err != nil {
		return nil, err
	}
	plain, err := ks.mk.unwrap(nil, blob, purposeSeals, Domain{}, 0)
	if err != nil {
		again, err := ks.followMasterKey(tx)
		if err != nil {
			return nil, err
		}
		if again {
			plain, err = ks.mk.unwrap(nil, blob, purposeSeals, Domain{}, 0)
		}
		if !again || err != nil {
			plain = nil
		}
	}
	if plain == nil {
		return nil, ks.tampered("the seals of its rows do not open under the master key")
	}
	s, ok := decodeSeals(plain)
	if !ok {
		return nil, ks.tampered("the seals of its rows cannot be read")
	}
	return s, nil
}

// openSeals unwraps and decodes the root, if the master key opens it.
func (ks *Keystore) openSeals(blob []byte) (*sealRoot, bool) {
	plain, err := ks.mk.unwrap(nil, blob, purposeSeals, Domain{}, 0)
	if err != nil {
		return nil, false
	}
	return decodeSeals(plain)
}

// viewSeals is readSeals for a view. It returns the root that was read last if the store
// has not changed since.
func (ks *Keystore) viewSeals(tx Tx) (*sealRoot, error) {
	n, err := tx.Change()
	if err != nil {
		return nil, err
	}
	if s := ks.root.Load(); s != nil && s.change == n {
		return s, nil
	}
	s, err := ks.readSeals(tx)
	if err != nil {
		return nil, err
	}
	s.change = n
	ks.root.Store(s)
	return s, nil
}

func (ks *Keystore) writeSeals(tx Tx, s *sealRoot) error {
	return tx.SetMeta(metaSeals, ks.mk.wrap(s.encode(), purposeSeals, Domain{}, 0))
}

// reseal seals a project after a change in the same transaction. The caller has verified
// the project's rows before that change.
func (ks *Keystore) reseal(tx Tx, s *sealRoot, name string) error {
	p, err := tx.Project(name)
	if err != nil {
		return err
	}
	rows, err := tx.KeyStates(name)
	if err != nil {
		return err
	}
	keysMAC := ks.keysMAC(name, rows)
	p.KeysMAC = keysMAC[:]
	seal := ks.projectMAC(&p)
	p.Seal = seal[:]
	if err := tx.SetSeal(name, p.KeysMAC, p.Seal); err != nil {
		return err
	}
	bucket := bucketOf(name)
	doc, err := tx.SealList(bucket)
	if err != nil {
		return err
	}
	l, err := ks.verifiedList(s, bucket, doc)
	if err != nil {
		return err
	}
	l[name] = [sealSize]byte(p.Seal)
	doc = l.encode()
	s.lists[bucket] = sha256.Sum256(doc)
	return tx.SetSealList(bucket, doc)
}

// createSeals writes the seals of a store that has none yet: a new store, or one of
// schema 1, whose rows it trusts.
func (ks *Keystore) createSeals(tx Tx) error {
	key, err := secmem.Alloc(SecretSize)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer secmem.Free(key)
	rand.Read(key)
	if err := tx.SetMeta(metaSealKey, ks.mk.wrap(key, purposeSealKey, Domain{}, 0)); err != nil {
		return err
	}
	hmac, err := hmacsha256.New((*[SecretSize]byte)(key))
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer hmac.Release()
	sealed := &Keystore{store: ks.store, mk: ks.mk, now: ks.now, seal: hmac}
	s := &sealRoot{lists: map[uint16][sha256.Size]byte{}}
	rows, err := tx.Projects()
	if err != nil {
		return err
	}
	for _, p := range rows {
		if err := sealed.reseal(tx, s, p.Name); err != nil {
			return err
		}
	}
	if err := sealed.sealRevocations(tx, s); err != nil {
		return err
	}
	return sealed.writeSeals(tx, s)
}

// openSealKey unwraps the HMAC key of the seals.
func (ks *Keystore) openSealKey(blob []byte) error {
	key, err := secmem.Alloc(SecretSize)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer secmem.Free(key)
	plain, err := ks.mk.unwrap(key[:0], blob, purposeSealKey, Domain{}, 0)
	if err != nil || len(plain) != SecretSize {
		return ks.tampered("the key of its seals does not open under the master key")
	}
	if ks.seal, err = hmacsha256.New((*[SecretSize]byte)(key)); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// sealRevocations adds all stored revocations to the sum.
func (ks *Keystore) sealRevocations(tx Tx, s *sealRoot) error {
	var list []revokedToken
	err := tx.RevokedSince(-1, func(jti []byte, exp time.Time) { list = append(list, revokedOf(jti, exp)) })
	ks.addRevoked(s, list, 1)
	return err
}

// upgradeRevocationSeals verifies the revocations of a store of schema 2 or 3, which
// were sealed with their whole jti, and replaces the sum by that of this schema.
func (ks *Keystore) upgradeRevocationSeals(tx Tx, sealKey []byte) error {
	sealed := &Keystore{store: ks.store, mk: ks.mk, now: ks.now}
	if err := sealed.openSealKey(sealKey); err != nil {
		return err
	}
	defer sealed.seal.Release()
	s, err := sealed.readSeals(tx)
	if err != nil {
		return err
	}
	var was sealRoot
	if err := tx.RevokedSince(-1, func(jti []byte, exp time.Time) {
		m := newMessage("revocation 1")
		m.bytes(jti)
		m.time(exp)
		mac := sealed.sum(m)
		was.add(mac[:], 1)
	}); err != nil {
		return err
	}
	if was.revoked != s.revoked || !bytes.Equal(was.sum[:], s.sum[:]) {
		return ks.tampered("the stored revocations of tokens do not match their seal")
	}
	s.revoked, s.sum = 0, [sealSize]byte{}
	if err := sealed.sealRevocations(tx, s); err != nil {
		return err
	}
	return sealed.writeSeals(tx, s)
}
