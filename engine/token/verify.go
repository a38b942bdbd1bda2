package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// Ops is the set of operations that an endpoint serves.
type Ops uint8

// The sets of the two endpoints, and all operations.
const (
	OpsForward Ops = 1 << iota // pseudonymise and secondary
	OpsReverse
	OpsAny = OpsForward | OpsReverse
)

func (o Ops) has(op spec.Op) bool {
	switch op {
	case spec.Pseudonymise, spec.Secondary:
		return o&OpsForward != 0
	case spec.Reverse:
		return o&OpsReverse != 0
	}
	return false
}

// Keystore is what verification needs of *keys.Keystore.
type Keystore interface {
	Projects
	ProjectSecrets(ctx context.Context, d keys.Domain) (keys.Project, []keys.Generation, error)
	Change(ctx context.Context) (uint64, error)
	RevokedAt(ctx context.Context, change uint64, last *keys.Revoked) (*keys.Revoked, error)
	LeaseUntil(ctx context.Context, jti string, exp time.Time, max, want int64) (granted, rest int64, err error)
	Return(ctx context.Context, jti string, exp time.Time, n int64) error
	Spent(ctx context.Context, jti string) (int64, error)
}

// Config describes a Verifier.
type Config struct {
	Keystore Keystore
	Issuer   *Issuer         // the built-in issuer, with its own audience; nil: its tokens are refused
	Trusted  []TrustedIssuer // external issuers, of other names
	Audience string          // aud that tokens of Trusted must name; default: the built-in issuer's

	// StoreTimeout bounds one read of the keystore's changes; default 5 s. It is also
	// the longest wait of a call for that read. Cached tokens are not valid meanwhile,
	// so a long timeout does not weaken revocation.
	StoreTimeout time.Duration

	// CallTimeout bounds the time that one call waits for the keystore, after which it
	// fails with ErrUnavailable; 0: only the call's context bounds it.
	CallTimeout time.Duration

	CacheSize int              // of verified tokens; default 4096
	Skew      time.Duration    // tolerated on exp, nbf and iat; default and maximum 30 s; < 0: none
	Now       func() time.Time // default time.Now
	Log       *slog.Logger     // of problems with issuer keys and the keystore; default: none
}

const (
	maxSkew      = 30 * time.Second
	defaultCache = 4096
	pollEvery    = 200 * time.Millisecond // between reads of the change counter
	maxStale     = time.Second            // age of the last read at which cached tokens are no longer valid
	pollTimeout  = 5 * time.Second        // default of StoreTimeout: a busy disk may delay a reader for seconds
	firstTimeout = 30 * time.Second       // of the first read, which loads all revocations
	sweepEvery   = time.Minute            // between sweeps of idle budgets
)

// Verifier verifies tokens. It is safe for concurrent use. Close it after the last use;
// its grants remain usable until they are released.
type Verifier struct {
	ks           Keystore
	now          func() time.Time
	start        time.Time // origin of freshUntil
	skew         time.Duration
	storeTimeout time.Duration
	callTimeout  time.Duration // 0: none
	issuersMu    sync.Mutex    // held to change issuers and sources
	issuers      atomic.Pointer[map[string]*trusted]
	sources      []*keySource
	builtin      string // name of the built-in issuer, "" when there is none
	audience     string // of issuers that have none of their own
	stored       storedIssuers
	builtinInfo  atomic.Pointer[keys.IssuerInfo] // nil: no built-in issuer
	log          *slog.Logger

	cacheMu sync.RWMutex // held for reading around uses of the cache, for writing to empty or close it
	cache   *ristretto.Cache[uint64, *Grant]
	closed  bool // under cacheMu

	closeOnce sync.Once

	headers       atomic.Pointer[[]knownHeader]
	refusedTokens refusalCache
	projects      projects
	ring          keyring
	budgets       budgets

	epoch      atomic.Uint64 // raised by every change that may turn a verdict
	freshUntil atomic.Int64  // end of the trust in the state below, in ns since start
	revoked    atomic.Pointer[keys.Revoked]
	change     uint64 // the store's counter; only the polling goroutine uses it

	hits, misses, negativeHits, refusals, enumerations atomic.Uint64
	leases, leasesShort, leaseFailures                 atomic.Uint64
	lastTokenHits                                      atomic.Uint64 // hits by a LastToken, for tests

	pollMu   sync.Mutex
	nextPoll *storePoll // the next poll to begin
	wake     chan struct{}
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// NewVerifier returns a Verifier. It reads the store's revocations and issuers and the
// files of issuer keys. Issuer keys of a URL are fetched in the background, so the issuer
// may be down.
func NewVerifier(c Config) (*Verifier, error) {
	if c.Keystore == nil {
		return nil, errors.New("token: a verifier needs a keystore")
	}
	c.defaults()
	v := &Verifier{ks: c.Keystore, now: c.Now, start: c.Now(), skew: c.Skew, storeTimeout: c.StoreTimeout, callTimeout: c.CallTimeout, log: c.Log,
		audience: c.Audience, nextPoll: newPoll(), wake: make(chan struct{}, 1)}
	v.issuers.Store(&map[string]*trusted{})
	v.ring.m = map[keys.Domain]*domainKeys{}
	v.budgets.m = map[[32]byte]*budget{}
	v.headers.Store(&[]knownHeader{})
	v.ctx, v.stop = context.WithCancel(context.Background())
	var err error
	v.cache, err = ristretto.NewCache(&ristretto.Config[uint64, *Grant]{
		NumCounters: 10 * int64(c.CacheSize),
		MaxCost:     int64(c.CacheSize),
		BufferItems: 256, // more than the default of 64, for fewer wake-ups of the goroutine that counts uses
		// Keys are the first 64 bits of a SHA-256 and need no more hashing.
		KeyToHash:          func(k uint64) (uint64, uint64) { return k, 0 },
		IgnoreInternalCost: true,
		OnExit: func(g *Grant) {
			if g != nil {
				g.Release()
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("token: cache: %w", err)
	}
	fail := func(err error) (*Verifier, error) {
		v.Close()
		return nil, err
	}
	if c.Issuer != nil {
		v.builtin = c.Issuer.iss
		if err := v.trustBuiltin(c.Issuer); err != nil {
			return fail(err)
		}
		v.stored.builtin = c.Issuer.public
		v.builtinInfo.Store(&keys.IssuerInfo{Name: c.Issuer.iss, Public: c.Issuer.public})
	}
	v.stored.source, _ = c.Keystore.(IssuerStore)
	for _, t := range c.Trusted {
		if err := v.trust(t, c.Audience); err != nil {
			return fail(err)
		}
	}
	err = v.pollStore(max(firstTimeout, c.StoreTimeout))
	if err != nil {
		return fail(err)
	}
	if len(*v.issuers.Load()) == 0 {
		return fail(errors.New("token: a verifier needs an issuer to trust"))
	}
	v.running.Add(1)
	go v.pollLoop()
	if w, ok := c.Keystore.(keys.Watcher); ok {
		v.running.Go(func() { w.Watch(v.ctx, v.wakePoll) })
	}
	return v, nil
}

// defaults sets the fields that have a default and are not set.
func (c *Config) defaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.CacheSize <= 0 {
		c.CacheSize = defaultCache
	}
	if c.StoreTimeout <= 0 {
		c.StoreTimeout = pollTimeout
	}
	switch {
	case c.Skew == 0 || c.Skew > maxSkew:
		c.Skew = maxSkew
	case c.Skew < 0:
		c.Skew = 0
	}
	if c.Audience == "" && c.Issuer != nil {
		c.Audience = c.Issuer.aud
	}
}

// Close stops the background work, returns unspent leases and empties the cache, which
// wipes the keys that no grant holds. Later calls fail with ErrClosed. Close the keystore
// after the verifier.
func (v *Verifier) Close() {
	v.closeOnce.Do(v.close)
}

func (v *Verifier) close() {
	v.stop()
	v.cacheMu.Lock()
	if !v.closed {
		v.closed = true
		v.cache.Close()
	}
	v.cacheMu.Unlock()
	v.running.Wait()
	for _, s := range v.allSources() {
		s.running.Wait()
	}
	v.budgets.giveBack(v)
	for _, t := range *v.issuers.Load() {
		clear(t.secret)
	}
}

// Stats are counts since the Verifier was made.
type Stats struct {
	Hits         uint64 // verified tokens found in the cache
	Misses       uint64 // full verifications, successful or not
	Negative     uint64 // refusals from the cache of refused tokens
	Refused      uint64 // refusals by Verify, cached or not
	Enumerations uint64 // runs of enumerated numbers; see Grant.Observe

	Leases        uint64 // attempts to lease values from the store
	LeasesShort   uint64 // leases of fewer values than needed
	LeaseFailures uint64 // attempts that failed
}

// Stats returns the present counts.
func (v *Verifier) Stats() Stats {
	return Stats{Hits: v.hits.Load(), Misses: v.misses.Load(), Negative: v.negativeHits.Load(),
		Refused: v.refusals.Load(), Enumerations: v.enumerations.Load(),
		Leases: v.leases.Load(), LeasesShort: v.leasesShort.Load(), LeaseFailures: v.leaseFailures.Load()}
}

// Healthy returns nil if the store's changes were read within the last second.
func (v *Verifier) Healthy() error {
	if v.ctx.Err() != nil {
		return ErrClosed
	}
	if !v.isFresh(v.now()) {
		return ErrUnavailable
	}
	return nil
}

// Verify verifies the token raw for one of ops and returns its grant, which the caller
// must Release once. raw is not kept. A refusal is an *Error; any other error
// (ErrUnavailable, ErrClosed, an ended context) says nothing about the token.
//
// A cached token costs a SHA-256 and a look-up, and no allocation but the cache's own
// (2 KiB every 256 calls). Verify does not charge the budget: see [Grant.Spend].
func (v *Verifier) Verify(ctx context.Context, raw []byte, ops Ops) (*Grant, error) {
	return v.VerifyAgain(ctx, raw, ops, nil)
}

// VerifyAgain is Verify for callers that repeat a token: if raw is the token that last
// holds, it is not hashed again. A valid token replaces the one in last. last may be
// nil; the verdict does not depend on it.
func (v *Verifier) VerifyAgain(ctx context.Context, raw []byte, ops Ops, last *LastToken) (*Grant, error) {
	if len(raw) == 0 {
		return nil, v.count(refuse(MissingToken, "no token was given"))
	}
	if len(raw) > MaxSize {
		return nil, v.count(invalid(tooLong))
	}
	h := v.cachedHeader(raw)
	if h == nil {
		head, _, ok := bytes.Cut(raw, []byte{'.'})
		if !ok {
			return nil, v.count(invalid("not three parts with points between"))
		}
		parsed, refused := parseHeader(head)
		if refused != nil {
			return nil, v.count(refused)
		}
		h = &parsed
	}
	now := v.now()
	sum := last.digest(raw)
	g, err := v.lookup(&sum, now, last.again(&sum))
	if err != nil {
		return nil, err
	}
	if g != nil {
		v.hits.Add(1)
		if !ops.has(g.Op) {
			g.Release()
			return nil, v.count(refuse(ForbiddenOperation, wrongEndpoint))
		}
		last.keep(raw, &sum, g)
		return g, nil
	}
	epoch := v.epoch.Load()
	if v.isFresh(now) {
		if refused := v.refusedTokens.get(&sum, epoch, ops, now); refused != nil {
			v.negativeHits.Add(1)
			return nil, v.count(refused)
		}
	}
	v.misses.Add(1)
	g, err = v.verify(ctx, raw, &sum, h, ops, epoch, now)
	if err != nil {
		return nil, v.count(err)
	}
	return g, nil
}

// count counts err if it is a refusal, and returns it.
func (v *Verifier) count(err error) error {
	var refused *Error
	if errors.As(err, &refused) {
		v.refusals.Add(1)
	}
	return err
}

// verify verifies a token that is in neither cache.
func (v *Verifier) verify(ctx context.Context, raw []byte, sum *[32]byte, h *header, ops Ops, epoch uint64, now time.Time) (*Grant, error) {
	s, refused, cacheable := v.verifySignature(ctx, raw, h)
	if refused != nil {
		if cacheable {
			v.refusedTokens.put(sum, epoch, OpsAny, now, refused)
		}
		if err := ctx.Err(); err != nil && !cacheable {
			return nil, err
		}
		return nil, refused
	}
	if v.ctx.Err() != nil { // Close may have wiped the secret that the signature was checked with
		return nil, ErrClosed
	}
	v.cacheHeader(raw, *h)
	c := s.claims
	op, spec, refused := c.PSN.spec()
	if refused != nil { // unreachable: readPSN has accepted the same claims
		return nil, refused
	}
	if !ops.has(op) {
		refused = refuse(ForbiddenOperation, wrongEndpoint)
		v.refusedTokens.put(sum, epoch, ops, now, refused)
		return nil, refused
	}
	ctx, done := v.withCallTimeout(ctx)
	defer done()
	if err := v.sync(ctx); err != nil {
		return nil, v.timeoutAsUnavailable(ctx, err)
	}
	g, err := v.authorize(ctx, c, op, spec, epoch, now)
	err = v.timeoutAsUnavailable(ctx, err)
	if err == nil && v.isRevoked(c) {
		g.Release()
		err = refuse(RevokedToken, tokenRevoked)
	}
	if err != nil {
		if errors.As(err, &refused) {
			v.refusedTokens.put(sum, epoch, OpsAny, now, refused)
		}
		return nil, err
	}
	g.sum = *sum
	g.deadline = min(g.end, s.until)
	g.source, g.signers = s.source, s.signers
	g.budget = v.budgets.open(v, c)
	v.addToCache(g)
	return g, nil
}
