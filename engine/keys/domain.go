package keys

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DomainQuery asks for what the use of a domain takes: see [Store].
type DomainQuery struct {
	Domain
	Bucket uint16 // of the project's seal
	Meta   string // name of an entry of the meta table
}

// DomainRows are the rows of a [DomainQuery], all of one moment.
type DomainRows struct {
	Change   uint64
	Clock    time.Time  // as Tx.Clock
	Meta     []byte     // empty if there is no such entry
	SealList []byte     // document of the bucket, empty if there is none
	Project  ProjectRow // its name is empty if there is no such project
	Keys     []KeyRow   // as Tx.KeyStates; those of the domain have their secrets
}

// Reset wipes the secrets and empties the rows, whose memory it keeps.
func (r *DomainRows) Reset() {
	wipeRows(r.Keys)
	r.Change, r.Clock, r.Project = 0, time.Time{}, ProjectRow{Project: Project{Orgs: r.Project.Orgs[:0]}, KeysMAC: r.Project.KeysMAC[:0], Seal: r.Project.Seal[:0]}
	r.Meta, r.SealList, r.Keys = r.Meta[:0], r.SealList[:0], r.Keys[:0]
}

// AddKey appends an empty generation and returns it. Its Wrapped field has the memory of
// a former one.
func (r *DomainRows) AddKey() *KeyRow {
	if len(r.Keys) == cap(r.Keys) {
		r.Keys = append(r.Keys, KeyRow{})
	} else {
		r.Keys = r.Keys[:len(r.Keys)+1]
	}
	k := &r.Keys[len(r.Keys)-1]
	*k = KeyRow{Wrapped: k.Wrapped[:0]}
	return k
}

// read fills the rows by single reads of a transaction.
func (r *DomainRows) read(tx Tx, q DomainQuery) (err error) {
	r.Reset()
	if r.Change, err = tx.Change(); err != nil {
		return err
	}
	if r.Clock, err = tx.Clock(); err != nil {
		return err
	}
	if r.Meta, err = tx.Meta(q.Meta); err != nil {
		return err
	}
	if r.SealList, err = tx.SealList(q.Bucket); err != nil {
		return err
	}
	p, err := tx.Project(q.Prj)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Project = p
	rows, err := tx.Keys(q.Prj)
	for i := range rows {
		if rows[i].Org != q.Org {
			wipe(rows[i].Wrapped)
			rows[i].Wrapped = nil
		}
	}
	r.Keys = rows
	return err
}

// domainRows keeps the memory of DomainRows between uses.
var domainRows = sync.Pool{New: func() any { return new(DomainRows) }}

// Secrets is [Keystore.ProjectSecrets] without the project.
func (ks *Keystore) Secrets(ctx context.Context, d Domain) ([]Generation, error) {
	_, gens, err := ks.ProjectSecrets(ctx, d)
	return gens, err
}

// ProjectSecrets returns a project and the living generations of one of its domains with
// their secrets, oldest first, as they were at one moment. The caller wipes them with
// [WipeSecrets]. Each call checks the retention against the clock. The project is also
// returned with an error that concerns its secrets only; else its name is empty. Errors:
// ErrNotFound, ErrRetentionOver, ErrSevered, ErrCorrupt, ErrTampered, ErrClock.
func (ks *Keystore) ProjectSecrets(ctx context.Context, d Domain) (Project, []Generation, error) {
	for {
		fingerprint := ks.mk.Fingerprint()
		p, out, err := ks.projectSecrets(ctx, d)
		// Another call may have adopted a new master key between reading and unwrapping.
		if err == nil || !errors.Is(err, ErrCorrupt) || ks.mk.Fingerprint() == fingerprint {
			return p, out, err
		}
	}
}

func (ks *Keystore) projectSecrets(ctx context.Context, d Domain) (Project, []Generation, error) {
	if checkName("project name", d.Prj) != nil {
		return Project{}, nil, fmt.Errorf("%w: no such project", ErrNotFound)
	}
	if checkName("organisation name", d.Org) != nil {
		return Project{}, nil, noOrg(d)
	}
	r := domainRows.Get().(*DomainRows)
	defer func() {
		r.Reset()
		domainRows.Put(r)
	}()
	q := DomainQuery{Domain: d, Bucket: bucketOf(d.Prj), Meta: metaClock}
	direct, err := ks.store.Domain(ctx, q, r)
	if err != nil {
		return Project{}, nil, err
	}
	root := ks.root.Load()
	if !direct || root == nil || root.change != r.Change {
		err = ks.store.View(ctx, func(tx Tx) (err error) {
			if root, err = ks.viewSeals(tx); err != nil {
				return err
			}
			return r.read(tx, q)
		})
		if err != nil {
			return Project{}, nil, err
		}
	}
	if err := ks.checkProject(r, root, d.Prj); err != nil {
		return Project{}, nil, err
	}
	p := r.Project.Project
	p.Orgs = slices.Clone(p.Orgs)
	if err := ks.checkUse(r, d); err != nil {
		return p, nil, err
	}
	out, err := ks.unwrapDomain(r.Keys, d)
	return p, out, err
}

// checkProject verifies the project's row, or its absence, against the seals.
func (ks *Keystore) checkProject(r *DomainRows, root *sealRoot, name string) error {
	seal, there, err := ks.sealOf(root, r.SealList, name)
	switch {
	case err != nil:
		return fmt.Errorf("%w (while looking for project %q)", err, name)
	case r.Project.Name == "" && there:
		return ks.tampered(fmt.Sprintf("the row of project %q is gone", name))
	case r.Project.Name == "":
		return noProject(name)
	case !there || !ks.isSealed(&r.Project, seal):
		return ks.tamperedProject(name)
	}
	return nil
}

// checkUse returns nil if the secrets of a domain may be used now. It verifies the states
// of all generations of the project.
func (ks *Keystore) checkUse(r *DomainRows, d Domain) error {
	p := &r.Project
	if !p.hasOrg(d.Org) {
		return noOrg(d)
	}
	var now time.Time
	if !p.Severed { // a severed project stays severed whatever the clock says
		meta := r.Meta
		if len(meta) == 0 {
			meta = nil
		}
		c, err := ks.clockOf(r.Clock, meta)
		if err == nil {
			now, err = c.Time()
		}
		if err != nil {
			return err
		}
	}
	if err := p.checkAlive(now); err != nil {
		return err
	}
	return ks.checkKeys(p, r.Keys)
}

func noOrg(d Domain) error {
	return fmt.Errorf("%w: project %q has no such organisation", ErrNotFound, d.Prj)
}

// unwrapDomain unwraps the living generations of a domain.
func (ks *Keystore) unwrapDomain(rows []KeyRow, d Domain) ([]Generation, error) {
	living, active := 0, 0
	for i := range rows {
		if rows[i].Org == d.Org && rows[i].State != Destroyed {
			living++
		}
	}
	out := make([]Generation, 0, living)
	for i := range rows {
		if rows[i].Org != d.Org || rows[i].State == Destroyed {
			continue
		}
		if rows[i].State == Active {
			active++
		}
		out = append(out, rows[i].generation())
		g := &out[len(out)-1]
		// Unwrap in place: no second copy is left behind.
		s, err := ks.mk.unwrap(g.Secret[:0], rows[i].Wrapped, purposeSecret, d, g.Gen)
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

// sealOf verifies the list of a project's bucket against the root and finds the
// project's seal in it, without decoding the list.
func (ks *Keystore) sealOf(s *sealRoot, doc []byte, name string) (seal []byte, there bool, err error) {
	want, listed := s.lists[bucketOf(name)]
	if !listed && len(doc) == 0 {
		return nil, false, nil
	}
	if got := sha256.Sum256(doc); !listed || len(doc) == 0 || got != want {
		return nil, false, ks.tampered("a list of projects does not match its seal")
	}
	for len(doc) >= 2 {
		n := int(binary.BigEndian.Uint16(doc))
		if doc = doc[2:]; len(doc) < n+sealSize {
			break
		}
		if string(doc[:n]) == name {
			return doc[n : n+sealSize], true, nil
		}
		doc = doc[n+sealSize:]
	}
	if len(doc) > 0 {
		return nil, false, ks.tampered("a list of projects cannot be read")
	}
	return nil, false, nil
}

// isSealed reports whether a project's row has this seal and matches it.
func (ks *Keystore) isSealed(p *ProjectRow, seal []byte) bool {
	mac := ks.projectMAC(p)
	return subtle.ConstantTimeCompare(seal, p.Seal) == 1 && subtle.ConstantTimeCompare(mac[:], p.Seal) == 1
}
