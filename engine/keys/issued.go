package keys

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
)

// TokenStatus is an issued token and its present state.
type TokenStatus struct {
	IssuedToken
	Spent   int64 // values of its budget that were leased
	Revoked bool  // by its jti or by a rule
}

// RecordToken adds an issued token to the list of issued tokens. The list serves
// listings and messages only: verification does not read it. Errors: ErrExists.
func (ks *Keystore) RecordToken(ctx context.Context, t IssuedToken) error {
	if err := checkJTI(t.JTI); err != nil {
		return err
	}
	t.Issued, t.Expires = wholeSeconds(t.Issued), wholeSeconds(t.Expires)
	t.Seal = ks.issuedMAC(&t)
	return ks.store.Update(ctx, func(tx Tx) error {
		err := tx.AddIssued(t)
		if errors.Is(err, ErrExists) {
			err = fmt.Errorf("%w: a token of this jti was issued before", ErrExists)
		}
		return err
	})
}

// IssuedToken returns a token from the list of issued tokens. Errors: ErrNotFound,
// ErrTampered.
func (ks *Keystore) IssuedToken(ctx context.Context, jti string) (TokenStatus, error) {
	var t TokenStatus
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		if t.IssuedToken, err = tx.Issued(jti); err != nil {
			return err
		}
		if err := ks.checkIssued(&t.IssuedToken); err != nil {
			return err
		}
		t.Spent, err = tx.Spent(jti)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: no token of this jti was issued here, or it has ended: 'velonym token list' shows those there are", ErrNotFound)
	}
	if err != nil {
		return t, err
	}
	revoked, err := ks.Revoked(ctx, nil)
	t.Revoked = revoked.refuses(&t.IssuedToken)
	return t, err
}

// IssuedTokens lists the issued tokens that a filter selects, by end and jti. It returns
// the intact ones even if the error is ErrTampered.
func (ks *Keystore) IssuedTokens(ctx context.Context, filter TokenFilter) ([]TokenStatus, error) {
	revoked, err := ks.Revoked(ctx, nil)
	if err != nil {
		return nil, err
	}
	var out []TokenStatus
	var bad []error
	err = ks.store.View(ctx, func(tx Tx) error {
		return tx.IssuedTokens(filter, func(t IssuedToken, spent int64) {
			if err := ks.checkIssued(&t); err != nil {
				bad = append(bad, err)
				return
			}
			out = append(out, TokenStatus{t, spent, revoked.refuses(&t)})
		})
	})
	if err != nil {
		return nil, err
	}
	return out, summarise(bad)
}

// refuses reports whether an issued token is revoked, by its jti or by a rule.
func (r *Revoked) refuses(t *IssuedToken) bool {
	return r.Has(t.JTI) || r.Covers(t.Issuer, t.Issued, t.Project, t.Source)
}

func (ks *Keystore) checkIssued(t *IssuedToken) error {
	if subtle.ConstantTimeCompare(t.Seal, ks.issuedMAC(t)) != 1 {
		return ks.tampered(fmt.Sprintf("the stored row of issued token %q does not match its seal", t.JTI))
	}
	return nil
}

// issuedMAC returns the seal of the row of an issued token. Nothing seals the list as a
// whole: a deleted row means only that the token is unknown.
func (ks *Keystore) issuedMAC(t *IssuedToken) []byte {
	m := newMessage("issued token 1")
	for _, field := range []string{t.JTI, t.Issuer, t.KeyID, t.Op, t.Project, t.Org, t.Source, t.SourceOrg} {
		m.string(field)
	}
	m.time(t.Issued)
	m.time(t.Expires)
	m.number(t.Max)
	mac := ks.sum(m)
	return mac[:]
}

// Spent returns how many values of a token's budget were leased.
func (ks *Keystore) Spent(ctx context.Context, jti string) (spent int64, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		spent, err = tx.Spent(jti)
		return err
	})
	return spent, err
}
