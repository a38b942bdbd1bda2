package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/kernel"
)

// Entries of a store's meta table.
const (
	metaCheck   = "check"   // a known text under the master key
	metaIssuer  = "issuer"  // seed of the built-in issuer, wrapped
	metaReceipt = "receipt" // seed of the receipt key, wrapped
	metaScrub   = "scrub"   // present while deleted secrets may linger in old pages; new at each destruction
)

// The text says the schema too: a store whose rows are sealed cannot be passed
// off as one of the time before seals.
const (
	checkText  = "velonym master key check 2"
	checkText1 = "velonym master key check"
)

// dropAfter is how long after a token's end its revocation and its budget are
// kept: verifiers allow 30 seconds of skew, and clocks differ.
const dropAfter = 10 * time.Minute

const maxJTI = 1024

// Keystore gives out and looks after the secrets in a [Store]. It keeps no
// secret in memory between calls, and is safe for concurrent use, by several
// processes too.
type Keystore struct {
	store Store
	mk    *MasterKey
	now   func() time.Time
	seal  *kernel.HMAC
	root  atomic.Pointer[seals] // as last read by a view
}

// Option changes what [New] makes.
type Option func(*Keystore)

// WithClock sets the clock that retention is checked by.
func WithClock(now func() time.Time) Option {
	return func(ks *Keystore) { ks.now = now }
}

// New joins a store and a master key. A store that was only just created is
// bound to the key: its check value, the seed of the built-in issuer and the
// receipt key are written. From then on any other key is ErrWrongMasterKey.
// The store is not closed on error.
func New(ctx context.Context, store Store, mk *MasterKey, options ...Option) (*Keystore, error) {
	ks := &Keystore{store: store, mk: mk, now: time.Now}
	for _, o := range options {
		o(ks)
	}
	var at opening
	read := func(tx Tx) (err error) {
		at, err = readOpening(tx)
		return err
	}
	if err := store.View(ctx, read); err != nil {
		return nil, err
	}
	if at.check == nil || at.schema < SchemaVersion {
		err := store.Update(ctx, func(tx Tx) error {
			// Another process may have been faster.
			if err := read(tx); err != nil || at.check != nil && at.schema == SchemaVersion {
				return err
			}
			if err := ks.prepare(tx, at); err != nil {
				return err
			}
			return read(tx)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := ks.opens(at.check, checkText); err != nil {
		return nil, err
	}
	if err := ks.openSeals(at.sealKey); err != nil {
		return nil, err
	}
	return ks, nil
}

// opening is what is looked at when a keystore is opened.
type opening struct {
	schema         int
	check, sealKey []byte
}

func readOpening(tx Tx) (at opening, err error) {
	if at.schema, err = tx.Schema(); err != nil {
		return at, err
	}
	if at.check, err = tx.Meta(metaCheck); err != nil {
		return at, err
	}
	at.sealKey, err = tx.Meta(metaSealKey)
	return at, err
}

// opens says whether the check value is that text under the master key.
func (ks *Keystore) opens(check []byte, want string) error {
	text, err := ks.mk.unwrap(nil, check, purposeCheck, Domain{}, 0)
	switch {
	case err != nil:
		return fmt.Errorf("%w for %s: give the master key that it was made with (a file, env: or exec: source); without it its secrets cannot be read, and a new keystore is a new start", ErrWrongMasterKey, ks.store.Name())
	case subtle.ConstantTimeCompare(text, []byte(want)) != 1:
		return ks.tampered("its version is not the one that it was left with")
	}
	return nil
}

// prepare upgrades a store of an older schema, binds a new one to the master key,
// and seals what is in it.
func (ks *Keystore) prepare(tx Tx, at opening) error {
	if at.check != nil {
		if err := ks.opens(at.check, checkText1); err != nil {
			return err
		}
	}
	if at.schema < SchemaVersion {
		if err := tx.Upgrade(); err != nil {
			return err
		}
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
	return tx.Bump()
}

// bind writes what a new store lacks.
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

// Close closes the store. No call may be under way.
func (ks *Keystore) Close() error {
	ks.seal.Release()
	return ks.store.Close()
}

// change runs f in a transaction with the seals that were read in it, and writes
// these when f says that it changed them.
func (ks *Keystore) change(ctx context.Context, f func(Tx, *seals) (changed bool, err error)) error {
	return ks.store.Update(ctx, func(tx Tx) error {
		s, err := ks.readSeals(tx)
		if err != nil {
			return err
		}
		changed, err := f(tx, s)
		if err != nil || !changed {
			return err
		}
		if err := ks.writeSeals(tx, s); err != nil {
			return err
		}
		return tx.Bump()
	})
}

// CreateProject makes a project with the first generation of each of its
// domains. With imported secrets, one a generation, oldest first, every domain
// gets those instead, the last one active; the domains' working keys differ
// all the same, since they are derived with the domain's name. The caller wipes
// the secrets. Errors: ErrInvalid (the same secret twice among them), ErrExists,
// ErrTooManyGenerations.
func (ks *Keystore) CreateProject(ctx context.Context, p Project, imported [][SecretSize]byte) error {
	now := ks.now()
	p.Orgs = append([]string(nil), p.Orgs...)
	if err := p.normalise(now); err != nil {
		return err
	}
	if len(imported) > MaxGenerations {
		return fmt.Errorf("%w: %d imported secrets, a domain has at most %d", ErrTooManyGenerations, len(imported), MaxGenerations)
	}
	for i := range imported {
		for j := range i {
			if subtle.ConstantTimeCompare(imported[i][:], imported[j][:]) == 1 {
				return fmt.Errorf("%w: imported secrets %d and %d are the same: every generation needs its own", ErrInvalid, j, i)
			}
		}
	}
	p.Imported = len(imported) > 0
	gens := max(1, len(imported))
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		switch _, err := ks.lookUp(tx, s, p.Name); {
		case err == nil:
			return false, fmt.Errorf("%w: %q: choose another name; the names of severed projects stay taken", ErrExists, p.Name)
		case !errors.Is(err, ErrNotFound):
			return false, err
		}
		if err := tx.AddProject(ProjectRow{Project: p}); err != nil {
			return false, err
		}
		for _, org := range p.Orgs {
			for g := range gens {
				row := KeyRow{Domain: Domain{p.Name, org}, Gen: g, State: Deactivated, Imported: p.Imported, Created: p.Created}
				if g == gens-1 {
					row.State = Active
				}
				var secret []byte
				if p.Imported {
					secret = imported[g][:]
				}
				row.Wrapped = ks.wrapSecret(secret, row.Domain, g)
				if err := tx.AddKey(row); err != nil {
					return false, err
				}
				wipe(row.Wrapped)
			}
		}
		return true, ks.reseal(tx, s, p.Name)
	})
}

// wrapSecret wraps the secret given, or 32 random bytes for nil.
func (ks *Keystore) wrapSecret(secret []byte, d Domain, gen int) []byte {
	if secret == nil {
		var s [SecretSize]byte
		defer wipe(s[:])
		rand.Read(s[:])
		secret = s[:]
	}
	return ks.mk.wrap(secret, purposeSecret, d, gen)
}

// Project returns a project, severed ones included. ErrNotFound.
func (ks *Keystore) Project(ctx context.Context, name string) (Project, error) {
	var p ProjectRow
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		p, err = ks.view(tx, name)
		return err
	})
	return p.Project, err
}

// find is lookUp for a name that nobody checked.
func (ks *Keystore) find(tx Tx, s *seals, name string) (ProjectRow, error) {
	if checkName("project name", name) != nil {
		return ProjectRow{}, fmt.Errorf("%w: no such project", ErrNotFound)
	}
	p, err := ks.lookUp(tx, s, name)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: no project %q: 'velonym project list' lists those there are", ErrNotFound, name)
	}
	return p, err
}

// view is find within a view.
func (ks *Keystore) view(tx Tx, name string) (ProjectRow, error) {
	s, err := ks.viewSeals(tx)
	if err != nil {
		return ProjectRow{}, err
	}
	return ks.find(tx, s, name)
}

// findAll is find with the states of all generations, checked.
func (ks *Keystore) findAll(tx Tx, s *seals, name string) (ProjectRow, []KeyRow, error) {
	p, err := ks.find(tx, s, name)
	if err != nil {
		return p, nil, err
	}
	rows, err := tx.KeyStates(name)
	if err != nil {
		return p, nil, err
	}
	return p, rows, ks.checkKeys(&p, rows)
}

// Projects lists all projects by name, severed ones included.
func (ks *Keystore) Projects(ctx context.Context) ([]Project, error) {
	var out []Project
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		rows, err := ks.all(tx, s)
		if err != nil {
			return err
		}
		out = make([]Project, len(rows))
		for i := range rows {
			out[i] = rows[i].Project
		}
		return nil
	})
	return out, err
}

// Generations lists the generations of a project by organisation, oldest
// first, without their secrets. ErrNotFound.
func (ks *Keystore) Generations(ctx context.Context, name string) (map[string][]Generation, error) {
	out := make(map[string][]Generation)
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		_, rows, err := ks.findAll(tx, s, name)
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
// first. The caller wipes them ([WipeSecrets]). The retention is checked against
// the clock at every call, whether or not a sweep has been. Errors: ErrNotFound,
// ErrRetentionOver, ErrSevered, ErrCorrupt.
func (ks *Keystore) Secrets(ctx context.Context, d Domain) ([]Generation, error) {
	var rows []KeyRow
	err := ks.store.View(ctx, func(tx Tx) error {
		p, err := ks.view(tx, d.Prj)
		if err != nil {
			return err
		}
		if !p.hasOrg(d.Org) {
			return fmt.Errorf("%w: project %q has no such organisation", ErrNotFound, d.Prj)
		}
		if err := p.alive(ks.now()); err != nil {
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
		// Unwrapped in place, so that no other copy is made.
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

// sameState compares all of two rows but their secrets.
func sameState(a, b KeyRow) bool {
	a.Wrapped, b.Wrapped = nil, nil
	return a.Domain == b.Domain && a.Gen == b.Gen && a.State == b.State && a.Imported == b.Imported && a.Created.Equal(b.Created) && a.Destroyed.Equal(b.Destroyed)
}

// wipeRows overwrites the wrapped secrets of rows: a copy that stays in memory is
// a copy of the secret to whoever gets hold of the master key.
func wipeRows(rows []KeyRow) {
	for i := range rows {
		wipe(rows[i].Wrapped)
	}
}

// WipeSecrets overwrites the secrets of what [Keystore.Secrets] returned.
func WipeSecrets(gens []Generation) {
	for i := range gens {
		wipe(gens[i].Secret[:])
	}
}

// alive says whether the project's secrets may be used at the time given.
func (p *ProjectRow) alive(now time.Time) error {
	switch {
	case p.Severed && p.Reason != ReasonRetention:
		return fmt.Errorf("%w: %q, for good", ErrSevered, p.Name)
	case p.Severed, p.over(now):
		return fmt.Errorf("%w: project %q: its link is severed for good", ErrRetentionOver, p.Name)
	}
	return nil
}

// over says whether the retention has ended: its last second is not part of it.
func (p *Project) over(now time.Time) bool {
	return !p.Retention.IsZero() && !now.Before(p.Retention)
}

// Rotate makes a new active generation in every domain of a project; those
// before it only reverse from then on. Errors: ErrNotFound, ErrSevered,
// ErrRetentionOver, ErrTooManyGenerations.
func (ks *Keystore) Rotate(ctx context.Context, name string) error {
	now := ks.now()
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		p, rows, err := ks.findAll(tx, s, name)
		if err != nil {
			return false, err
		}
		if err := p.alive(now); err != nil {
			return false, err
		}
		for _, org := range p.Orgs {
			d := Domain{name, org}
			next := 0
			for _, r := range rows {
				if r.Org != org {
					continue
				}
				next = max(next, r.Gen+1)
				if r.State == Active {
					if err := tx.Deactivate(d, r.Gen); err != nil {
						return false, err
					}
				}
			}
			if next >= MaxGenerations {
				return false, fmt.Errorf("%w: project %q has had its %d: make a new project, and secondary tokens to move to it", ErrTooManyGenerations, name, MaxGenerations)
			}
			row := KeyRow{Domain: d, Gen: next, State: Active, Created: stamp(now), Wrapped: ks.wrapSecret(nil, d, next)}
			if err := tx.AddKey(row); err != nil {
				return false, err
			}
			wipe(row.Wrapped)
		}
		return true, ks.reseal(tx, s, name)
	})
}

// Shorten brings the end of a project's retention forward, in whole seconds,
// rounded down. A project without retention gets one. An end that is not in the
// future is ErrInvalid: to destroy the secrets now is what Sever is for. Errors:
// ErrNotFound, ErrSevered, ErrRetentionOver, ErrExtend, ErrInvalid.
func (ks *Keystore) Shorten(ctx context.Context, name string, until time.Time) error {
	if until.IsZero() || until.Year() > 9999 {
		return fmt.Errorf("%w: retention needs a time before the year 10000", ErrInvalid)
	}
	until = wholeSeconds(until)
	now := ks.now()
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		p, _, err := ks.findAll(tx, s, name)
		if err != nil {
			return false, err
		}
		if err := p.alive(now); err != nil {
			return false, err
		}
		if !until.After(now) {
			return false, fmt.Errorf("%w: the retention of project %q would end at once: sever the project to destroy its secrets now", ErrInvalid, name)
		}
		if !p.Retention.IsZero() && until.After(p.Retention) {
			return false, fmt.Errorf("%w: that of project %q ends %s", ErrExtend, name, p.Retention.Format(time.RFC3339))
		}
		if until.Equal(p.Retention) {
			return false, nil
		}
		if err := tx.SetRetention(name, until); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
}

// Sever destroys the secrets of a project now and for good. The receipt is
// valid also beside an error that is ErrTraces. Errors: ErrNotFound, ErrSevered,
// ErrRetentionOver when a sweep was there before.
func (ks *Keystore) Sever(ctx context.Context, name string) (Receipt, error) {
	var r Receipt
	now := ks.now()
	err := ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		p, rows, err := ks.findAll(tx, s, name)
		if err != nil {
			return false, err
		}
		if p.Severed {
			return false, p.alive(now)
		}
		reason := ReasonSevered
		if p.over(now) {
			reason = ReasonRetention
		}
		if r, err = ks.destroy(tx, p, rows, now, reason); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
	if err != nil {
		return Receipt{}, err
	}
	return r, ks.scrub(ctx)
}

// Sweep destroys the secrets of the projects whose retention is over at the
// time given, and drops revocations and budgets of tokens long expired. It is
// cheap when there is nothing to do; call it every minute ([Keystore.Sweeper]).
// The receipts are valid also beside an error that is ErrTraces.
func (ks *Keystore) Sweep(ctx context.Context, now time.Time) ([]Receipt, error) {
	var some []ProjectRow
	var pending []byte
	var tampered error
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		if some, err = ks.due(tx, s, now); err != nil && !errors.Is(err, ErrTampered) {
			return err
		}
		tampered = err // which is no reason to let the others live on
		pending, err = tx.Meta(metaScrub)
		return err
	})
	if err != nil {
		return nil, err
	}
	var receipts []Receipt
	if len(some) > 0 {
		if receipts, err = ks.destroyDue(ctx, now); err != nil {
			return nil, err
		}
	}
	if len(receipts) > 0 || pending != nil {
		if err := ks.scrub(ctx); err != nil {
			return receipts, err
		}
	}
	err = ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		dropped, err := tx.DropExpired(now.Add(-dropAfter))
		for _, r := range dropped {
			subtle.XORBytes(s.sum[:], s.sum[:], ks.revocationMAC(r))
			s.revoked--
		}
		return len(dropped) > 0, err
	})
	if errors.Is(err, ErrReadOnly) {
		err = nil // what is kept longer than it must be does no harm
	}
	return receipts, errors.Join(tampered, err)
}

// due lists the projects whose retention has ended. Beside an error that is
// ErrTampered stand those among the sound ones.
func (ks *Keystore) due(tx Tx, s *seals, now time.Time) ([]ProjectRow, error) {
	rows, err := ks.all(tx, s)
	var out []ProjectRow
	for _, p := range rows {
		if !p.Severed && p.over(now) {
			out = append(out, p)
		}
	}
	return out, err
}

// destroyDue destroys the secrets of all projects that are due.
func (ks *Keystore) destroyDue(ctx context.Context, now time.Time) (receipts []Receipt, err error) {
	err = ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		// Another process may have swept since.
		due, err := ks.due(tx, s, now)
		if err != nil && !errors.Is(err, ErrTampered) {
			return false, err
		}
		for _, p := range due {
			_, rows, err := ks.findAll(tx, s, p.Name)
			if errors.Is(err, ErrTampered) {
				continue // the view said so, or the next will
			}
			if err != nil {
				return false, err
			}
			r, err := ks.destroy(tx, p, rows, now, ReasonRetention)
			if err != nil {
				return false, err
			}
			if err := ks.reseal(tx, s, p.Name); err != nil {
				return false, err
			}
			receipts = append(receipts, r)
		}
		return len(receipts) > 0, nil
	})
	return receipts, err
}

// Sweeper calls Sweep at once and then at every interval until the context
// ends, and hands on what it returned when there is something to tell.
func (ks *Keystore) Sweeper(ctx context.Context, every time.Duration, report func([]Receipt, error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		receipts, err := ks.Sweep(ctx, ks.now())
		if ctx.Err() != nil && len(receipts) == 0 {
			return
		}
		if (len(receipts) > 0 || err != nil) && report != nil {
			report(receipts, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// destroy erases a project's secrets within a transaction and records why.
func (ks *Keystore) destroy(tx Tx, p ProjectRow, rows []KeyRow, now time.Time, reason string) (Receipt, error) {
	now = stamp(now)
	r := Receipt{V: 1, Project: p.Name, Reason: reason, Destroyed: now, Imported: p.Imported}
	if !p.Retention.IsZero() {
		ret := p.Retention
		r.Retention = &ret
	}
	for _, k := range rows {
		if len(r.Orgs) == 0 || r.Orgs[len(r.Orgs)-1].Org != k.Org {
			r.Orgs = append(r.Orgs, ReceiptOrg{Org: k.Org})
		}
		o := &r.Orgs[len(r.Orgs)-1]
		o.Generations = append(o.Generations, ReceiptGeneration{Gen: k.Gen, Created: k.Created, Imported: k.Imported})
	}
	key, err := ks.receiptKeyOf(tx)
	if err != nil {
		return Receipt{}, err
	}
	err = r.sign(key)
	key.close()
	if err != nil {
		return Receipt{}, err
	}
	doc, err := r.encode()
	if err != nil {
		return Receipt{}, err
	}
	if err := tx.EraseKeys(p.Name, now); err != nil {
		return Receipt{}, err
	}
	if err := tx.SetSevered(p.Name, now, reason); err != nil {
		return Receipt{}, err
	}
	if err := tx.AddReceipt(p.Name, doc); err != nil {
		return Receipt{}, err
	}
	return r, tx.SetMeta(metaScrub, []byte(rand.Text()))
}

// scrub has the store rewrite its files, and notes that it did, unless another
// process destroyed something meanwhile: the mark is then a new one, and stays
// until that one is done with it, or the next sweep.
func (ks *Keystore) scrub(ctx context.Context) error {
	var mark []byte
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		mark, err = tx.Meta(metaScrub)
		return err
	})
	if err == nil {
		err = ks.store.Scrub(ctx)
	}
	if err == nil {
		err = ks.store.Update(ctx, func(tx Tx) error {
			now, err := tx.Meta(metaScrub)
			if err != nil || !bytes.Equal(now, mark) {
				return err
			}
			return tx.SetMeta(metaScrub, nil)
		})
	}
	if err != nil {
		return fmt.Errorf("%w: the next sweep tries again: %w", ErrTraces, err)
	}
	return nil
}

// Receipts returns the destruction receipts of a project, or of all projects
// for "", oldest first.
func (ks *Keystore) Receipts(ctx context.Context, name string) ([]Receipt, error) {
	if checkName("project name", name) != nil {
		return nil, nil
	}
	var out []Receipt
	err := ks.store.View(ctx, func(tx Tx) error {
		docs, err := tx.Receipts(name)
		if err != nil {
			return err
		}
		for _, d := range docs {
			r, err := ParseReceipt(d)
			if err != nil {
				return fmt.Errorf("%w: a stored receipt cannot be read", ErrCorrupt)
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// ReceiptKey returns the public key that verifies this keystore's receipts.
func (ks *Keystore) ReceiptKey(ctx context.Context) (ed25519.PublicKey, error) {
	key, err := ks.receiptKey(ctx)
	if err != nil {
		return nil, err
	}
	defer key.close()
	return key.public, nil
}

// receiptKey unwraps the key that signs receipts and heads. The caller closes it.
func (ks *Keystore) receiptKey(ctx context.Context) (key *signingKey, err error) {
	err = ks.store.View(ctx, func(tx Tx) (err error) {
		key, err = ks.receiptKeyOf(tx)
		return err
	})
	return key, err
}

func (ks *Keystore) receiptKeyOf(tx Tx) (*signingKey, error) {
	seed, err := ks.seed(tx, metaReceipt, purposeReceipt)
	if err != nil {
		return nil, err
	}
	return newSigningKey(seed)
}

// IssuerSeed returns the 32-byte Ed25519 seed of the built-in issuer. It is
// made with the keystore and never changes. The caller wipes it.
func (ks *Keystore) IssuerSeed(ctx context.Context) ([]byte, error) {
	var seed []byte
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		seed, err = ks.seed(tx, metaIssuer, purposeIssuer)
		return err
	})
	return seed, err
}

func (ks *Keystore) seed(tx Tx, meta, purpose string) ([]byte, error) {
	blob, err := tx.Meta(meta)
	if err != nil {
		return nil, err
	}
	seed, err := ks.mk.unwrap(make([]byte, 0, ed25519.SeedSize), blob, purpose, Domain{}, 0)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: the %s key of %s does not open: restore it from a backup", ErrCorrupt, purpose, ks.store.Name())
	}
	return seed, nil
}

// Change returns a counter that every change of projects, keys and revocations
// raises, in whichever process it is made. It is cheap enough to be polled
// several times a second.
func (ks *Keystore) Change(ctx context.Context) (uint64, error) { return ks.store.Change(ctx) }

// Revoke refuses a token from now on, by its jti; exp is when the token ends by
// itself, from when on the entry is needed no more. A zero exp keeps it for
// good. ErrInvalid for a jti that is empty or longer than 1,024 bytes.
func (ks *Keystore) Revoke(ctx context.Context, jti string, exp time.Time) error {
	if err := checkJTI(jti); err != nil {
		return err
	}
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		before, revoked, err := tx.Revocation(jti)
		if err != nil {
			return false, err
		}
		if err := tx.Revoke(jti, exp); err != nil {
			return false, err
		}
		after, _, err := tx.Revocation(jti)
		if err != nil {
			return false, err
		}
		if revoked {
			subtle.XORBytes(s.sum[:], s.sum[:], ks.revocationMAC(before))
			s.revoked--
		}
		s.add(ks.revocationMAC(after), 1)
		return true, nil
	})
}

func checkJTI(jti string) error {
	if jti == "" || len(jti) > maxJTI {
		return fmt.Errorf("%w: jti must be 1 to %d bytes long", ErrInvalid, maxJTI)
	}
	return nil
}

// Revocations returns the jti of every token that is revoked.
func (ks *Keystore) Revocations(ctx context.Context) (map[string]struct{}, error) {
	var list []Revocation
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		if list, err = tx.Revocations(); err != nil {
			return err
		}
		return ks.checkRevocations(s, list)
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string]struct{}, len(list))
	for _, r := range list {
		out[r.JTI] = struct{}{}
	}
	return out, nil
}

// Lease takes up to want values from the budget of a token, whose whole is max,
// and says how many were granted: 0 when it is spent. A grant is durable when
// Lease returns, and counts as spent whether or not it is used: the sum of all
// grants never passes max, whatever processes take part and however they end.
// The record is kept for good; see [Keystore.LeaseUntil].
func (ks *Keystore) Lease(ctx context.Context, jti string, max, want int64) (granted int64, err error) {
	return ks.LeaseUntil(ctx, jti, time.Time{}, max, want)
}

// LeaseUntil is [Keystore.Lease] for a token that ends at exp: some minutes
// later Sweep drops the record.
func (ks *Keystore) LeaseUntil(ctx context.Context, jti string, exp time.Time, max, want int64) (granted int64, err error) {
	if err := checkJTI(jti); err != nil {
		return 0, err
	}
	if max < 0 || want <= 0 {
		return 0, fmt.Errorf("%w: a lease needs a budget of at least 0 and an amount of at least 1", ErrInvalid)
	}
	err = ks.store.Update(ctx, func(tx Tx) error {
		spent, err := tx.Spent(jti)
		if err != nil {
			return err
		}
		granted = min(want, max-spent)
		if granted <= 0 {
			granted = 0
			return nil
		}
		return tx.SetSpent(jti, spent+granted, exp)
	})
	if err != nil {
		// After a failed commit nobody knows whether it holds: what it may
		// have granted is not given out.
		return 0, err
	}
	return granted, nil
}
