package token

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

func cacheKey(sum *[32]byte) uint64 { return binary.LittleEndian.Uint64(sum[:]) }

// addToCache offers a grant to the cache, which may add it later or drop it.
func (v *Verifier) addToCache(g *Grant) {
	v.cacheMu.RLock()
	defer v.cacheMu.RUnlock()
	if v.closed || g.epoch != v.epoch.Load() {
		return
	}
	g.refs.Add(1)
	if !v.cache.Set(cacheKey(&g.sum), g, 1) {
		g.Release()
	}
}

// refusalCache remembers refused tokens for refusalTTL, so that a repeated one costs
// no signature check. It has a fixed number of slots, and a new entry replaces the
// old one of its slot.
type refusalCache struct {
	slots [1024]atomic.Pointer[refusal]
}

type refusal struct {
	sum   [32]byte
	epoch uint64
	ops   Ops   // that were asked for; OpsAny: the refusal does not depend on them
	until int64 // Unix nanoseconds
	err   *Error
}

const refusalTTL = 5 * time.Second

func (n *refusalCache) slot(sum *[32]byte) *atomic.Pointer[refusal] {
	return &n.slots[cacheKey(sum)%uint64(len(n.slots))]
}

func (n *refusalCache) get(sum *[32]byte, epoch uint64, ops Ops, now time.Time) *Error {
	r := n.slot(sum).Load()
	if r == nil || r.sum != *sum || r.epoch != epoch || r.ops != OpsAny && r.ops != ops || now.UnixNano() >= r.until {
		return nil
	}
	return r.err
}

func (n *refusalCache) put(sum *[32]byte, epoch uint64, ops Ops, now time.Time, err *Error) {
	n.slot(sum).Store(&refusal{sum: *sum, epoch: epoch, ops: ops, until: now.Add(refusalTTL).UnixNano(), err: err})
}

// lookup returns the retained grant of a verified token, or nil. A g that is not nil is
// tried before the cache.
func (v *Verifier) lookup(sum *[32]byte, now time.Time, g *Grant) (*Grant, error) {
	v.cacheMu.RLock()
	defer v.cacheMu.RUnlock()
	if v.closed {
		return nil, ErrClosed
	}
	if g != nil && v.retainIfCurrent(g, sum, now) {
		v.lastTokenHits.Add(1)
		return g, nil
	}
	if g, ok := v.cache.Get(cacheKey(sum)); ok && v.retainIfCurrent(g, sum, now) {
		return g, nil
	}
	return nil, nil
}

// retainIfCurrent retains g and reports true if g is the grant of this token, has not
// expired, and no change of the store has been seen since it was made.
func (v *Verifier) retainIfCurrent(g *Grant, sum *[32]byte, now time.Time) bool {
	return g.sum == *sum && g.epoch == v.epoch.Load() && now.UnixNano() < g.deadline && v.isFresh(now) && g.retain()
}
