package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"time"
)

// Sever destroys the secrets of a project permanently. The receipt is valid even if the
// error is ErrTraces. Errors: ErrNotFound, ErrSevered, ErrRetentionOver if a sweep has
// already destroyed the secrets.
func (ks *Keystore) Sever(ctx context.Context, name string) (Receipt, error) {
	var r Receipt
	err := ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		p, rows, err := ks.findWithKeys(tx, s, name)
		if err != nil {
			return false, err
		}
		if p.Severed {
			return false, p.checkAlive(time.Time{})
		}
		now, err := ks.acknowledge(tx)
		if err != nil {
			return false, err
		}
		reason := ReasonSevered
		if p.retentionOver(now) {
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

// ScheduleSever makes the project end at a time before its retention does. Nothing uses
// its secrets from then on, and they are destroyed when its grace is over. Until that
// time another call changes it, and a zero time cancels it. Errors: ErrNotFound,
// ErrSevered, ErrRetentionOver, ErrInvalid, ErrClock.
func (ks *Keystore) ScheduleSever(ctx context.Context, name string, at time.Time) error {
	if !at.IsZero() {
		at = wholeSeconds(at)
	}
	return ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		p, _, err := ks.findWithKeys(tx, s, name)
		if err != nil {
			return false, err
		}
		now, err := ks.usable(tx, &p)
		switch {
		case err != nil:
			return false, err
		case at.IsZero() && p.SeverAt.IsZero():
			return false, fmt.Errorf("%w: no severing of project %q is scheduled", ErrInvalid, name)
		case !at.IsZero() && !at.After(now):
			return false, fmt.Errorf("%w: the severing of project %q would be due at once: sever it now instead", ErrInvalid, name)
		case !at.IsZero() && !p.Retention.IsZero() && !at.Before(p.Retention):
			return false, fmt.Errorf("%w: the retention of project %q ends before, at %s", ErrInvalid, name, p.Retention.Format(time.RFC3339))
		case at.Equal(p.SeverAt):
			return false, nil
		}
		if err := tx.SetSchedule(name, p.Ended, at); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
}

// RestoreProject puts a project that a scheduled severing ended back into use, until the
// end of its retention. It works only during the grace. It never extends a retention and
// never restores destroyed secrets. Errors: ErrNotFound, ErrSevered, ErrRetentionOver,
// ErrInvalid if the project has not ended, ErrClock.
func (ks *Keystore) RestoreProject(ctx context.Context, name string) error {
	return ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		p, _, err := ks.findWithKeys(tx, s, name)
		if err != nil {
			return false, err
		}
		if p.Severed {
			return false, p.checkAlive(time.Time{})
		}
		now, err := ks.acknowledge(tx)
		switch {
		case err != nil:
			return false, err
		case p.retentionOver(now):
			return false, fmt.Errorf("%w: project %q, at %s: a retention is never extended, so nothing restores it: make a new project for new data", ErrRetentionOver, name, p.Retention.Format(time.RFC3339))
		case p.SeverAt.IsZero():
			return false, fmt.Errorf("%w: project %q is in use: there is nothing to restore", ErrInvalid, name)
		case !p.EndedBy(now):
			return false, fmt.Errorf("%w: project %q is in use until %s: %w", ErrInvalid, name, p.SeverAt.Format(time.RFC3339), ErrScheduled)
		}
		if err := tx.SetSchedule(name, time.Time{}, time.Time{}); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
}

// destroy erases a project's secrets within a transaction and stores a receipt.
func (ks *Keystore) destroy(tx Tx, p ProjectRow, rows []KeyRow, now time.Time, reason string) (Receipt, error) {
	now = storeTime(now)
	r, err := ks.addReceipt(tx, p, rows, now, reason)
	if err != nil {
		return r, err
	}
	if err := tx.EraseKeys(p.Name, now); err != nil {
		return Receipt{}, err
	}
	if err := tx.SetSevered(p.Name, now, reason); err != nil {
		return Receipt{}, err
	}
	return r, tx.SetMeta(metaScrub, []byte(rand.Text()))
}

// addReceipt signs and stores a receipt for the generations of rows that are not
// destroyed yet.
func (ks *Keystore) addReceipt(tx Tx, p ProjectRow, rows []KeyRow, now time.Time, reason string) (Receipt, error) {
	r := Receipt{V: 2, Project: p.Name, MasterKey: ks.MasterKeyFingerprint(), Reason: reason, Destroyed: now, Imported: p.Imported}
	var err error
	if r.Clock, err = ks.receiptClock(tx); err != nil {
		return Receipt{}, err
	}
	if r.Backups, err = ks.backupsOf(tx, p.Created); err != nil {
		return Receipt{}, err
	}
	fingerprints, err := ks.fingerprints(tx, p.Name)
	if err != nil {
		fingerprints = nil // a secret that does not unwrap is destroyed all the same
	}
	if !p.Retention.IsZero() {
		ret := p.Retention
		r.Retention = &ret
	}
	if !p.Ended.IsZero() {
		ended := p.Ended
		r.Ended, r.GraceSeconds = &ended, int64(p.Grace/time.Second)
	}
	for _, k := range rows {
		if k.State == Destroyed {
			continue // it has its own receipt
		}
		if len(r.Orgs) == 0 || r.Orgs[len(r.Orgs)-1].Org != k.Org {
			r.Orgs = append(r.Orgs, ReceiptOrg{Org: k.Org})
		}
		o := &r.Orgs[len(r.Orgs)-1]
		o.Generations = append(o.Generations, ReceiptGeneration{Gen: k.Gen, Created: k.Created, Imported: k.Imported, Fingerprint: fingerprints[k.Org][k.Gen]})
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
	return r, tx.AddReceipt(p.Name, doc)
}

// scrub rewrites the store's files and then removes the scrub mark. If another process
// destroyed secrets meanwhile, the mark has changed, and scrub leaves it for that
// process or for the next sweep.
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

// TracesPending reports whether the store's files may still hold traces of destroyed
// secrets: see [ErrTraces].
func (ks *Keystore) TracesPending(ctx context.Context) (bool, error) {
	var mark []byte
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		mark, err = tx.Meta(metaScrub)
		return err
	})
	return mark != nil, err
}
