package keys

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkRow compares a project's row with its seal, and that with the list of its
// bucket.
func (ks *Keystore) checkRow(p *ProjectRow, l sealList) error {
	seal, there := l[p.Name]
	if !there || subtle.ConstantTimeCompare(seal[:], p.Seal) != 1 || subtle.ConstantTimeCompare(ks.projectMAC(p), p.Seal) != 1 {
		return ks.tamperedProject(p.Name)
	}
	return nil
}

// checkKeys compares the states of all generations of a project with its row,
// which was checked.
func (ks *Keystore) checkKeys(p *ProjectRow, rows []KeyRow) error {
	if subtle.ConstantTimeCompare(ks.keysMAC(p.Name, rows), p.KeysMAC) != 1 {
		return ks.tampered(fmt.Sprintf("the stored generations of project %q are not as they were left", p.Name))
	}
	return nil
}

// lookUp reads and checks a project, one that is not there included.
func (ks *Keystore) lookUp(tx Tx, s *seals, name string) (ProjectRow, error) {
	p, missing := tx.Project(name)
	if missing != nil && !errors.Is(missing, ErrNotFound) {
		return p, missing
	}
	bucket := bucketOf(name)
	doc, err := tx.SealList(bucket)
	if err != nil {
		return p, err
	}
	l, err := ks.list(s, bucket, doc)
	if err != nil {
		return p, fmt.Errorf("%w (when project %q was looked for)", err, name)
	}
	if missing != nil {
		if _, there := l[name]; there {
			return p, ks.tampered(fmt.Sprintf("the row of project %q is gone", name))
		}
		return p, missing
	}
	return p, ks.checkRow(&p, l)
}

// all reads and checks all projects. Beside an error that is ErrTampered stand
// those that are sound.
func (ks *Keystore) all(tx Tx, s *seals) ([]ProjectRow, error) {
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
		l, err := ks.list(s, k, docs[k])
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
	return sound, several(errs)
}

// checkRows compares some projects with their seals and those with the lists. Beside an
// error that is ErrTampered stand those that are sound.
func (ks *Keystore) checkRows(tx Tx, s *seals, rows []ProjectRow) ([]ProjectRow, error) {
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
			if l, err = ks.list(s, bucket, doc); err != nil {
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
	return sound, several(errs)
}

// several is the first of errors, with how many more there are.
func several(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if len(errs) == 1 {
		return errs[0]
	}
	return fmt.Errorf("%w (and %d more rows)", errs[0], len(errs)-1)
}
