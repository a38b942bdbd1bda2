package token

import (
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/suite"
)

// Grant is what a verified token allows, ready for use. Callers with the same
// token may get the same Grant. It is safe for concurrent use, and stays alive,
// keys and all, until each of its holders has released it.
type Grant struct {
	Claims *Claims     // read only
	Plan   *suite.Plan // for Claims.PSN.Op
	Op     suite.Op

	v        *Verifier
	sum      [32]byte // SHA-256 of the token
	epoch    uint64   // of the state that it was verified against
	deadline int64    // until when a hit counts, in Unix nanoseconds
	end      int64    // when the token or a retention ends
	seen     atomic.Uint64
	refs     atomic.Int32
	held     [2]*domainKeys
	book     *ledger            // nil for local grants
	source   *keySource         // of the issuer's keys; nil: they cannot be withdrawn
	signers  []crypto.PublicKey // one of them signed the token
}

// retain adds a holder unless the last one has gone.
func (g *Grant) retain() bool {
	for {
		n := g.refs.Load()
		if n <= 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives the grant back. The keys are wiped with the last holder of
// their domain. Call it exactly once for each Verify or Local.
func (g *Grant) Release() {
	switch n := g.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("token: a grant was released more often than it was given")
	}
	if g.Plan != nil {
		g.Plan.Close()
	}
	for _, k := range g.held {
		if k != nil {
			g.v.ring.release(k)
		}
	}
	if g.book != nil {
		g.v.books.close(g.book)
	}
}

// alive checks a grant that may have been held for long: the clock, and when
// something has changed in the store, revocation and project.
func (g *Grant) alive(ctx context.Context) error {
	v := g.v
	now := v.now()
	if now.UnixNano() >= g.end {
		if c := g.Claims; !c.Expires.IsZero() && !now.Before(c.Expires.Add(v.skew)) {
			return refuse(ExpiredToken, tokenExpired)
		}
		return refuse(RetentionExpired, "the retention is over")
	}
	if !v.isFresh(now) {
		if err := v.sync(ctx); err != nil {
			return err
		}
	}
	if g.source != nil && g.source.stale(now) {
		return invalid(errStale.Error())
	}
	epoch := v.epoch.Load()
	if g.seen.Load() == epoch {
		return nil
	}
	if g.source != nil && !g.source.hasAny(ctx, g.signers) {
		return invalid("the issuer has withdrawn its key")
	}
	if g.book != nil && v.isRevoked(g.Claims.ID) {
		return refuse(RevokedToken, tokenRevoked)
	}
	psn := &g.Claims.PSN
	p, err := v.project(ctx, psn.Dom.Prj, epoch)
	if err = stateOf(p, err, psn.Dom.Org, now); err != nil {
		return err
	}
	if refused := agrees(p, psn, g.Op, now); refused != nil {
		return refused
	}
	if psn.Src != nil {
		if _, _, err := v.source(ctx, psn.Src, epoch, now); err != nil {
			return err
		}
	}
	g.seen.Store(epoch)
	return nil
}

// domainKeys are the working keys of a domain, shared by its grants.
type domainKeys struct {
	domain keys.Domain
	keys   *suite.Keys
	active int
	living [12]bool
	epoch  uint64
	users  int // under keyring.mu
}

// allows checks the generation that a token names.
func (k *domainKeys) allows(gen *int, op suite.Op) *Error {
	switch {
	case gen == nil && k.active < 0 && op != suite.Reverse:
		return refuse(RetentionExpired, noActive)
	case gen == nil:
		return nil
	case !k.living[*gen]:
		return refuse(UnknownDomain, noGeneration)
	case op != suite.Reverse && *gen != k.active:
		return refuse(ForbiddenOperation, "a generation that is no longer active makes no new pseudonyms")
	}
	return nil
}

// keyring finds the working keys that are in use. It keeps none by itself: the
// last grant of a domain takes them along.
type keyring struct {
	mu sync.Mutex
	m  map[keys.Domain]*domainKeys
}

// acquire returns the keys of a domain as they are at epoch or later.
func (r *keyring) acquire(ctx context.Context, ks Keystore, d keys.Domain, epoch uint64) (*domainKeys, error) {
	if k := r.find(d, epoch); k != nil {
		return k, nil
	}
	gens, err := ks.Secrets(ctx, d)
	switch {
	case errors.Is(err, keys.ErrNotFound):
		return nil, refuse(UnknownDomain, noDomain)
	case errors.Is(err, keys.ErrSevered), errors.Is(err, keys.ErrRetentionOver):
		return nil, refuse(RetentionExpired, retentionOver)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case len(gens) == 0:
		return nil, refuse(RetentionExpired, "the key domain has no living generation")
	}
	k := &domainKeys{domain: d, active: -1, epoch: epoch, users: 1}
	secrets := make([]suite.Secret, len(gens))
	for i := range gens {
		active := string(gens[i].State) == "active"
		// Member by member: a composite literal is made on the stack first,
		// where a copy of the secret would stay.
		secrets[i].Gen, secrets[i].Active = gens[i].Gen, active
		copy(secrets[i].S[:], gens[i].Secret[:])
		if g := gens[i].Gen; g >= 0 && g < len(k.living) {
			k.living[g] = true
			if active {
				k.active = g
			}
		}
		clear(gens[i].Secret[:])
	}
	k.keys, err = suite.NewKeys(d.Prj, d.Org, secrets)
	for i := range secrets {
		clear(secrets[i].S[:])
	}
	if err != nil {
		return nil, fmt.Errorf("token: working keys: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.m[d]; other != nil && other.epoch >= epoch { // made by another meanwhile
		other.users++
		k.keys.Release()
		return other, nil
	}
	r.m[d] = k
	return k, nil
}

func (r *keyring) find(d keys.Domain, epoch uint64) *domainKeys {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.m[d]
	if k == nil || k.epoch < epoch {
		return nil
	}
	k.users++
	return k
}

func (r *keyring) release(k *domainKeys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k.users--
	if k.users > 0 {
		return
	}
	if r.m[k.domain] == k {
		delete(r.m, k.domain)
	}
	k.keys.Release()
}

// projects remembers what the store said of projects until something changes
// there, so that a token that was not seen before need not read it.
type projects struct {
	mu    sync.Mutex
	epoch uint64
	m     map[string]keys.Project
}

const maxProjects = 4096

// project returns a stored project as it is at epoch or later.
func (v *Verifier) project(ctx context.Context, name string, epoch uint64) (keys.Project, error) {
	c := &v.projects
	c.mu.Lock()
	p, ok := c.m[name]
	ok = ok && c.epoch >= epoch
	c.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := v.ks.Project(ctx, name)
	if err != nil {
		return p, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch < epoch || c.m == nil {
		c.epoch, c.m = epoch, map[string]keys.Project{}
	}
	// What was read at an older epoch may be older than what is there.
	if c.epoch == epoch && len(c.m) < maxProjects {
		c.m[name] = p
	}
	return p, nil
}

func cacheKey(sum *[32]byte) uint64 { return binary.LittleEndian.Uint64(sum[:]) }

// store offers a grant to the cache, which may take it later or not at all.
func (v *Verifier) store(g *Grant) {
	v.gate.RLock()
	defer v.gate.RUnlock()
	if v.closed || g.epoch != v.epoch.Load() {
		return
	}
	g.refs.Add(1)
	if !v.cache.Set(cacheKey(&g.sum), g, 1) {
		g.Release()
	}
}

// negatives remembers refused tokens for a few seconds, so that a client that
// repeats one does not cost a signature check each time. Its size is fixed and
// a newcomer takes the place of whoever was there.
type negatives struct {
	slots [1024]atomic.Pointer[refusal]
}

type refusal struct {
	sum   [32]byte
	epoch uint64
	ops   Ops // sets that it was refused for: OpsAny, whatever was asked for, or exactly these
	until int64
	err   *Error
}

const refusalTTL = 5 * time.Second

func (n *negatives) slot(sum *[32]byte) *atomic.Pointer[refusal] {
	return &n.slots[cacheKey(sum)%uint64(len(n.slots))]
}

func (n *negatives) get(sum *[32]byte, epoch uint64, ops Ops, now time.Time) *Error {
	r := n.slot(sum).Load()
	if r == nil || r.sum != *sum || r.epoch != epoch || r.ops != OpsAny && r.ops != ops || now.UnixNano() >= r.until {
		return nil
	}
	return r.err
}

func (n *negatives) put(sum *[32]byte, epoch uint64, ops Ops, now time.Time, err *Error) {
	n.slot(sum).Store(&refusal{sum: *sum, epoch: epoch, ops: ops, until: now.Add(refusalTTL).UnixNano(), err: err})
}
