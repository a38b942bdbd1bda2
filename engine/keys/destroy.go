package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Sever destroys the secrets of a project permanently. The receipt is valid even if
// the error is ErrTraces. Errors: ErrNotFound, ErrSevered, ErrRetentionOver if a
// sweep has already destroyed them.
func (ks *Keystore) Sever(ctx context.Context, name string) (Receipt, error) {
	var r Receipt
	err := ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		p, rows, err := ks.findAll(tx, s, name)
		if err != nil {
			return false, err
		}
		if p.Severed {
			return false, p.alive(time.Time{})
		}
		now, err := ks.acknowledge(tx)
		if err != nil {
			return false, err
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

// Sweep notes which projects have ended by the store's time, destroys the secrets of
// those whose grace is over, drops revocations and budgets of tokens long expired, and acknowledges the
// time. It is cheap if there is nothing to do; call it every minute
// ([Keystore.Sweeper]). The receipts are valid even if the error is ErrTraces.
// Errors: ErrClock, and then nothing was destroyed.
func (ks *Keystore) Sweep(ctx context.Context) ([]Receipt, error) {
	var some []ProjectRow
	var pending []byte
	var tampered error
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		now, err := ks.time(tx)
		if err != nil {
			return err
		}
		if some, err = ks.due(tx, s, now); err != nil && !errors.Is(err, ErrTampered) {
			return err
		}
		tampered = err // the sound projects are still destroyed on time
		pending, err = tx.Meta(metaScrub)
		return err
	})
	if err != nil {
		return nil, err
	}
	var receipts []Receipt
	if len(some) > 0 {
		if receipts, err = ks.sweepDue(ctx); err != nil {
			return nil, err
		}
	}
	if len(receipts) > 0 || pending != nil {
		if err := ks.scrub(ctx); err != nil {
			return receipts, err
		}
	}
	err = ks.dropExpired(ctx)
	if errors.Is(err, ErrReadOnly) {
		err = nil // keeping expired rows longer is harmless
	}
	return receipts, errors.Join(tampered, err)
}

// due lists the projects that a sweep changes: those that ended and are to be noted or
// destroyed, and those noted by a clock that an operator has set back since. The
// sound ones are returned even if the error is ErrTampered.
func (ks *Keystore) due(tx Tx, s *seals, now time.Time) ([]ProjectRow, error) {
	rows, err := ks.all(tx, s)
	var out []ProjectRow
	for _, p := range rows {
		ended := p.EndedBy(now)
		switch {
		case p.Severed:
		case ended == p.Ended.IsZero(), ended && !now.Before(p.DestroyAt()):
			out = append(out, p)
		}
	}
	return out, err
}

// sweepDue notes the end of every project that is due, or destroys its secrets if the
// grace since it was noted is over. The grace counts from a first sweep and not from
// the end itself, so that a clock that jumped ahead has to stay so for the whole grace
// before anything is lost.
func (ks *Keystore) sweepDue(ctx context.Context) (receipts []Receipt, err error) {
	err = ks.change(ctx, func(tx Tx, s *seals) (changed bool, err error) {
		now, err := ks.acknowledge(tx)
		if err != nil {
			return false, err
		}
		// Another process may have swept since the view.
		due, err := ks.due(tx, s, now)
		if err != nil && !errors.Is(err, ErrTampered) {
			return false, err
		}
		for _, p := range due {
			_, rows, err := ks.findAll(tx, s, p.Name)
			if errors.Is(err, ErrTampered) {
				continue // Sweep reports it now or the next time
			}
			if err != nil {
				return false, err
			}
			switch {
			case !p.EndedBy(now):
				err = tx.SetSchedule(p.Name, time.Time{}, p.SeverAt)
			case p.Grace > 0 && p.Ended.IsZero():
				err = tx.SetSchedule(p.Name, stamp(now), p.SeverAt)
			default:
				reason := ReasonRetention
				if !p.over(now) {
					reason = ReasonSevered
				}
				var r Receipt
				r, err = ks.destroy(tx, p, rows, now, reason)
				receipts = append(receipts, r)
			}
			if err != nil {
				return false, err
			}
			if err := ks.reseal(tx, s, p.Name); err != nil {
				return false, err
			}
			changed = true
		}
		return changed, nil
	})
	if err != nil {
		return nil, err
	}
	return receipts, nil
}

// ScheduleSever has the project end at a time before its retention does: from then on
// nothing uses its secrets, and they are destroyed when its grace is over. A later
// call sets another time, and the zero time cancels, until the time has come. Errors:
// ErrNotFound, ErrSevered, ErrRetentionOver, ErrInvalid, ErrClock.
func (ks *Keystore) ScheduleSever(ctx context.Context, name string, at time.Time) error {
	if !at.IsZero() {
		at = wholeSeconds(at)
	}
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		p, _, err := ks.findAll(tx, s, name)
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

// Sweeper calls Sweep immediately and then at every interval until the context ends.
// It calls report, which may be nil, if there are receipts or an error.
func (ks *Keystore) Sweeper(ctx context.Context, every time.Duration, report func([]Receipt, error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		receipts, err := ks.Sweep(ctx)
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

// destroy erases a project's secrets within a transaction and stores a receipt.
func (ks *Keystore) destroy(tx Tx, p ProjectRow, rows []KeyRow, now time.Time, reason string) (Receipt, error) {
	now = stamp(now)
	r := Receipt{V: 1, Project: p.Name, Reason: reason, Destroyed: now, Imported: p.Imported}
	if !p.Retention.IsZero() {
		ret := p.Retention
		r.Retention = &ret
	}
	if !p.Ended.IsZero() {
		ended := p.Ended
		r.Ended, r.GraceSeconds = &ended, int64(p.Grace/time.Second)
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

// scrub rewrites the store's files and then removes the scrub mark. If another
// process destroyed something meanwhile, the mark has changed and stays for that
// process or the next sweep.
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
