package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Tombstones record what an older copy of a store must not bring back: destroyed secrets,
// revoked tokens, spent values and shortened retentions.
type Tombstones struct {
	Receipts  []Receipt // of destroyed secrets
	Revoked   []Revocation
	Rules     []RevocationRule
	Shortened map[string]time.Time // new ends of retention, by project
	Spent     []Spending
	Rotated   map[string]int // by project, the number of generations made after the copy, which are lost
}

// Spending is how many values of a token's budget were used beyond what a copy of a
// store records.
type Spending struct {
	JTI    string
	Values int64 // math.MaxInt64 if unknown: the whole budget counts as spent
}

// metaEpoch is the entry with a random text that each restore replaces.
const metaEpoch = "epoch"

// Mark is the position up to which the tombstones of a store were read.
type Mark struct {
	Change  uint64 `json:"change"`
	Receipt int64  `json:"receipt"` // number of the last receipt
	Epoch   string `json:"epoch"`   // of the store; each restore changes it
}

// Mark returns the mark that [Keystore.Tombstones] would return, with Receipt 0. It costs
// one query.
func (ks *Keystore) Mark(ctx context.Context) (m Mark, err error) {
	row, err := ks.store.Change(ctx, ChangeQuery{Meta: metaEpoch})
	return Mark{Change: row.Number, Epoch: string(row.Meta)}, err
}

// Tombstones returns what was destroyed and revoked since a mark, and the next mark. It
// leaves Shortened and Spent empty: the store does not record when they changed.
func (ks *Keystore) Tombstones(ctx context.Context, since Mark) (t Tombstones, now Mark, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		if now.Change, err = tx.Change(); err != nil {
			return err
		}
		epoch, err := tx.Meta(metaEpoch)
		if err != nil {
			return err
		}
		if now.Epoch = string(epoch); since.Epoch != now.Epoch {
			since = Mark{} // numbers of another epoch are not comparable
		}
		docs, last, err := tx.ReceiptsAfter(since.Receipt)
		if err != nil {
			return err
		}
		now.Receipt = last
		for _, doc := range docs {
			r, err := ParseReceipt(doc)
			if err != nil {
				return fmt.Errorf("%w: a stored receipt cannot be read", ErrCorrupt)
			}
			t.Receipts = append(t.Receipts, r)
		}
		change := int64(since.Change)
		if change == 0 {
			change = -1
		}
		err = tx.RevokedSince(change, func(jti []byte, exp time.Time) {
			t.Revoked = append(t.Revoked, Revocation{string(jti), exp})
		})
		if err != nil {
			return err
		}
		t.Rules, err = tx.Rules(change)
		return err
	})
	return t, now, err
}

// Rows calls f with a consistent view of the stored rows. Secrets in them are wrapped,
// and the caller wipes those that it reads.
func (ks *Keystore) Rows(ctx context.Context, f func(Tx) error) error { return ks.store.View(ctx, f) }

// Sign signs a statement with the receipt key. The caller gives every kind of statement
// its own prefix, so that none passes as another kind or as a receipt.
func (ks *Keystore) Sign(ctx context.Context, statement []byte) (sig []byte, key ed25519.PublicKey, err error) {
	k, err := ks.receiptKey(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer k.close()
	return k.sign(statement), k.public, nil
}

// Merged counts what tombstones changed in a restored store.
type Merged struct {
	Projects, Severed, Generations, Revoked, Shortened, Spent int
	Replaced                                                  int // projects with a new active generation because theirs is destroyed
}

// Restore fills an empty store: load adds the rows of a copy, and Restore applies the
// tombstones t. It does all or nothing, and verifies the seals of all rows. load receives
// isDestroyed, which tells which generations are destroyed: load stores placeholders
// instead of their secrets. Errors: ErrKeystoreExists if the store is not empty,
// ErrWrongMasterKey, ErrTampered (also if signer is not the copy's receipt key),
// ErrReceipt for a tombstone that this keystore did not sign.
func Restore(ctx context.Context, store Store, mk *MasterKey, signer ed25519.PublicKey, t Tombstones, load func(tx Tx, isDestroyed func(KeyRow) bool) (change uint64, err error)) (m Merged, err error) {
	ks := &Keystore{store: store, mk: mk, now: time.Now, uptime: machineUptime}
	err = store.Update(ctx, func(tx Tx) error {
		check, err := tx.Meta(metaCheck)
		if err != nil {
			return err
		}
		ps, err := tx.Projects()
		if err != nil {
			return err
		}
		if check != nil || len(ps) > 0 {
			return fmt.Errorf("%w: %s is in use: a backup is restored into a new place only", ErrKeystoreExists, store.Name())
		}
		change, err := load(tx, t.isDestroyed())
		if err != nil {
			return err
		}
		header, err := readHeader(tx)
		if err != nil {
			return err
		}
		if err := ks.checkMasterKey(header.check, header.fingerprint, checkText); err != nil {
			return err
		}
		if err := ks.openSealKey(header.sealKey); err != nil {
			return err
		}
		defer ks.seal.Release()
		key, err := ks.receiptKeyOf(tx)
		if err != nil {
			return err
		}
		defer key.close()
		if !key.public.Equal(signer) {
			return ks.tampered("the backup is signed by another key than the store's")
		}
		// Processes that followed the old store must not mistake this one for it.
		if err := errors.Join(tx.SetChange(change+1<<20), tx.SetMeta(metaEpoch, []byte(rand.Text()))); err != nil {
			return err
		}
		m, err = ks.merge(tx, t)
		return err
	})
	return m, err
}

// isDestroyed returns a function that reports whether a generation has a receipt.
func (t *Tombstones) isDestroyed() func(KeyRow) bool {
	of := map[string][]Receipt{}
	for _, r := range t.Receipts {
		of[r.Project] = append(of[r.Project], r)
	}
	return func(k KeyRow) bool {
		return slices.ContainsFunc(of[k.Prj], func(r Receipt) bool { return r.covers(k) })
	}
}

// covers reports whether the receipt attests the destruction of a generation.
func (r *Receipt) covers(k KeyRow) bool {
	if r.Project != k.Prj {
		return false
	}
	if r.Reason != ReasonGeneration {
		return true
	}
	return slices.ContainsFunc(r.Orgs, func(o ReceiptOrg) bool {
		return o.Org == k.Org && slices.ContainsFunc(o.Generations, func(g ReceiptGeneration) bool { return g.Gen == k.Gen })
	})
}

// merge verifies all rows and applies tombstones to them.
func (ks *Keystore) merge(tx Tx, t Tombstones) (m Merged, err error) {
	s, err := ks.readSeals(tx)
	if err != nil {
		return m, err
	}
	rows, err := ks.allProjects(tx, s)
	if err != nil {
		return m, err
	}
	m.Projects = len(rows)
	for _, p := range rows {
		states, err := tx.KeyStates(p.Name)
		if err != nil {
			return m, err
		}
		if err := ks.checkKeys(&p, states); err != nil {
			return m, err
		}
	}
	if err := ks.mergeReceipts(tx, s, t.Receipts, &m); err != nil {
		return m, err
	}
	if err := ks.mergeRotations(tx, s, rows, t.Rotated, &m); err != nil {
		return m, err
	}
	if err := ks.mergeEnds(tx, s, t.Shortened, &m); err != nil {
		return m, err
	}
	for _, r := range t.Revoked {
		before, revoked, err := tx.Revocation(r.JTI)
		if err != nil {
			return m, err
		}
		if revoked && before.Expires.Equal(r.Expires) {
			continue
		}
		if _, err := ks.revokeIn(tx, s, []Revocation{r}, time.Time{}); err != nil {
			return m, err
		}
		m.Revoked++
	}
	for _, r := range t.Rules {
		changed, err := ks.setRule(tx, s, &r)
		if err != nil {
			return m, err
		}
		if changed {
			m.Revoked++
		}
	}
	if err := ks.mergeSpent(tx, t.Spent, &m); err != nil {
		return m, err
	}
	if err := ks.writeSeals(tx, s); err != nil {
		return m, err
	}
	return m, tx.RaiseChange()
}

// mergeReceipts destroys what receipts attest as destroyed.
func (ks *Keystore) mergeReceipts(tx Tx, s *sealRoot, list []Receipt, m *Merged) error {
	key, err := ks.receiptKeyOf(tx)
	if err != nil {
		return err
	}
	defer key.close()
	for _, r := range list {
		if err := VerifyReceipt(r, key.public); err != nil {
			return fmt.Errorf("a tombstone of project %q: %w", r.Project, err)
		}
		doc, err := r.encode()
		if err != nil {
			return err
		}
		p, err := ks.lookUp(tx, s, r.Project)
		switch {
		case errors.Is(err, ErrNotFound): // the project is newer than the copy
			err = tx.AddReceipt(r.Project, doc)
		case err != nil || p.Severed:
		case r.Reason == ReasonGeneration:
			err = ks.mergeGeneration(tx, s, r, doc, m)
		default:
			m.Severed++
			err = errors.Join(tx.EraseKeys(r.Project, r.Destroyed), tx.SetSevered(r.Project, r.Destroyed, r.Reason), tx.AddReceipt(r.Project, doc),
				tx.SetMeta(metaScrub, []byte(rand.Text())), ks.reseal(tx, s, r.Project))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeGeneration destroys the generations of one receipt that still exist.
func (ks *Keystore) mergeGeneration(tx Tx, s *sealRoot, r Receipt, doc []byte, m *Merged) error {
	rows, err := tx.KeyStates(r.Project)
	if err != nil {
		return err
	}
	some := false
	for _, k := range rows {
		if k.State == Destroyed || !r.covers(k) {
			continue
		}
		some = true
		if err := tx.EraseKey(k.Domain, k.Gen, r.Destroyed); err != nil {
			return err
		}
	}
	if !some {
		return nil
	}
	m.Generations++
	return errors.Join(tx.AddReceipt(r.Project, doc), tx.SetMeta(metaScrub, []byte(rand.Text())), ks.reseal(tx, s, r.Project))
}

// mergeRotations marks the numbers of lost generations as used, since pseudonyms made
// with them may exist, and gives projects whose active generation is destroyed a new one.
func (ks *Keystore) mergeRotations(tx Tx, s *sealRoot, projects []ProjectRow, lost map[string]int, m *Merged) error {
	now := storeTime(ks.now())
	for _, p := range projects {
		rows, err := tx.KeyStates(p.Name)
		if err != nil {
			return err
		}
		if p, err = tx.Project(p.Name); err != nil {
			return err
		}
		active := slices.ContainsFunc(rows, func(k KeyRow) bool { return k.State == Active })
		if p.Severed || active && lost[p.Name] == 0 {
			continue
		}
		for _, org := range p.Orgs {
			next := 0
			for _, k := range rows {
				if k.Org == org {
					next = max(next, k.Gen+1)
				}
			}
			d := Domain{p.Name, org}
			for range lost[p.Name] {
				if next == MaxGenerations {
					break
				}
				err := tx.AddKey(KeyRow{Domain: d, Gen: next, State: Deactivated, Created: now, Wrapped: make([]byte, SecretSize+wrapOverhead)})
				if err = errors.Join(err, tx.EraseKey(d, next, now)); err != nil {
					return err
				}
				next++
			}
			if active || next == MaxGenerations {
				continue
			}
			row := KeyRow{Domain: d, Gen: next, State: Active, Created: now, Wrapped: ks.wrapSecret(nil, d, next)}
			err := tx.AddKey(row)
			wipe(row.Wrapped)
			if err != nil {
				return err
			}
		}
		if !active {
			m.Replaced++
		}
		if err := ks.reseal(tx, s, p.Name); err != nil {
			return err
		}
	}
	return nil
}

// mergeSpent adds to the spent values of budgets. It skips tokens known to have no budget.
func (ks *Keystore) mergeSpent(tx Tx, list []Spending, m *Merged) error {
	if len(list) == 0 {
		return nil
	}
	ends := map[string]time.Time{}
	if err := tx.Budgets(func(jti string, _ int64, exp time.Time) { ends[jti] = exp }); err != nil {
		return err
	}
	for _, u := range list {
		if u.Values <= 0 || checkJTI(u.JTI) != nil {
			continue
		}
		end, budget := ends[u.JTI]
		if !budget {
			issued, err := tx.Issued(u.JTI)
			switch {
			case err == nil && issued.Max == 0:
				continue
			case err == nil:
				end = issued.Expires
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}
		spent, err := tx.Spent(u.JTI)
		if err == nil {
			m.Spent++
			err = tx.SetSpent(u.JTI, spent+min(u.Values, math.MaxInt64-spent), end)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mergeEnds shortens retentions.
func (ks *Keystore) mergeEnds(tx Tx, s *sealRoot, ends map[string]time.Time, m *Merged) error {
	for name, end := range ends {
		p, err := ks.lookUp(tx, s, name)
		if errors.Is(err, ErrNotFound) || err == nil && (p.Severed || !p.Retention.IsZero() && !end.Before(p.Retention)) {
			continue
		}
		if err == nil {
			err = errors.Join(tx.SetRetention(name, wholeSeconds(end)), ks.reseal(tx, s, name))
		}
		if err != nil {
			return err
		}
		m.Shortened++
	}
	return nil
}
