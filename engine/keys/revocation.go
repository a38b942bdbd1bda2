package keys

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// dropAfter is how long the store keeps a token's revocation and budget after the
// token's end. Verifiers allow 30 seconds of skew, and clocks differ.
const dropAfter = 10 * time.Minute

// dropAtOnce is about how many expired records of each kind one transaction deletes,
// because other writers wait for that transaction.
const dropAtOnce = 500

const maxJTI = 1024

// metaDropped is the entry with the time before which expired revocations are deleted,
// so that [Revoked] can drop them too. It has no seal because the list that results from
// it is verified against one.
const metaDropped = "revocations dropped"

// Revoke revokes a token by its jti. exp is the token's end, after which Sweep drops the
// entry; a zero exp keeps it permanently. A jti that is empty or longer than 1,024 bytes
// is ErrInvalid.
func (ks *Keystore) Revoke(ctx context.Context, jti string, exp time.Time) error {
	return ks.RevokeTokens(ctx, Revocation{jti, exp})
}

// Bulk changes are made in transactions that end after bulkTime or leastAtOnce rows,
// whichever is later, because leases of budgets and all other writers wait for them.
const (
	bulkTime    = 5 * time.Millisecond
	leastAtOnce = 50
)

// RevokeTokens revokes several tokens: up to leastAtOnce of them all or none, more of
// them in several transactions with pauses in which others can write. On an error the
// first of them may be revoked; repeating the call revokes the rest.
func (ks *Keystore) RevokeTokens(ctx context.Context, tokens ...Revocation) error {
	for _, r := range tokens {
		if err := checkJTI(r.JTI); err != nil {
			return err
		}
	}
	for done := 0; done < len(tokens); {
		var part []Revocation
		took, err := ks.bulkChange(ctx, func(tx Tx, s *sealRoot, end time.Time) (bool, error) {
			part = tokens[done:]
			n, err := ks.revokeIn(tx, s, part, end)
			part = part[:n]
			return true, err
		})
		if err == nil {
			if done += len(part); done < len(tokens) {
				err = letOthersWrite(ctx, took)
			}
		}
		if err != nil && done > 0 {
			return fmt.Errorf("%w (%d of %d tokens are revoked: repeat it for the others)", err, done, len(tokens))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bulkChange is change for a part of a bulk change, which ends at end. took is how long
// the store was locked.
func (ks *Keystore) bulkChange(ctx context.Context, f func(tx Tx, s *sealRoot, end time.Time) (changed bool, err error)) (took time.Duration, err error) {
	var began time.Time
	err = ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		began = time.Now()
		return f(tx, s, began.Add(bulkTime))
	})
	return time.Since(began), err
}

// letOthersWrite waits as long as the last part of a bulk change took, for writers of
// other processes, which SQLite does not queue.
func letOthersWrite(ctx context.Context, took time.Duration) error {
	pause := time.NewTimer(min(took, time.Second))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("keys: %w", ctx.Err())
	}
}

// revokeIn revokes tokens within a change and returns how many: all of them, or those
// for which there was time until end, but leastAtOnce.
func (ks *Keystore) revokeIn(tx Tx, s *sealRoot, tokens []Revocation, end time.Time) (int, error) {
	n, err := tx.Change()
	if err != nil {
		return 0, err
	}
	for i, r := range tokens {
		if i >= leastAtOnce && !time.Now().Before(end) {
			return i, nil
		}
		before, revoked, err := tx.Revocation(r.JTI)
		if err != nil {
			return 0, err
		}
		if err := tx.Revoke(r.JTI, r.Expires, n+1); err != nil {
			return 0, err
		}
		if revoked {
			ks.addRevoked(s, []revokedToken{before.token()}, -1)
			if before.Expires.IsZero() || !r.Expires.IsZero() && r.Expires.Before(before.Expires) {
				r.Expires = before.Expires
			}
		}
		if !r.Expires.IsZero() {
			r.Expires = storeTime(r.Expires)
		}
		ks.addRevoked(s, []revokedToken{r.token()}, 1)
	}
	return len(tokens), nil
}

func (r Revocation) token() revokedToken { return revokedOf([]byte(r.JTI), r.Expires) }

// RevokeBefore revokes every token that a rule covers and returns the rule's time. A zero
// time means now including the present second: tokens can be issued again from the next
// second on. Rules are permanent, and the time of a rule never goes back. Errors:
// ErrClock if the time is zero, ErrInvalid.
func (ks *Keystore) RevokeBefore(ctx context.Context, r RevocationRule) (time.Time, error) {
	if len(r.Issuer) > maxJTI {
		return r.Before, fmt.Errorf("%w: the name of an issuer has %d bytes at most", ErrInvalid, maxJTI)
	}
	if err := checkName("project name", r.Project); err != nil {
		return r.Before, err
	}
	err := ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		if r.Before.IsZero() {
			now, err := ks.acknowledge(tx)
			if err != nil {
				return false, err
			}
			r.Before = now.Add(time.Second)
		}
		return ks.setRule(tx, s, &r)
	})
	return r.Before, err
}

// setRule sets a rule within a change and reports whether that changed anything. It sets
// r.Before to the time that is in force.
func (ks *Keystore) setRule(tx Tx, s *sealRoot, r *RevocationRule) (changed bool, err error) {
	r.Before = wholeSeconds(r.Before)
	old := *r
	if old.Before, err = tx.Rule(r.Issuer, r.Project); err != nil {
		return false, err
	}
	if !old.Before.IsZero() {
		if !r.Before.After(old.Before) {
			r.Before = old.Before
			return false, nil
		}
		s.add(ks.ruleMAC(old), -1)
	}
	n, err := tx.Change()
	if err != nil {
		return false, err
	}
	s.add(ks.ruleMAC(*r), 1)
	return true, tx.SetRule(*r, n+1)
}

// IssuableFrom returns the earliest issue time at which no rule refuses a token of the
// issuer for the projects. It is zero if no rule applies.
func (ks *Keystore) IssuableFrom(ctx context.Context, issuer string, projects ...string) (from time.Time, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		for _, project := range append([]string{""}, projects...) {
			for _, iss := range [...]string{"", issuer} {
				before, err := tx.Rule(iss, project)
				if err != nil {
					return err
				}
				if before.After(from) {
					from = before
				}
			}
		}
		return nil
	})
	return from, err
}

func checkJTI(jti string) error {
	if jti == "" || len(jti) > maxJTI {
		return fmt.Errorf("%w: jti must be 1 to %d bytes long", ErrInvalid, maxJTI)
	}
	return nil
}

// dropExpired deletes the records of tokens that ended dropAfter ago, in short
// transactions, and stores the time in metaDropped.
func (ks *Keystore) dropExpired(ctx context.Context) error {
	for {
		more := false
		took, err := ks.bulkChange(ctx, func(tx Tx, s *sealRoot, _ time.Time) (bool, error) {
			at, err := ks.sweepTimes(ks.advance(tx)) // the sure time: a clock that jumped drops nothing
			if err != nil {
				return false, err
			}
			var dropped []Revocation
			var until time.Time
			dropped, until, more, err = tx.DropExpired(at.sure.Add(-dropAfter), dropAtOnce)
			if err != nil || len(dropped) == 0 {
				return false, err
			}
			for _, r := range dropped {
				ks.addRevoked(s, []revokedToken{r.token()}, -1)
			}
			return true, tx.SetMeta(metaDropped, binary.BigEndian.AppendUint64(nil, uint64(until.UnixMicro())))
		})
		if err == nil && more {
			err = letOthersWrite(ctx, took)
		}
		if err != nil || !more {
			return err
		}
	}
}
