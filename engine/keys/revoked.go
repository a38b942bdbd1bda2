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

// Revoked is the set of revoked tokens and rules at one change of a keystore. It is
// immutable and safe for concurrent use; nil is the empty set. It takes 24 bytes a token,
// without a pointer, and a later set shares the unchanged part.
type Revoked struct {
	change uint64         // the store's change counter
	base   []revokedToken // sorted by id
	recent []revokedToken // sorted by id; overrides entries of base with the same id
	rules  map[ruleKey]int64
	until  int64 // entries that expired before it are deleted; Unix microseconds

	count uint64 // number of revocations and rules, as in sealRoot
	sum   [sealSize]byte
}

// revokedToken is a revocation. Its id, hi and lo, is the first half of the SHA-256 of
// the jti.
type revokedToken struct {
	hi, lo  uint64
	expires int64 // Unix microseconds; math.MaxInt64 for never
}

// ruleKey is the issuer and the project that a rule covers; "" stands for any.
type ruleKey struct{ issuer, project string }

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

// RevokedTokens returns the set of these tokens, for callers without a keystore.
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

// Has reports whether a token is revoked by its jti.
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

// Covers reports whether a rule refuses a token of the issuer that was issued at the
// given time for any of the projects.
func (r *Revoked) Covers(issuer string, issued time.Time, projects ...string) bool {
	if r == nil || len(r.rules) == 0 {
		return false
	}
	at := issued.UnixMicro()
	before := func(project string) bool {
		return at < max(r.rules[ruleKey{issuer, project}], r.rules[ruleKey{"", project}])
	}
	return before("") || slices.ContainsFunc(projects, before)
}

// mustMerge reports whether recent is so large that it should be merged into base.
func (r *Revoked) mustMerge() bool { return len(r.recent) > 4096+len(r.base)/32 }

// add returns the set with fresh revocations added, and the entries that no longer count:
// those that fresh ones replace, and those that expired before until. fresh is sorted by
// id without duplicates, and must not be used afterwards.
func (r *Revoked) add(fresh []revokedToken, until int64) (next *Revoked, gone []revokedToken) {
	for _, t := range fresh {
		if old, there := r.find(t); there {
			gone = append(gone, old)
		}
	}
	next = &Revoked{base: r.base, recent: merge(r.recent, fresh), rules: r.rules, until: r.until}
	if until <= r.until && !next.mustMerge() {
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

// merge merges two lists sorted by id. Of entries with the same id it keeps that of b. The
// result is a new list, or b if a is empty.
func merge(a, b []revokedToken) []revokedToken {
	if len(a) == 0 {
		return b
	}
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

// RevokedAt is [Keystore.Revoked] as of the change number n, which Change has returned. It
// reads nothing if no revocation was made between last and n.
func (ks *Keystore) RevokedAt(ctx context.Context, n uint64, last *Revoked) (*Revoked, error) {
	if s := ks.root.Load(); last != nil && s != nil && s.change >= n && last.change <= s.change && last.count == s.revoked && last.sum == s.sum {
		same := *last
		same.change = s.change
		return &same, nil
	}
	return ks.Revoked(ctx, last)
}

// Revoked returns the present set of revocations, verified against its seal. It reads
// only what changed since last, which may be nil. Errors: ErrTampered.
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
		// Read everything: there is no last set, or the store was replaced by another copy.
		if out, err = ks.revokedSince(tx, s, &Revoked{}, -1); err == nil && out == nil {
			err = ks.tampered("the stored revocations of tokens do not match their seal")
		}
		return err
	})
	return out, err
}

// revokedSince returns last with what was stored after a change, or nil if the result
// does not match the seal.
func (ks *Keystore) revokedSince(tx Tx, s *sealRoot, last *Revoked, change int64) (*Revoked, error) {
	mark, err := tx.Meta(metaDropped)
	if err != nil {
		return nil, err
	}
	var until int64
	if len(mark) == 8 {
		until = int64(binary.BigEndian.Uint64(mark))
	}
	// s.revoked is sealed, so it bounds the allocation.
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
	sum := sealRoot{revoked: last.count, sum: last.sum}
	ks.addRevoked(&sum, fresh, 1)
	next, gone := last.add(fresh, until)
	ks.addRevoked(&sum, gone, -1)
	if len(rules) > 0 {
		next.rules = maps.Clone(last.rules)
		if next.rules == nil {
			next.rules = map[ruleKey]int64{}
		}
		for _, r := range rules {
			of := ruleKey{r.Issuer, r.Project}
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

// revokedText is the prefix of the message that seals a revocation. No message of
// [Keystore.mac] has this prefix: those begin with a length.
const revokedText = "revocation 2"

const revokedMessage = len(revokedText) + 3*8

// addRevoked adds revocations to the sum; n = -1 removes them. The sum is the XOR of
// their HMACs. An XOR is safe here because nobody without the master key sees an HMAC or
// a sum: they are stored only within the wrapped root.
func (ks *Keystore) addRevoked(s *sealRoot, list []revokedToken, n int) {
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
	m := newMessage("revocation rule 1")
	m.string(r.Issuer)
	m.string(r.Project)
	m.time(r.Before)
	mac := ks.sum(m)
	return mac[:]
}
