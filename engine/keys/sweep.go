package keys

import (
	"context"
	"errors"
	"time"
)

// Swept reports what a sweep did.
type Swept struct {
	Ended     []string  // projects whose end it noted; nothing uses their secrets any more
	Resumed   []string  // projects noted as ended by a clock that has been set back since
	Destroyed []Receipt // receipts of projects whose grace is over

	Rotated []string // projects that got a new active generation: see RotateEvery
	Spent   []string // projects that are due for rotation but have had MaxGenerations; reported once

	// Held lists the projects whose secrets the sweep kept although their grace is
	// over by the clock, because part of that time is in doubt: see Clock.Doubt.
	Held []string
}

// Empty reports whether the sweep did nothing.
func (s Swept) Empty() bool {
	return len(s.Ended)+len(s.Resumed)+len(s.Rotated)+len(s.Spent)+len(s.Destroyed)+len(s.Held) == 0
}

// Sweep notes which projects have ended by the store's time, destroys the secrets of
// those whose grace is over by its sure time ([Clock.Sure]), rotates those whose rotation
// is due by that time, drops revocations and budgets of tokens that expired long ago, and
// acknowledges the time. It reads only the projects that are due; call it every minute
// ([Keystore.Sweeper]). The result is valid even if the error is ErrTraces. Errors:
// ErrClock if it destroyed nothing because of the clock; ErrTampered if a due project was
// tampered with and the others were processed.
func (ks *Keystore) Sweep(ctx context.Context) (Swept, error) { return ks.sweep(ctx, true) }

// SweepBefore is [Keystore.Sweep] for a caller that changes the keystore next. If nothing
// is due it writes nothing, which saves a sync of the disk: the caller's change
// acknowledges the time.
func (ks *Keystore) SweepBefore(ctx context.Context) (Swept, error) { return ks.sweep(ctx, false) }

func (ks *Keystore) sweep(ctx context.Context, acknowledge bool) (Swept, error) {
	var some []ProjectRow
	var held []string
	var pending []byte
	var tampered error
	var expired bool
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		at, err := ks.sweepTimes(ks.readClock(tx))
		if err != nil {
			return err
		}
		if some, held, err = ks.due(tx, s, at); err != nil && !errors.Is(err, ErrTampered) {
			return err
		}
		tampered = err // intact projects are still destroyed on time
		if pending, err = tx.Meta(metaScrub); err != nil {
			return err
		}
		expired, err = tx.Expired(at.sure.Add(-dropAfter))
		return err
	})
	if err != nil {
		return Swept{}, err
	}
	var swept Swept
	if len(some) > 0 {
		if swept, err = ks.sweepDue(ctx); err != nil {
			return Swept{}, err
		}
	}
	swept.Held = held
	if len(swept.Destroyed) > 0 || pending != nil {
		if err := ks.scrub(ctx); err != nil {
			return swept, err
		}
	}
	if !acknowledge && !expired {
		return swept, tampered
	}
	err = ks.dropExpired(ctx)
	if errors.Is(err, ErrReadOnly) {
		err = nil // expired rows that stay longer do no harm
	}
	return swept, errors.Join(tampered, err)
}

// sweepTimes are the two times of a sweep: now decides which projects end, sure which
// ones are destroyed.
type sweepTimes struct{ now, sure time.Time }

func (ks *Keystore) sweepTimes(c Clock, err error) (sweepTimes, error) {
	if err != nil {
		return sweepTimes{}, err
	}
	now, err := c.Time()
	if err != nil {
		return sweepTimes{}, err
	}
	sure, err := c.Sure()
	return sweepTimes{now, sure}, err
}

// sweepAction is what a sweep does with a project.
type sweepAction int

const (
	actNothing sweepAction = iota
	actNote                // note that it ended
	actResume              // undo a note that was made by a clock that has been set back
	actHold                // keep secrets that are due for destruction because the clock is in doubt
	actDestroy
	actRotate
)

// action decides what a sweep does with the project.
func (t sweepTimes) action(p *ProjectRow) sweepAction {
	destroyBy := func(now time.Time) bool {
		return p.EndedBy(now) && (p.Grace == 0 || !p.Ended.IsZero() && !now.Before(p.DestroyAt()))
	}
	switch ended := p.EndedBy(t.now); {
	case p.Severed:
		return actNothing
	case !ended && !p.Ended.IsZero():
		return actResume
	case destroyBy(t.sure):
		return actDestroy
	case ended && p.Ended.IsZero():
		return actNote
	case destroyBy(t.now):
		return actHold
	case !ended && !p.RotateAt.IsZero() && !t.sure.Before(p.RotateAt):
		return actRotate
	}
	return actNothing
}

// due lists the projects that a sweep changes and the names of those that it holds. It
// returns the intact ones even if the error is ErrTampered.
func (ks *Keystore) due(tx Tx, s *sealRoot, at sweepTimes) (some []ProjectRow, held []string, err error) {
	rows, err := tx.Due(at.now)
	if err != nil {
		return nil, nil, err
	}
	rows, err = ks.checkRows(tx, s, rows)
	for _, p := range rows {
		switch at.action(&p) {
		case actNothing:
		case actHold:
			held = append(held, p.Name)
		default:
			some = append(some, p)
		}
	}
	return some, held, err
}

// sweepDue processes the projects that are due. A grace counts from the sweep that noted
// the end and not from the end itself, so that a clock that jumped ahead must stay wrong
// for the whole grace before anything is lost.
func (ks *Keystore) sweepDue(ctx context.Context) (swept Swept, err error) {
	err = ks.change(ctx, func(tx Tx, s *sealRoot) (changed bool, err error) {
		at, err := ks.sweepTimes(ks.advance(tx))
		if err != nil {
			return false, err
		}
		// Another process may have swept since the view.
		due, _, err := ks.due(tx, s, at)
		if err != nil && !errors.Is(err, ErrTampered) {
			return false, err
		}
		for _, p := range due {
			_, rows, err := ks.findWithKeys(tx, s, p.Name)
			if errors.Is(err, ErrTampered) {
				continue // this Sweep or the next one reports it
			}
			if err != nil {
				return false, err
			}
			if err := ks.sweepProject(tx, p, rows, at, &swept); err != nil {
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
		return Swept{}, err
	}
	return swept, nil
}

// sweepProject processes one project and adds the outcome to swept.
func (ks *Keystore) sweepProject(tx Tx, p ProjectRow, rows []KeyRow, at sweepTimes, swept *Swept) error {
	switch at.action(&p) {
	case actResume:
		swept.Resumed = append(swept.Resumed, p.Name)
		return tx.SetSchedule(p.Name, time.Time{}, p.SeverAt)
	case actNote:
		swept.Ended = append(swept.Ended, p.Name)
		return tx.SetSchedule(p.Name, storeTime(at.now), p.SeverAt)
	case actDestroy:
		reason := ReasonRetention
		if !p.retentionOver(at.sure) {
			reason = ReasonSevered
		}
		r, err := ks.destroy(tx, p, rows, at.now, reason)
		swept.Destroyed = append(swept.Destroyed, r)
		return err
	case actRotate:
		err := ks.rotate(tx, &p, rows, at.now)
		if errors.Is(err, ErrTooManyGenerations) {
			swept.Spent = append(swept.Spent, p.Name)
			return tx.SetRotation(p.Name, p.RotateEvery, time.Time{})
		}
		swept.Rotated = append(swept.Rotated, p.Name)
		return err
	}
	return nil
}

// Verify checks all rows against their seals, and the structure of the store. Sweep does
// not find a row that was changed so that it is not due any more; Verify does. Errors:
// ErrTampered, ErrCorrupt.
func (ks *Keystore) Verify(ctx context.Context) error {
	err := ks.store.Verify(ctx)
	if err != nil {
		return err
	}
	_, err = ks.Projects(ctx)
	return err
}

// verifyEvery is how often Sweeper verifies the store.
const verifyEvery = time.Hour

// Sweeper calls Sweep at once and then at every interval until the context ends, and
// Verify at once and every hour. It calls report after each sweep unless report is nil.
func (ks *Keystore) Sweeper(ctx context.Context, every time.Duration, report func(Swept, error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	var verified time.Time
	for {
		swept, err := ks.Sweep(ctx)
		if time.Since(verified) >= verifyEvery {
			verified = time.Now()
			err = errors.Join(err, ks.Verify(ctx))
		}
		if ctx.Err() != nil && swept.Empty() {
			return
		}
		if report != nil {
			report(swept, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
