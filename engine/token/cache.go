package token

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

func cacheKey(sum *[32]byte) uint64 { return binary.LittleEndian.Uint64(sum[:]) }

// store offers a grant to the cache, which may take it later or not at all.
func (v *Verifier) store(g *Grant) {
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

// lookup returns the grant of a verified token, or nil. g, if not nil, may be it.
func (v *Verifier) lookup(sum *[32]byte, now time.Time, g *Grant) (*Grant, error) {
	v.cacheMu.RLock()
	defer v.cacheMu.RUnlock()
	if v.closed {
		return nil, ErrClosed
	}
	if g != nil && v.holds(g, sum, now) {
		v.lastTokenHits.Add(1)
		return g, nil
	}
	if g, ok := v.cache.Get(cacheKey(sum)); ok && v.holds(g, sum, now) {
		return g, nil
	}
	return nil, nil
}

// holds retains g if it is the grant of this token and nothing has changed since.
func (v *Verifier) holds(g *Grant, sum *[32]byte, now time.Time) bool {
	return g.sum == *sum && g.epoch == v.epoch.Load() && now.UnixNano() < g.deadline && v.isFresh(now) && g.retain()
}
