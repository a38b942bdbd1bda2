package keys

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"
)

// Revoked is what a keystore had revoked at one of its changes. It is immutable and
// safe for concurrent use; nil has nothing revoked. It takes 24 bytes a token, holds
// no pointer for each, and a later one shares what did not change.
type Revoked struct {
	change uint64         // the store's counter then
	base   []revokedToken // by id
	recent []revokedToken // by id; they count where base has the same
	rules  map[ruleOf]int64
	until  int64 // what expired before is deleted, in Unix microseconds

	count uint64 // of revocations and rules, as in seals
	sum   [sealSize]byte
}

// revokedToken is a revocation whose jti is the first half of its SHA-256.
type revokedToken struct {
	hi, lo  uint64
	expires int64 // Unix microseconds; math.MaxInt64: never
}

// ruleOf is what a rule is about: "" is any.
type ruleOf struct{ issuer, project string }

func revokedOf(jti []byte, exp time.Time) revokedToken {
	h := sha256.Sum256(jti)
	t := revokedToken{binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:]), math.MaxInt64}
	if !exp.IsZero() {
		t.expires = exp.UnixMicro()
	}
	return t
}

func (t revokedToken) compare(o revokedToken) int {
	return cmp.Or(cmp.Compare(t.hi, o.hi), cmp.Compare(t.lo, o.lo))
}

// RevokedTokens returns a Revoked of these tokens alone, for stores of other kinds.
func RevokedTokens(jti ...string) *Revoked {
	r := &Revoked{}
	for _, s := range jti {
		r.base = append(r.base, revokedOf([]byte(s), time.Time{}))
	}
	slices.SortFunc(r.base, revokedToken.compare)
	return r
}

// Len returns how many tokens are revoked by their jti.
func (r *Revoked) Len() int {
	if r == nil {
		return 0
	}
	n := len(r.base)
	for _, t := range r.recent {
		if _, there := slices.BinarySearchFunc(r.base, t, revokedToken.compare); !there {
			n++
		}
	}
	return n
}

// Has reports whether the token of this jti is revoked by it.
func (r *Revoked) Has(jti string) bool {
	if r == nil || len(r.base)+len(r.recent) == 0 {
		return false
	}
	_, there := r.find(revokedOf([]byte(jti), time.Time{}))
	return there
}

func (r *Revoked) find(t revokedToken) (revokedToken, bool) {
	for _, list := range [...][]revokedToken{r.recent, r.base} {
		if i, there := slices.BinarySearchFunc(list, t, revokedToken.compare); there {
			return list[i], true
		}
	}
	return revokedToken{}, false
}

// Covers reports whether a rule refuses a token of this issuer that was issued at this
// time for any of these projects.
func (r *Revoked) Covers(issuer string, issued time.Time, projects ...string) bool {
	if r == nil || len(r.rules) == 0 {
		return false
	}
	at := issued.UnixMicro()
	before := func(project string) bool {
		return at < max(r.rules[ruleOf{issuer, project}], r.rules[ruleOf{"", project}])
	}
	return before("") || slices.ContainsFunc(projects, before)
}

// fold limits how many recent revocations are looked through beside base.
func (r *Revoked) fold() bool { return len(r.recent) > 4096+len(r.base)/32 }

// add returns r with fresh revocations, sorted by id and each id once, and what no
// longer counts of r: entries that fresh ones replace, and those that expired before
// until.
func (r *Revoked) add(fresh []revokedToken, until int64) (next *Revoked, gone []revokedToken) {
	for _, t := range fresh {
		if old, there := r.find(t); there {
			gone = append(gone, old)
		}
	}
	next = &Revoked{base: r.base, recent: merge(r.recent, fresh), rules: r.rules, until: r.until}
	if until <= r.until && !next.fold() {
		return next, gone
	}
	next.base, next.recent, next.until = merge(next.base, next.recent), nil, max(until, r.until)
	next.base = slices.DeleteFunc(next.base, func(t revokedToken) bool {
		expired := t.expires < next.until
		if expired {
			gone = append(gone, t)
		}
		return expired
	})
	return next, gone
}

// merge returns a new list of both, sorted by id; where both have an id, that of b
// counts. An empty b returns a clone of a.
func merge(a, b []revokedToken) []revokedToken {
	out := make([]revokedToken, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].compare(b[0]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			a = a[1:]
		}
	}
	return append(append(out, a...), b...)
}

// Revoked reads what was revoked since last, all of it where last is nil, and holds
// it against its seal. Errors: ErrTampered.
func (ks *Keystore) Revoked(ctx context.Context, last *Revoked) (*Revoked, error) {
	var out *Revoked
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		if last != nil && last.change <= s.change {
			if last.count == s.revoked && last.sum == s.sum {
				same := *last
				same.change = s.change
				out = &same
				return nil
			}
			if out, err = ks.revokedSince(tx, s, last, int64(last.change)); err != nil || out != nil {
				return err
			}
		}
		// From the start: the first time, or because the store is another copy now.
		if out, err = ks.revokedSince(tx, s, &Revoked{}, -1); err == nil && out == nil {
			err = ks.tampered("the stored revocations of tokens are not as they were left")
		}
		return err
	})
	return out, err
}

// revokedSince is last with what was stored after a change, or nil if that does not
// fit the seal.
func (ks *Keystore) revokedSince(tx Tx, s *seals, last *Revoked, change int64) (*Revoked, error) {
	mark, err := tx.Meta(metaDropped)
	if err != nil {
		return nil, err
	}
	var until int64
	if len(mark) == 8 {
		until = int64(binary.BigEndian.Uint64(mark))
	}
	// The number is under the seal, and the rows are from before it was read.
	fresh := make([]revokedToken, 0, min(s.revoked, 1<<24)-min(last.count, s.revoked, 1<<24))
	if err := tx.RevokedSince(change, func(jti []byte, exp time.Time) {
		fresh = append(fresh, revokedOf(jti, exp))
	}); err != nil {
		return nil, err
	}
	rules, err := tx.Rules(change)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(fresh, revokedToken.compare)
	sum := seals{revoked: last.count, sum: last.sum}
	ks.addRevoked(&sum, fresh, 1)
	next, gone := last.add(fresh, until)
	ks.addRevoked(&sum, gone, -1)
	if len(rules) > 0 {
		next.rules = maps.Clone(last.rules)
		if next.rules == nil {
			next.rules = map[ruleOf]int64{}
		}
		for _, r := range rules {
			of := ruleOf{r.Issuer, r.Project}
			if old, there := next.rules[of]; there {
				sum.add(ks.ruleMAC(RevocationRule{r.Issuer, r.Project, time.UnixMicro(old)}), -1)
			}
			sum.add(ks.ruleMAC(r), 1)
			next.rules[of] = r.Before.UnixMicro()
		}
	}
	if sum.revoked != s.revoked || subtle.ConstantTimeCompare(sum.sum[:], s.sum[:]) != 1 {
		return nil, nil
	}
	next.change, next.count, next.sum = s.change, s.revoked, s.sum
	return next, nil
}

// revokedText begins what the seal of a revocation is taken of. No message of
// [Keystore.mac] begins so: those begin with a length.
const revokedText = "revocation 2"

const revokedMessage = len(revokedText) + 3*8

// addRevoked adds revocations to the sum, or takes them out of it with n = -1. A
// revocation stands in it as an HMAC, and the sums are never stored in the clear,
// which is what makes a sum by XOR one that cannot be aimed at.
func (ks *Keystore) addRevoked(s *seals, list []revokedToken, n int) {
	const most = 64
	var messages [most * revokedMessage]byte
	var spans [2 * most]uint32
	var macs [most * sealSize]byte
	for part := range slices.Chunk(list, most) {
		for i, t := range part {
			m := messages[i*revokedMessage:]
			copy(m, revokedText)
			binary.BigEndian.PutUint64(m[len(revokedText):], t.hi)
			binary.BigEndian.PutUint64(m[len(revokedText)+8:], t.lo)
			binary.BigEndian.PutUint64(m[len(revokedText)+16:], uint64(t.expires))
			spans[2*i], spans[2*i+1] = uint32(i*revokedMessage), uint32(revokedMessage)
		}
		ks.seal.Sum(macs[:], messages[:], spans[:2*len(part)], nil)
		for i := range part {
			s.add(macs[i*sealSize:][:sealSize], n)
		}
	}
}

func (ks *Keystore) ruleMAC(r RevocationRule) []byte {
	return ks.mac([]byte("revocation rule 1"), []byte(r.Issuer), []byte(r.Project), field(r.Before))
}
