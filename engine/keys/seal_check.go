package keys

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkRow verifies a project's row against its seal, and the seal against the list of
// its bucket.
func (ks *Keystore) checkRow(p *ProjectRow, l sealList) error {
	if seal, there := l[p.Name]; !there || !ks.isSealed(p, seal[:]) {
		return ks.tamperedProject(p.Name)
	}
	return nil
}

// checkKeys verifies the states of all generations of a project against its row, which
// the caller has verified.
func (ks *Keystore) checkKeys(p *ProjectRow, rows []KeyRow) error {
	if mac := ks.keysMAC(p.Name, rows); subtle.ConstantTimeCompare(mac[:], p.KeysMAC) != 1 {
		return ks.tampered(fmt.Sprintf("the stored generations of project %q do not match their seal", p.Name))
	}
	return nil
}

// lookUp reads and verifies a project. It also verifies the absence of a project:
// ErrNotFound means that the bucket's list does not name it either.
func (ks *Keystore) lookUp(tx Tx, s *sealRoot, name string) (ProjectRow, error) {
	p, missing := tx.Project(name)
	if missing != nil && !errors.Is(missing, ErrNotFound) {
		return p, missing
	}
	bucket := bucketOf(name)
	doc, err := tx.SealList(bucket)
	if err != nil {
		return p, err
	}
	l, err := ks.verifiedList(s, bucket, doc)
	if err != nil {
		return p, fmt.Errorf("%w (while looking for project %q)", err, name)
	}
	if missing != nil {
		if _, there := l[name]; there {
			return p, ks.tampered(fmt.Sprintf("the row of project %q is gone", name))
		}
		return p, missing
	}
	return p, ks.checkRow(&p, l)
}

// allProjects reads and verifies all projects. It returns the intact ones even if the
// error is ErrTampered.
func (ks *Keystore) allProjects(tx Tx, s *sealRoot) ([]ProjectRow, error) {
	rows, err := tx.Projects()
	if err != nil {
		return nil, err
	}
	docs, err := tx.SealLists()
	if err != nil {
		return nil, err
	}
	lists := map[uint16]sealList{}
	var errs []error
	for k := range uint16(sealBuckets) {
		l, err := ks.verifiedList(s, k, docs[k])
		if err != nil {
			errs = append(errs, err)
			l = sealList{}
		}
		lists[k] = l
	}
	sound := rows[:0]
	for _, p := range rows {
		l := lists[bucketOf(p.Name)]
		if err := ks.checkRow(&p, l); err != nil {
			errs = append(errs, err)
		} else {
			sound = append(sound, p)
		}
		delete(l, p.Name)
	}
	for _, l := range lists {
		for name := range l {
			errs = append(errs, ks.tampered(fmt.Sprintf("the row of project %q is gone", name)))
		}
	}
	return sound, summarise(errs)
}

// checkRows verifies some projects against their seals, and the seals against the lists.
// It returns the intact ones even if the error is ErrTampered.
func (ks *Keystore) checkRows(tx Tx, s *sealRoot, rows []ProjectRow) ([]ProjectRow, error) {
	lists := map[uint16]sealList{}
	var errs []error
	sound := rows[:0]
	for _, p := range rows {
		bucket := bucketOf(p.Name)
		l, there := lists[bucket]
		if !there {
			doc, err := tx.SealList(bucket)
			if err != nil {
				return nil, err
			}
			if l, err = ks.verifiedList(s, bucket, doc); err != nil {
				errs = append(errs, err)
			}
			lists[bucket] = l
		}
		if err := ks.checkRow(&p, l); err != nil {
			errs = append(errs, err)
		} else {
			sound = append(sound, p)
		}
	}
	return sound, summarise(errs)
}

// summarise returns the first error in order of text, with the number of the others.
func summarise(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if len(errs) == 1 {
		return errs[0]
	}
	return fmt.Errorf("%w (and %d more rows)", errs[0], len(errs)-1)
}
