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

// Rows are sealed so that whoever can write to the store, and has no master key,
// can change nothing unnoticed:
//
//   - a project's row holds an HMAC over all its other fields, one of which is an
//     HMAC over the states of its generations;
//   - a list per bucket of names holds the name and the HMAC of every project of
//     the bucket, so that a row cannot be deleted, added, or replaced by what it
//     was earlier;
//   - the root holds the digest of every list, and number and sum of the
//     revocations; it is wrapped by the master key.
//
// The HMAC's key is random, made with the store and wrapped too: nothing fits into
// another store. An older copy of the whole store is beyond what a store can show.

// Entries of the meta table.
const (
	metaSealKey = "sealkey"
	metaSeals   = "seals"
)

const (
	sealSize    = 16
	sealBuckets = 1024
)

// seals is the root. It is not changed once others can see it.
type seals struct {
	change  uint64 // the store's counter when it was read
	revoked uint64 // how many revocations there are
	sum     [sealSize]byte
	lists   map[uint16][sha256.Size]byte // of the buckets that are not empty

	settings [sealSize]byte // HMAC of the settings; zero for none
}

func (s *seals) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.revoked)
	b = append(b, s.sum[:]...)
	if s.settings != [sealSize]byte{} { // whether it is there shows in the length
		b = append(b, s.settings[:]...)
	}
	for _, k := range slices.Sorted(maps.Keys(s.lists)) {
		b = binary.BigEndian.AppendUint16(b, k)
		digest := s.lists[k]
		b = append(b, digest[:]...)
	}
	return b
}

func decodeSeals(b []byte) (*seals, bool) {
	s := &seals{lists: map[uint16][sha256.Size]byte{}}
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

// tampered is ErrTampered with what it is about.
func (ks *Keystore) tampered(what string) error {
	return fmt.Errorf("%w: %s, in %s: it was changed by something else than velonym: find out who can write there, and restore it from a backup", ErrTampered, what, ks.store.Name())
}

func (ks *Keystore) tamperedProject(name string) error {
	return ks.tampered(fmt.Sprintf("the stored row of project %q is not as it was left", name))
}

// mac is the HMAC of parts, each with its length before it.
func (ks *Keystore) mac(parts ...[]byte) []byte {
	var msg []byte
	for _, p := range parts {
		msg = binary.BigEndian.AppendUint32(msg, uint32(len(p)))
		msg = append(msg, p...)
	}
	out := make([]byte, sealSize)
	ks.seal.Sum(out, msg, []uint32{0, uint32(len(msg))}, nil)
	return out
}

// field encodes what is no text.
func field(v any) []byte {
	switch v := v.(type) {
	case int:
		return binary.BigEndian.AppendUint64(nil, uint64(v))
	case bool:
		if v {
			return []byte{1}
		}
		return []byte{0}
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return binary.BigEndian.AppendUint64(nil, uint64(v.UnixMicro()))
	}
	panic("keys: a field of unknown type")
}

// keysMAC seals the states of a project's generations. Their secrets are bound to
// project, organisation and number by the wrapping.
func (ks *Keystore) keysMAC(name string, rows []KeyRow) []byte {
	parts := [][]byte{[]byte("generations 1"), []byte(name)}
	for _, r := range rows {
		parts = append(parts, []byte(r.Org), field(r.Gen), []byte(r.State), field(r.Imported), field(r.Created), field(r.Destroyed))
	}
	return ks.mac(parts...)
}

// projectMAC seals a project's row.
func (ks *Keystore) projectMAC(p *ProjectRow) []byte {
	parts := [][]byte{[]byte("project 1"), []byte(p.Name), []byte(p.Method), []byte(p.Policy), []byte(p.Form), field(p.Tag),
		field(p.Retention), field(p.Imported), field(p.Created), field(p.Severed), field(p.SeveredAt), []byte(p.Reason), p.KeysMAC}
	for _, org := range p.Orgs {
		parts = append(parts, []byte(org))
	}
	// The fields of schema 3 are left out where they are as an upgrade sets them.
	rotates := p.RotateEvery != 0 || !p.RotateAt.IsZero()
	if rotates || p.Grace != DefaultGrace || !p.Ended.IsZero() || !p.SeverAt.IsZero() {
		parts[0] = []byte("project 2")
		parts = append(parts, field(int(p.Grace/time.Second)), field(p.Ended), field(p.SeverAt))
	}
	if rotates { // and so are those of schema 5
		parts[0] = []byte("project 3")
		parts = append(parts, field(int(p.RotateEvery/time.Second)), field(p.RotateAt))
	}
	return ks.mac(parts...)
}

func (s *seals) add(mac []byte, n int) {
	subtle.XORBytes(s.sum[:], s.sum[:], mac)
	s.revoked += uint64(n)
}

// readSeals reads the root within a transaction.
func (ks *Keystore) readSeals(tx Tx) (*seals, error) {
	blob, err := tx.Meta(metaSeals)
	if err != nil {
		return nil, err
	}
	plain, err := ks.mk.unwrap(nil, blob, purposeSeals, Domain{}, 0)
	if err != nil {
		again, err := ks.follow(tx)
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

// viewSeals is readSeals for a view: what was read last is still good when the
// store has not changed since.
func (ks *Keystore) viewSeals(tx Tx) (*seals, error) {
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

func (ks *Keystore) writeSeals(tx Tx, s *seals) error {
	return tx.SetMeta(metaSeals, ks.mk.wrap(s.encode(), purposeSeals, Domain{}, 0))
}

// reseal seals a project after a change in the same transaction. What was there
// before has been checked by the caller.
func (ks *Keystore) reseal(tx Tx, s *seals, name string) error {
	p, err := tx.Project(name)
	if err != nil {
		return err
	}
	rows, err := tx.KeyStates(name)
	if err != nil {
		return err
	}
	p.KeysMAC = ks.keysMAC(name, rows)
	p.Seal = ks.projectMAC(&p)
	if err := tx.SetSeal(name, p.KeysMAC, p.Seal); err != nil {
		return err
	}
	bucket := bucketOf(name)
	doc, err := tx.SealList(bucket)
	if err != nil {
		return err
	}
	l, err := ks.list(s, bucket, doc)
	if err != nil {
		return err
	}
	l[name] = [sealSize]byte(p.Seal)
	doc = l.encode()
	s.lists[bucket] = sha256.Sum256(doc)
	return tx.SetSealList(bucket, doc)
}

// sealNew writes the seals of a store that has none yet: a new one, or one of the
// schema before. What it holds is taken for what it should be.
func (ks *Keystore) sealNew(tx Tx) error {
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
	of := &Keystore{store: ks.store, mk: ks.mk, now: ks.now, seal: hmac}
	s := &seals{lists: map[uint16][sha256.Size]byte{}}
	rows, err := tx.Projects()
	if err != nil {
		return err
	}
	for _, p := range rows {
		if err := of.reseal(tx, s, p.Name); err != nil {
			return err
		}
	}
	if err := of.sealRevocations(tx, s); err != nil {
		return err
	}
	return of.writeSeals(tx, s)
}

// openSeals unwraps the key of the seals.
func (ks *Keystore) openSeals(blob []byte) error {
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

// sealRevocations adds the revocations of a store of an older schema to the sum.
func (ks *Keystore) sealRevocations(tx Tx, s *seals) error {
	var list []revokedToken
	err := tx.RevokedSince(-1, func(jti []byte, exp time.Time) { list = append(list, revokedOf(jti, exp)) })
	ks.addRevoked(s, list, 1)
	return err
}

// resealRevocations takes the revocations of a store of schema 2 or 3, which were
// sealed with all of their jti, into the sum of this schema.
func (ks *Keystore) resealRevocations(tx Tx, sealKey []byte) error {
	of := &Keystore{store: ks.store, mk: ks.mk, now: ks.now}
	if err := of.openSeals(sealKey); err != nil {
		return err
	}
	defer of.seal.Release()
	s, err := of.readSeals(tx)
	if err != nil {
		return err
	}
	var was seals
	if err := tx.RevokedSince(-1, func(jti []byte, exp time.Time) {
		was.add(of.mac([]byte("revocation 1"), jti, field(exp)), 1)
	}); err != nil {
		return err
	}
	if was.revoked != s.revoked || !bytes.Equal(was.sum[:], s.sum[:]) {
		return ks.tampered("the stored revocations of tokens are not as they were left")
	}
	s.revoked, s.sum = 0, [sealSize]byte{}
	if err := of.sealRevocations(tx, s); err != nil {
		return err
	}
	return of.writeSeals(tx, s)
}
