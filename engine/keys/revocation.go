package keys

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// dropAfter is how long the store keeps a token's revocation and budget after the
// token's end: verifiers allow 30 seconds of skew, and clocks differ.
const dropAfter = 10 * time.Minute

// dropAtOnce is about how many expired revocations one transaction deletes: others
// wait for it.
const dropAtOnce = 5000

const maxJTI = 1024

// metaDropped is the time before which expired revocations are deleted, so that
// [Revoked] can follow. It needs no seal: what it leads to is held against one.
const metaDropped = "revocations dropped"

// Revoke revokes a token by its jti. exp is the token's own end, after which Sweep
// drops the entry; a zero exp keeps it permanently. A jti that is empty or longer
// than 1,024 bytes is ErrInvalid.
func (ks *Keystore) Revoke(ctx context.Context, jti string, exp time.Time) error {
	return ks.RevokeTokens(ctx, Revocation{jti, exp})
}

// RevokeTokens is Revoke of several tokens at once: all or none.
func (ks *Keystore) RevokeTokens(ctx context.Context, tokens ...Revocation) error {
	for _, r := range tokens {
		if err := checkJTI(r.JTI); err != nil {
			return err
		}
	}
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		return len(tokens) > 0, ks.revokeIn(tx, s, tokens)
	})
}

// revokeIn revokes tokens within a change.
func (ks *Keystore) revokeIn(tx Tx, s *seals, tokens []Revocation) error {
	n, err := tx.Change()
	if err != nil {
		return err
	}
	for _, r := range tokens {
		before, revoked, err := tx.Revocation(r.JTI)
		if err != nil {
			return err
		}
		if err := tx.Revoke(r.JTI, r.Expires, n+1); err != nil {
			return err
		}
		if revoked {
			ks.addRevoked(s, []revokedToken{before.token()}, -1)
			if before.Expires.IsZero() || !r.Expires.IsZero() && r.Expires.Before(before.Expires) {
				r.Expires = before.Expires
			}
		}
		if !r.Expires.IsZero() {
			r.Expires = stamp(r.Expires)
		}
		ks.addRevoked(s, []revokedToken{r.token()}, 1)
	}
	return nil
}

func (r Revocation) token() revokedToken { return revokedOf([]byte(r.JTI), r.Expires) }

// RevokeBefore revokes every token that a rule is about, and returns the rule's time.
// A zero time stands for now, this second included: tokens of the project can be
// issued again from the next one on. A rule is kept for good, and its time never goes
// back. Errors: ErrClock where the time is zero, ErrInvalid.
func (ks *Keystore) RevokeBefore(ctx context.Context, r RevocationRule) (time.Time, error) {
	if len(r.Issuer) > maxJTI {
		return r.Before, fmt.Errorf("%w: the name of an issuer has %d bytes at most", ErrInvalid, maxJTI)
	}
	if err := checkName("project name", r.Project); err != nil {
		return r.Before, err
	}
	err := ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
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

// setRule sets a rule within a change, and says whether that changed anything. r.Before
// becomes the time that holds.
func (ks *Keystore) setRule(tx Tx, s *seals, r *RevocationRule) (changed bool, err error) {
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

// IssuableFrom returns from when on tokens of an issuer and of projects can be issued
// that no rule refuses; the zero time where there is no such rule.
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

// dropExpired deletes what the store keeps of tokens that ended before t, in
// transactions that are short for others, and says so in metaDropped.
func (ks *Keystore) dropExpired(ctx context.Context) error {
	for more := true; more; {
		err := ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
			at, err := ks.sweepTimes(ks.advance(tx)) // a clock that jumped drops nothing
			if err != nil {
				return false, err
			}
			dropped, until, err := tx.DropExpired(at.sure.Add(-dropAfter), dropAtOnce)
			if more = err == nil && len(dropped) >= dropAtOnce; err != nil || len(dropped) == 0 {
				return false, err
			}
			for _, r := range dropped {
				ks.addRevoked(s, []revokedToken{r.token()}, -1)
			}
			return true, tx.SetMeta(metaDropped, binary.BigEndian.AppendUint64(nil, uint64(until.UnixMicro())))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
