package token

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/golang-jwt/jwt/v5"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/suite"
)

// Ops is a set of operations: what an endpoint serves.
type Ops uint8

// The sets of the two endpoints, and all operations.
const (
	OpsForward = Ops(1<<suite.Pseudonymise | 1<<suite.Secondary)
	OpsReverse = Ops(1 << suite.Reverse)
	OpsAny     = OpsForward | OpsReverse
)

func (o Ops) has(op suite.Op) bool { return o>>op&1 == 1 }

// Keystore is what verification needs of *keys.Keystore.
type Keystore interface {
	Projects
	Secrets(ctx context.Context, d keys.Domain) ([]keys.Generation, error)
	Change(ctx context.Context) (uint64, error)
	Revocations(ctx context.Context) (map[string]struct{}, error)
	LeaseUntil(ctx context.Context, jti string, exp time.Time, max, want int64) (int64, error)
}

// Config describes a Verifier.
type Config struct {
	Keystore Keystore
	Issuer   *Issuer         // the built-in issuer, with its own audience; nil: its tokens are refused
	Trusted  []TrustedIssuer // external issuers, of other names
	Audience string          // aud that tokens of Trusted must name; default: the built-in issuer's

	// StoreTimeout is how long one look at the keystore's changes may take before
	// it counts as failed; default 5 s. Those who wait for it wait so long at
	// most, and no cached token counts meanwhile: a long one costs no safety.
	StoreTimeout time.Duration

	CacheSize int              // verified tokens that are kept; default 4096
	Skew      time.Duration    // tolerated on exp, nbf and iat; default 30 s, which is also the most; < 0: none
	Now       func() time.Time // default time.Now
	Log       *slog.Logger     // trouble with issuer keys and the keystore; default: none
}

const (
	maxSkew      = 30 * time.Second
	defaultCache = 4096
	pollEvery    = 200 * time.Millisecond // pause between looks at the change counter
	maxStale     = time.Second            // after which cached tokens no longer count
	pollTimeout  = 5 * time.Second        // default: a disk under load may keep a reader waiting for seconds
	firstTimeout = 10 * time.Second
	sweepEvery   = time.Minute // pause between sweeps of idle ledgers
)

// Verifier verifies tokens. It is safe for concurrent use. Close it after the
// last use; its grants outlive it until they are released.
type Verifier struct {
	ks       Keystore
	now      func() time.Time
	start    time.Time // origin of the times in fresh
	skew     time.Duration
	patience time.Duration // with one look at the store
	issuers  map[string]*trusted
	sources  []*keySource
	builtin  string // name of the built-in issuer, "" when there is none
	log      *slog.Logger

	gate   sync.RWMutex // held for reading around uses of the cache, for writing to empty or close it
	cache  *ristretto.Cache[uint64, *Grant]
	closed bool // under gate

	heads    atomic.Pointer[[]knownHead]
	refused  negatives
	projects projects
	ring     keyring
	books    books

	epoch   atomic.Uint64 // raised by every change that could turn a verdict
	fresh   atomic.Int64  // until when the state below is trusted, in ns since start
	revoked atomic.Pointer[map[string]struct{}]
	change  uint64 // the store's counter, of the poll goroutine

	hits, misses, known, bad, alarms atomic.Uint64
	remembered                       atomic.Uint64 // of hits, those that a Seen brought: for tests

	waveMu  sync.Mutex
	wave    *wave // the next poll to begin
	kick    chan struct{}
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// NewVerifier returns a Verifier. It reads the store's changes once and the
// files of issuer keys; an issuer that is to be asked over the network may be
// down, and is asked again.
func NewVerifier(c Config) (*Verifier, error) {
	if c.Keystore == nil {
		return nil, errors.New("token: a verifier needs a keystore")
	}
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
	v := &Verifier{ks: c.Keystore, now: c.Now, start: c.Now(), skew: c.Skew, patience: c.StoreTimeout, log: c.Log,
		issuers: map[string]*trusted{}, wave: newWave(), kick: make(chan struct{}, 1)}
	v.ring.m = map[keys.Domain]*domainKeys{}
	v.books.m = map[[32]byte]*ledger{}
	v.heads.Store(&[]knownHead{})
	v.ctx, v.stop = context.WithCancel(context.Background())
	var err error
	v.cache, err = ristretto.NewCache(&ristretto.Config[uint64, *Grant]{
		NumCounters: 10 * int64(c.CacheSize),
		MaxCost:     int64(c.CacheSize),
		BufferItems: 256, // fewer wake-ups of the goroutine that counts them
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
	}
	for _, t := range c.Trusted {
		if err := v.trust(t, c.Audience); err != nil {
			return fail(err)
		}
	}
	if len(v.issuers) == 0 {
		return fail(errors.New("token: a verifier needs an issuer to trust"))
	}
	err = v.poll(max(firstTimeout, c.StoreTimeout))
	if err != nil {
		return fail(err)
	}
	v.running.Add(1)
	go v.watch()
	return v, nil
}

func (v *Verifier) newParser(t *trusted) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods(t.algs),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithIssuer(t.name),
		jwt.WithAudience(t.audience),
		jwt.WithStrictDecoding(),
		jwt.WithLeeway(v.skew),
		jwt.WithTimeFunc(v.now),
	)
}

func (v *Verifier) trustBuiltin(i *Issuer) error {
	t := &trusted{name: i.iss, audience: i.aud, algs: []string{algEdDSA}}
	t.keys = v.newSource(t.name)
	set, err := parseJWKS(i.JWKS())
	if err == nil && len(set) == 0 {
		err = errNoUsableKey
	}
	if err == nil {
		err = t.keys.KeyReplaceAll(v.ctx, set)
	}
	if err == nil {
		t.keyfunc, err = keyfunc.New(keyfunc.Options{Ctx: v.ctx, Storage: t.keys})
	}
	if err != nil {
		return fmt.Errorf("token: the built-in issuer's key: %w", err)
	}
	t.parser = v.newParser(t)
	v.issuers[t.name] = t
	return nil
}

func (v *Verifier) newSource(issuer string) *keySource {
	return &keySource{MemoryJWKSet: jwkset.NewMemoryStorage(), issuer: issuer, now: v.now, changed: v.bump, log: v.log, ctx: v.ctx}
}

func (v *Verifier) trust(c TrustedIssuer, audience string) error {
	t := &trusted{name: c.Name, audience: c.Audience, algs: slices.Clone(c.Algorithms), access: c.AccessTokens}
	if t.audience == "" {
		t.audience = audience
	}
	switch {
	case t.name == "" || t.audience == "":
		return errors.New("token: a trusted issuer needs a name and an audience")
	case v.issuers[t.name] != nil:
		return fmt.Errorf("token: the issuer %q is trusted twice; give each its own name", t.name)
	case c.JWKSFile != "" && c.JWKSURL != "":
		return fmt.Errorf("token: the issuer %q has a JWKS file and a JWKS URL; give one", t.name)
	case c.JWKSFile == "" && c.JWKSURL == "" && len(c.Secret) == 0:
		return fmt.Errorf("token: the issuer %q has no keys; give a JWKS file, a JWKS URL or a secret", t.name)
	case len(c.Secret) > 0 && len(c.Secret) < minSecret:
		return fmt.Errorf("token: the secret of issuer %q is too short; HS256 needs %d bytes or more", t.name, minSecret)
	}
	var can []string
	if c.JWKSFile != "" || c.JWKSURL != "" {
		can = append(can, algEdDSA, algES256, algPS256, algRS256)
	}
	if len(c.Secret) > 0 {
		can = append(can, algHS256)
		t.secret = bytes.Clone(c.Secret)
	}
	if len(t.algs) == 0 {
		t.algs = can
	}
	for _, a := range t.algs {
		if !slices.Contains(can, a) {
			return fmt.Errorf("token: the issuer %q has no key for the algorithm %q", t.name, a)
		}
	}
	if c.JWKSFile != "" || c.JWKSURL != "" {
		t.keys = v.newSource(t.name)
		kf, err := keyfunc.New(keyfunc.Options{Ctx: v.ctx, Storage: t.keys})
		if err != nil {
			return fmt.Errorf("token: issuer keys: %w", err)
		}
		t.keyfunc = kf
	}
	t.parser = v.newParser(t)
	switch {
	case c.JWKSFile != "":
		t.keys.file = c.JWKSFile
		if err := t.keys.load(); err != nil {
			return err
		}
		if t.keys.count() == 0 {
			return fmt.Errorf("token: issuer keys: %s: %w", c.JWKSFile, errNoUsableKey)
		}
		v.sources = append(v.sources, t.keys)
	case c.JWKSURL != "":
		if err := keyURL(c.JWKSURL); err != nil {
			return err
		}
		t.keys.url, t.keys.refresh, t.keys.client = c.JWKSURL, c.Refresh, c.Client
		if t.keys.refresh <= 0 {
			t.keys.refresh = defaultRefresh
		}
		if t.keys.maxStale = c.MaxStale; t.keys.maxStale <= 0 {
			t.keys.maxStale = defaultMaxStale
		}
		t.keys.refresh = min(t.keys.refresh, t.keys.maxStale/2)
		if t.keys.client == nil {
			t.keys.client = keyClient()
		}
		v.sources = append(v.sources, t.keys)
		t.keys.running.Add(1)
		go t.keys.run()
	}
	v.issuers[t.name] = t
	return nil
}

// Reload reads the files of issuer keys again and fetches those of URLs, all at
// once; it says in the log how many keys each issuer has now. A set that cannot be
// had is an error, and the keys before it stay in use (those of a URL for MaxStale
// at most); a set without keys ends the trust in its issuer.
func (v *Verifier) Reload() error {
	errs := make([]error, len(v.sources))
	var all sync.WaitGroup
	for i, s := range v.sources {
		all.Go(func() {
			if s.file != "" {
				errs[i] = s.load()
			} else {
				errs[i] = s.refetch()
			}
			if errs[i] == nil {
				v.log.Info("issuer keys reloaded", "issuer", s.issuer, "keys", s.count())
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Close stops the work in the background and empties the cache, which wipes the
// keys that no grant holds. Calls after it fail with ErrClosed.
func (v *Verifier) Close() {
	v.stop()
	v.gate.Lock()
	if !v.closed {
		v.closed = true
		v.cache.Close()
	}
	v.gate.Unlock()
	v.running.Wait()
	for _, s := range v.sources {
		s.running.Wait()
	}
	for _, t := range v.issuers {
		clear(t.secret)
	}
}

// Stats counts what a Verifier did since it was made.
type Stats struct {
	Hits     uint64 // verified tokens found in the cache
	Misses   uint64 // tokens that were verified in full, whatever came of it
	Negative uint64 // refused again from the negative cache
	Refused  uint64 // refusals by Verify, cached or not
	Walks    uint64 // tokens seen walking a numeric range, each run once; see Grant.Watch
}

// Stats returns the counts up to now.
func (v *Verifier) Stats() Stats {
	return Stats{Hits: v.hits.Load(), Misses: v.misses.Load(), Negative: v.known.Load(),
		Refused: v.bad.Load(), Walks: v.alarms.Load()}
}

// Healthy reports whether the store's changes were read within the last second.
func (v *Verifier) Healthy() error {
	if v.ctx.Err() != nil {
		return ErrClosed
	}
	if !v.isFresh(v.now()) {
		return ErrUnavailable
	}
	return nil
}

// Verify says whether the token raw is valid here and now for one of ops, and
// returns what it grants. The caller must Release the grant once. raw is not
// kept. A refusal is an *Error; any other error (ErrUnavailable, ErrClosed, an
// ended context) is no verdict.
//
// A token seen before costs a SHA-256 and a look-up, and no allocation but what
// the cache needs for its own books (2 KiB every 256 calls). The budget is
// not touched: see [Grant.Spend].
func (v *Verifier) Verify(ctx context.Context, raw []byte, ops Ops) (*Grant, error) {
	return v.VerifyAgain(ctx, raw, ops, nil)
}

// VerifyAgain is Verify where the same token comes again and again: last knows
// the digest of the one before, and is told of this one if it is valid. The
// verdict does not rest on it; nil is allowed.
func (v *Verifier) VerifyAgain(ctx context.Context, raw []byte, ops Ops, last *Seen) (*Grant, error) {
	if len(raw) == 0 {
		return nil, v.count(refuse(MissingToken, "no token was given"))
	}
	if len(raw) > MaxSize {
		return nil, v.count(invalid(tooLong))
	}
	h := v.head(raw)
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
		if refused := v.refused.get(&sum, epoch, ops, now); refused != nil {
			v.known.Add(1)
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

// count counts a refusal, and returns it.
func (v *Verifier) count(err error) error {
	var refused *Error
	if errors.As(err, &refused) {
		v.bad.Add(1)
	}
	return err
}

// knownHead is the first segment of a token that was verified. Tokens of an
// issuer share theirs, so that the allow-list need not be gone through again.
type knownHead struct {
	segment []byte // with the point behind it
	h       header
}

// head returns the header of raw when its first segment is known.
func (v *Verifier) head(raw []byte) *header {
	heads := *v.heads.Load()
	for i := range heads {
		if bytes.HasPrefix(raw, heads[i].segment) {
			return &heads[i].h
		}
	}
	return nil
}

// learn remembers the first segment of a verified token; a few are enough.
func (v *Verifier) learn(raw []byte, h header) {
	old := v.heads.Load()
	if len(*old) >= 8 || v.head(raw) != nil {
		return
	}
	segment := bytes.Clone(raw[:bytes.IndexByte(raw, '.')+1])
	list := append(slices.Clone(*old), knownHead{segment, h})
	v.heads.CompareAndSwap(old, &list) // whoever loses learns it the next time
}

// lookup returns the grant of a verified token, or nil. g, if not nil, may be it.
func (v *Verifier) lookup(sum *[32]byte, now time.Time, g *Grant) (*Grant, error) {
	v.gate.RLock()
	defer v.gate.RUnlock()
	if v.closed {
		return nil, ErrClosed
	}
	if g != nil && v.holds(g, sum, now) {
		v.remembered.Add(1)
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

// verify is the long way.
func (v *Verifier) verify(ctx context.Context, raw []byte, sum *[32]byte, h *header, ops Ops, epoch uint64, now time.Time) (*Grant, error) {
	s, refused, final := v.signature(ctx, raw, h)
	if refused != nil {
		if final {
			v.refused.put(sum, epoch, OpsAny, now, refused)
		}
		if err := ctx.Err(); err != nil && !final {
			return nil, err
		}
		return nil, refused
	}
	if v.ctx.Err() != nil { // Close wipes secrets, and nothing was verified with a wiped one
		return nil, ErrClosed
	}
	v.learn(raw, *h)
	c := s.claims
	op, spec, refused := c.PSN.spec()
	if refused != nil { // psnOf has passed the same claims
		return nil, refused
	}
	if !ops.has(op) {
		refused = refuse(ForbiddenOperation, wrongEndpoint)
		v.refused.put(sum, epoch, ops, now, refused)
		return nil, refused
	}
	if err := v.sync(ctx); err != nil {
		return nil, err
	}
	g, err := v.grant(ctx, c, op, spec, epoch, now)
	if err == nil && v.isRevoked(c.ID) {
		g.Release()
		err = refuse(RevokedToken, tokenRevoked)
	}
	if err != nil {
		if errors.As(err, &refused) {
			v.refused.put(sum, epoch, OpsAny, now, refused)
		}
		return nil, err
	}
	g.sum = *sum
	g.deadline = min(g.end, s.until)
	g.source, g.signers = s.source, s.signers
	g.book = v.books.open(v, c)
	v.store(g)
	return g, nil
}

// signature verifies the signature and all that follows from the claims alone.
// final says that the same bytes will be refused again for a while.
func (v *Verifier) signature(ctx context.Context, raw []byte, h *header) (s verdict, refused *Error, final bool) {
	_, segment, _, ok := segments(raw)
	if !ok {
		return s, invalid("not three parts of base64url with points between"), true
	}
	payload, err := strictBase64.AppendDecode(nil, segment)
	if err != nil {
		return s, invalid("the claims are not base64url in its one spelling"), true
	}
	n, err := parseJSON(payload)
	if err != nil {
		return s, invalid("the claims cannot be read: " + err.Error()), true
	}
	read, audiences, refused := claimsOf(&n)
	if refused != nil {
		return s, refused, true
	}
	t := v.issuers[read.Issuer]
	if t == nil {
		return s, invalid("the issuer is not trusted here"), true
	}
	if h.typ == typeAccess && !t.access {
		return s, invalid(wrongType), true
	}
	if !t.allows(h.alg) {
		return s, invalid("the alg is not one that the issuer may sign with"), true
	}
	signers, err := v.parse(ctx, t, raw, &registered{c: &read, audiences: audiences}, h)
	if err != nil {
		switch {
		case errors.Is(err, errStale):
			return s, invalid(errStale.Error()), false
		case errors.Is(err, errNoKey):
			return s, invalid("the issuer has no such key"), false
		case errors.Is(err, jwt.ErrTokenUnverifiable):
			return s, invalid("the issuer's key is not for this alg"), true
		case errors.Is(err, jwt.ErrTokenSignatureInvalid):
			return s, invalid("the signature does not verify"), true
		case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience):
			return s, invalid("the token is for another audience"), true
		case errors.Is(err, jwt.ErrTokenExpired):
			return s, refuse(ExpiredToken, tokenExpired), true
		case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
			return s, invalid("the token is not valid yet"), false
		}
		return s, invalid("the token cannot be read"), true
	}
	read.Audience = t.audience
	if read.PSN, refused = psnOf(&n); refused != nil {
		return s, refused, true
	}
	s = verdict{claims: &read, until: math.MaxInt64}
	if t.keys != nil && (t.keys.url != "" || t.keys.file != "") && h.alg != algHS256 {
		s.source, s.signers = t.keys, signers
	}
	if t.keys != nil && t.keys.url != "" {
		s.until = min(v.now().Add(t.keys.refresh).UnixNano(), t.keys.staleAt.Load())
	}
	return s, nil, false
}

func (v *Verifier) parse(ctx context.Context, t *trusted, raw []byte, r *registered, h *header) (signers []crypto.PublicKey, err error) {
	_, err = t.parser.ParseWithClaims(string(raw), r, func(tok *jwt.Token) (any, error) {
		key, err := t.key(ctx, tok, *h)
		switch k := key.(type) {
		case nil, []byte:
		case jwt.VerificationKeySet:
			for _, one := range k.Keys {
				signers = append(signers, one)
			}
		default:
			signers = append(signers, k)
		}
		return key, err
	})
	return signers, err
}

// verdict is what a verified signature says.
type verdict struct {
	claims  *Claims
	until   int64              // when the issuer's keys are to be looked at again, in Unix nanoseconds
	source  *keySource         // of the issuer's keys; nil: they cannot be withdrawn
	signers []crypto.PublicKey // one of them signed
}

// registered hands claims that were read already to package jwt, which checks
// their signature and their values.
type registered struct {
	c         *Claims
	audiences []string
}

// UnmarshalJSON does nothing: the claims were read from the same bytes.
func (r *registered) UnmarshalJSON([]byte) error { return nil }

func (r *registered) GetExpirationTime() (*jwt.NumericDate, error) {
	return &jwt.NumericDate{Time: r.c.Expires}, nil
}
func (r *registered) GetIssuedAt() (*jwt.NumericDate, error) {
	return &jwt.NumericDate{Time: r.c.IssuedAt}, nil
}
func (r *registered) GetNotBefore() (*jwt.NumericDate, error) {
	if r.c.NotBefore.IsZero() {
		return nil, nil
	}
	return &jwt.NumericDate{Time: r.c.NotBefore}, nil
}
func (r *registered) GetIssuer() (string, error)             { return r.c.Issuer, nil }
func (r *registered) GetSubject() (string, error)            { return "", nil }
func (r *registered) GetAudience() (jwt.ClaimStrings, error) { return r.audiences, nil }

// grant judges claims against the stored project and expands the keys. The
// grant has one holder.
func (v *Verifier) grant(ctx context.Context, c *Claims, op suite.Op, spec suite.Spec, epoch uint64, now time.Time) (*Grant, error) {
	p, err := v.project(ctx, c.PSN.Dom.Prj, epoch)
	if err = stateOf(p, err, c.PSN.Dom.Org, now); err != nil {
		return nil, err
	}
	if refused := agrees(p, &c.PSN, op, now); refused != nil {
		return nil, refused
	}
	g := &Grant{Claims: c, Op: op, v: v, epoch: epoch}
	g.seen.Store(epoch)
	g.refs.Store(1)
	end := p.Retention
	sooner := func(t time.Time) {
		if !t.IsZero() && (end.IsZero() || t.Before(end)) {
			end = t
		}
	}
	if c.PSN.Ret != 0 {
		sooner(time.Unix(c.PSN.Ret, 0))
	}
	target, err := v.ring.acquire(ctx, v.ks, keys.Domain{Prj: c.PSN.Dom.Prj, Org: c.PSN.Dom.Org}, epoch)
	if err != nil {
		return nil, err
	}
	g.held[0] = target
	if refused := target.allows(c.PSN.Gen, op); refused != nil {
		g.Release()
		return nil, refused
	}
	if op != suite.Secondary {
		g.Plan, err = suite.NewPlan(op, spec, target.keys)
	} else {
		var src suite.Spec
		var srcEnd time.Time
		if src, srcEnd, err = v.source(ctx, c.PSN.Src, epoch, now); err == nil {
			sooner(srcEnd)
			g.held[1], err = v.ring.acquire(ctx, v.ks, keys.Domain{Prj: c.PSN.Src.Prj, Org: c.PSN.Src.Org}, epoch)
		}
		if err == nil {
			g.Plan, err = suite.NewSecondary(src, g.held[1].keys, spec, target.keys)
		}
	}
	if err != nil {
		g.Release()
		return nil, err
	}
	g.end = math.MaxInt64
	if !c.Expires.IsZero() {
		g.end = nanos(c.Expires.Add(v.skew))
	}
	if !end.IsZero() {
		g.end = min(g.end, nanos(end))
	}
	return g, nil
}

// nanos is t.UnixNano without its overflow in the year 2262.
func nanos(t time.Time) int64 {
	if t.Unix() >= math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return t.UnixNano()
}

// agrees compares what a token asks for with the stored project, which wins.
func agrees(p keys.Project, c *PSN, op suite.Op, now time.Time) *Error {
	policy := p.Policy
	if policy == "" {
		policy = "same"
	}
	switch {
	case op == suite.Reverse && (p.Method != "reversible" || c.Method != "reversible"):
		return refuse(ForbiddenOperation, "an irreversible project cannot be reversed")
	case c.Method != p.Method:
		return refuse(ForbiddenOperation, "psn.method is not the project's: have the token made anew for the project as it is")
	case c.Policy != policy:
		return refuse(ForbiddenOperation, "psn.policy is not the project's: have the token made anew for the project as it is")
	case c.Tag != p.Tag:
		return refuse(ForbiddenOperation, "psn.tag is not the project's: have the token made anew for the project as it is")
	case c.Ret != 0 && !p.Retention.IsZero() && c.Ret > p.Retention.Unix():
		return refuse(ForbiddenOperation, "psn.ret is beyond the project's retention: have the token made anew; it may have been shortened since")
	case c.Ret != 0 && now.Unix() >= c.Ret:
		return refuse(RetentionExpired, "the token's retention is over")
	}
	return nil
}

// source describes how the input of a secondary pseudonymisation was made, and
// until when it can be reversed.
func (v *Verifier) source(ctx context.Context, d *Domain, epoch uint64, now time.Time) (suite.Spec, time.Time, error) {
	var s suite.Spec
	p, err := v.project(ctx, d.Prj, epoch)
	if err = stateOf(p, err, d.Org, now); err != nil {
		return s, time.Time{}, err
	}
	if p.Method != "reversible" {
		return s, time.Time{}, refuse(ForbiddenOperation, "the source project is irreversible")
	}
	stored := PSN{Op: "secondary", Method: p.Method, Policy: p.Policy, Fmt: p.Format, Tag: p.Tag}
	if stored.Policy == "" {
		stored.Policy = "same"
	}
	if stored.Fmt == "" {
		stored.Fmt = "pair62"
	}
	_, s, refused := stored.spec()
	if refused != nil {
		return s, time.Time{}, fmt.Errorf("token: the source project is stored with a policy that cannot be read: %s", refused.Detail)
	}
	return s, p.Retention, nil
}

// LocalRequest describes what the operator's own process wants to do in a
// project, without a token.
type LocalRequest struct {
	Project, Org      string
	Op                string // default pseudonymise
	Source, SourceOrg string // secondary only
	Format            string // default: the project's
	Norm              []string
	Err               string // default strict
	Gen               *int
}

// Local returns the grant that a token of the project would give, with the same
// policy and checks, and no budget. Its jti begins with "local:".
func (v *Verifier) Local(ctx context.Context, r LocalRequest) (*Grant, error) {
	now := v.now()
	epoch := v.epoch.Load()
	if err := v.sync(ctx); err != nil {
		return nil, err
	}
	c, _, err := draft(ctx, v.ks, Request{Project: r.Project, Org: r.Org, Op: r.Op, Source: r.Source,
		SourceOrg: r.SourceOrg, Format: r.Format, Norm: r.Norm, Err: r.Err, Gen: r.Gen}, now)
	if err != nil {
		return nil, err
	}
	if c.PSN.Err != ErrStrict && c.PSN.Err != ErrItem {
		return nil, errors.New("token: errors are answered strict or item")
	}
	c.Issuer, c.Audience, c.ID, c.IssuedAt = "local", "local", "local:"+NewID(), now.UTC().Truncate(time.Second)
	op, spec, refused := c.PSN.spec()
	if refused != nil {
		return nil, refused
	}
	g, err := v.grant(ctx, &c, op, spec, epoch, now)
	if err != nil {
		return nil, err
	}
	g.deadline = g.end
	return g, nil
}
