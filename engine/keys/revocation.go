package keys

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"
)

// dropAfter is how long the store keeps a token's revocation and budget after the
// token's end: verifiers allow 30 seconds of skew, and clocks differ.
const dropAfter = 10 * time.Minute

const maxJTI = 1024

// Revoke revokes a token by its jti. exp is the token's own end, after which Sweep
// drops the entry; a zero exp keeps it permanently. A jti that is empty or longer
// than 1,024 bytes is ErrInvalid.
func (ks *Keystore) Revoke(ctx context.Context, jti string, exp time.Time) error {
	if err := checkJTI(jti); err != nil {
		return err
	}
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
		before, revoked, err := tx.Revocation(jti)
		if err != nil {
			return false, err
		}
		if err := tx.Revoke(jti, exp); err != nil {
			return false, err
		}
		after, _, err := tx.Revocation(jti)
		if err != nil {
			return false, err
		}
		if revoked {
			subtle.XORBytes(s.sum[:], s.sum[:], ks.revocationMAC(before))
			s.revoked--
		}
		s.add(ks.revocationMAC(after), 1)
		return true, nil
	})
}

func checkJTI(jti string) error {
	if jti == "" || len(jti) > maxJTI {
		return fmt.Errorf("%w: jti must be 1 to %d bytes long", ErrInvalid, maxJTI)
	}
	return nil
}

// Revocations returns the jti of every revoked token.
func (ks *Keystore) Revocations(ctx context.Context) (map[string]struct{}, error) {
	var list []Revocation
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		if list, err = tx.Revocations(); err != nil {
			return err
		}
		return ks.checkRevocations(s, list)
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string]struct{}, len(list))
	for _, r := range list {
		out[r.JTI] = struct{}{}
	}
	return out, nil
}
