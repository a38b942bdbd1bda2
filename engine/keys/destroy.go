package keys

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
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

// Sweep destroys the secrets of the projects whose retention is over by the store's
// time, drops revocations and budgets of tokens long expired, and acknowledges the
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
		if receipts, err = ks.destroyDue(ctx); err != nil {
			return nil, err
		}
	}
	if len(receipts) > 0 || pending != nil {
		if err := ks.scrub(ctx); err != nil {
			return receipts, err
		}
	}
	err = ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		now, err := ks.acknowledge(tx)
		if err != nil {
			return false, err
		}
		dropped, err := tx.DropExpired(now.Add(-dropAfter))
		for _, r := range dropped {
			subtle.XORBytes(s.sum[:], s.sum[:], ks.revocationMAC(r))
			s.revoked--
		}
		return len(dropped) > 0, err
	})
	if errors.Is(err, ErrReadOnly) {
		err = nil // keeping expired rows longer is harmless
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

// destroyDue destroys the secrets of every project that is due.
func (ks *Keystore) destroyDue(ctx context.Context) (receipts []Receipt, err error) {
	err = ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
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
