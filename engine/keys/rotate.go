package keys

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"
)

// Rotate adds an active generation to every domain of a project and deactivates the
// previous one. Errors: ErrNotFound, ErrSevered, ErrRetentionOver,
// ErrTooManyGenerations.
func (ks *Keystore) Rotate(ctx context.Context, name string) error {
	return ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		p, rows, err := ks.findWithKeys(tx, s, name)
		if err != nil {
			return false, err
		}
		now, err := ks.usable(tx, &p)
		if err != nil {
			return false, err
		}
		if err := ks.rotate(tx, &p, rows, now); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
}

// rotate is Rotate within an Update. The caller reseals the project.
func (ks *Keystore) rotate(tx Tx, p *ProjectRow, rows []KeyRow, now time.Time) error {
	if generations(rows) >= MaxGenerations {
		return p.tooManyGenerations()
	}
	for _, org := range p.Orgs {
		d := Domain{p.Name, org}
		next := 0
		for _, r := range rows {
			if r.Org != org {
				continue
			}
			next = max(next, r.Gen+1)
			if r.State == Active {
				if err := tx.Deactivate(d, r.Gen); err != nil {
					return err
				}
			}
		}
		row := KeyRow{Domain: d, Gen: next, State: Active, Created: storeTime(now), Wrapped: ks.wrapSecret(nil, d, next)}
		if err := tx.AddKey(row); err != nil {
			return err
		}
		wipe(row.Wrapped)
	}
	if p.RotateEvery == 0 {
		return nil
	}
	return tx.SetRotation(p.Name, p.RotateEvery, storeTime(now.Add(p.RotateEvery)))
}

// generations returns the largest number of generations that any domain has had.
func generations(rows []KeyRow) (n int) {
	for _, r := range rows {
		n = max(n, r.Gen+1)
	}
	return n
}

// tooManyGenerations returns ErrTooManyGenerations with what to do instead.
func (p *ProjectRow) tooManyGenerations() error {
	return fmt.Errorf("%w: project %q has had its %d: make a successor ('velonym project create') and bring every pseudonym over to it with a token for secondary whose source is %s ('velonym token create'); this one reverses until then",
		ErrTooManyGenerations, p.Name, MaxGenerations, p.Name)
}

// minRotation is the shortest span between two scheduled rotations. After twelve of them
// a project has used all its generations.
const minRotation = time.Hour

// RotateEvery makes sweeps replace the active generations of a project whenever they
// reach the age every, in whole seconds; 0 stops that. It returns the time of the next
// rotation, zero if there is none. Errors: ErrNotFound, ErrSevered, ErrRetentionOver,
// ErrInvalid, ErrTooManyGenerations if no generation is left.
func (ks *Keystore) RotateEvery(ctx context.Context, name string, every time.Duration) (next time.Time, err error) {
	if every != 0 && (every < minRotation || every > maxGrace || every%time.Second != 0) {
		return next, fmt.Errorf("%w: the span between rotations must be whole seconds, from an hour to ten years", ErrInvalid)
	}
	err = ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		p, rows, err := ks.findWithKeys(tx, s, name)
		if err != nil {
			return false, err
		}
		if _, err := ks.usable(tx, &p); err != nil {
			return false, err
		}
		if every > 0 {
			if generations(rows) >= MaxGenerations {
				return false, p.tooManyGenerations()
			}
			for _, r := range rows {
				if at := storeTime(r.Created.Add(every)); r.State == Active && (next.IsZero() || at.Before(next)) {
					next = at
				}
			}
		}
		if err := tx.SetRotation(name, every, next); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
	return next, err
}

// DestroyGeneration destroys the secrets of one inactive generation in all domains of a
// project. Nobody can reverse its pseudonyms afterwards; other generations are not
// affected. The receipt is valid even if the error is ErrTraces. Errors: ErrNotFound,
// ErrSevered, ErrRetentionOver, ErrInvalid if the generation is active.
func (ks *Keystore) DestroyGeneration(ctx context.Context, name string, gen int) (Receipt, error) {
	var r Receipt
	err := ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		p, rows, err := ks.findWithKeys(tx, s, name)
		if err != nil {
			return false, err
		}
		now, err := ks.usable(tx, &p)
		if err != nil {
			return false, err
		}
		var doomed []KeyRow
		for _, k := range rows {
			switch {
			case k.Gen != gen:
			case k.State == Active:
				return false, fmt.Errorf("%w: generation %d of project %q is the active one: 'velonym project rotate' makes another, 'velonym project sever' destroys all", ErrInvalid, gen, name)
			case k.State == Deactivated:
				doomed = append(doomed, k)
			}
		}
		if len(doomed) == 0 {
			return false, fmt.Errorf("%w: project %q has no generation %d, or it is destroyed: 'velonym project show' lists them", ErrNotFound, name, gen)
		}
		now = storeTime(now)
		if r, err = ks.addReceipt(tx, p, doomed, now, ReasonGeneration); err != nil {
			return false, err
		}
		for _, k := range doomed {
			if err := tx.EraseKey(k.Domain, gen, now); err != nil {
				return false, err
			}
		}
		if err := tx.SetMeta(metaScrub, []byte(rand.Text())); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
	if err != nil {
		return Receipt{}, err
	}
	return r, ks.scrub(ctx)
}
