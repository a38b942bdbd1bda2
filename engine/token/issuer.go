package token

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// Names of the built-in issuer and of this service, for operators who choose
// no others.
const (
	DefaultIssuer   = "velonym"
	DefaultAudience = "velonym"
)

// defaultTTL is the life of a token whose project has no retention to end with.
const defaultTTL = 90 * 24 * time.Hour

// Issuer signs tokens with Ed25519 (EdDSA, RFC 8037). It is safe for
// concurrent use.
type Issuer struct {
	iss, aud string
	key      ed25519.PrivateKey
	public   ed25519.PublicKey
	kid      string
}

// NewIssuer returns the issuer called iss whose tokens are for aud. seed holds
// the 32 bytes of an Ed25519 private key; it is copied, and the caller wipes
// its own.
func NewIssuer(seed []byte, iss, aud string) (*Issuer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, errors.New("token: the issuer's seed must have 32 bytes")
	}
	if iss == "" || aud == "" {
		return nil, errors.New("token: an issuer needs a name and an audience")
	}
	i := &Issuer{iss: iss, aud: aud, public: keys.PublicKey(seed)}
	i.key = slices.Concat(ed25519.PrivateKey(seed), ed25519.PrivateKey(i.public))
	i.kid = thumbprint(i.public)
	return i, nil
}

// thumbprint is the JWK thumbprint of RFC 7638 (with RFC 8037 §2) of an
// Ed25519 key.
func thumbprint(pub ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(pub) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Close wipes the private key; Issue must not be called after it.
func (i *Issuer) Close() { clear(i.key) }

// Name returns the issuer's name, the iss of its tokens.
func (i *Issuer) Name() string { return i.iss }

// Audience returns the aud of its tokens.
func (i *Issuer) Audience() string { return i.aud }

// KeyID returns the kid of its key: the JWK thumbprint (RFC 7638).
func (i *Issuer) KeyID() string { return i.kid }

// JWKS returns the public key as a JWK Set (RFC 7517), for other services that
// are to trust this issuer.
func (i *Issuer) JWKS() []byte {
	return JWKS(keys.IssuerInfo{Public: i.public})
}

// NewID returns a jti: 128 random bits as 32 hex digits.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Issue signs c and fills in Issuer, Audience, ID, IssuedAt (now) and PSN.V where they
// are missing. Claims that no verifier could accept are an error. Issue does not
// consult projects; see [Issuer.Create].
func (i *Issuer) Issue(c Claims) (string, error) {
	if c.Issuer == "" {
		c.Issuer = i.iss
	}
	if c.Audience == "" {
		c.Audience = i.aud
	}
	if c.ID == "" {
		c.ID = NewID()
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = time.Now()
	}
	if c.PSN.V == 0 {
		c.PSN.V = 1
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("token: issue: %w", err)
	}
	// The verifier's own reader must accept what is signed.
	n, err := parseJSON(payload)
	if err != nil {
		return "", fmt.Errorf("token: issue: %w", err)
	}
	var f faults
	readClaims(&n, &f)
	readPSN(&n, &f)
	if len(f) > 0 {
		return "", fmt.Errorf("token: issue: %s", f[0].Detail)
	}
	t := &jwt.Token{
		Method: jwt.SigningMethodEdDSA,
		Header: map[string]any{"alg": algEdDSA, "typ": typePSN, "kid": i.kid},
		Claims: encodedClaims{payload: payload},
	}
	s, err := t.SignedString(i.key)
	if err != nil {
		return "", fmt.Errorf("token: issue: %w", err)
	}
	if len(s) > MaxSize {
		return "", fmt.Errorf("token: issue: the token would have %d bytes, and %d is the most", len(s), MaxSize)
	}
	return s, nil
}

// Request describes a token for a stored project.
type Request struct {
	Project string
	Org     string
	Op      spec.Op // default pseudonymise

	Source    string // secondary only: the project that made the input
	SourceOrg string

	// TTL is the token's life in whole seconds, cut at the end of the retention. 0 stands
	// for that end (the earlier one of both projects, for secondary), or for 90 days if
	// there is none.
	TTL time.Duration

	Form   spec.Form // default: the project's
	Norm   []string
	Err    string // strict (default) or item
	Gen    *int
	Limits Limits

	Now time.Time // default: the clock's
}

// Projects finds stored projects; *keys.Keystore does.
type Projects interface {
	Project(ctx context.Context, name string) (keys.Project, error)
}

// TokenList keeps the list of issued tokens and the rules that revoke all tokens issued
// before a time; *keys.Keystore does.
type TokenList interface {
	RecordToken(ctx context.Context, t keys.IssuedToken) error
	IssuableFrom(ctx context.Context, issuer string, projects ...string) (time.Time, error)
}

// ErrNotListed is returned beside a valid token by [Issuer.Create] when the keystore
// cannot be written, so that the token is not on its list.
var ErrNotListed = errors.New("token: the keystore is read-only: the token is good, but 'velonym token list' will not show it")

// Create makes and signs a token for a stored project, with the project's
// method, policy and tag. It returns the claims beside the token. A project or
// organisation that does not exist, whose retention is over, or that does not
// allow the operation is an *Error, as it would be on verification. If ps is a
// [TokenList], the token is put on it before Create returns.
func (i *Issuer) Create(ctx context.Context, ps Projects, r Request) (string, *Claims, error) {
	now := r.Now
	if now.IsZero() {
		now = time.Now()
	}
	now = now.UTC().Truncate(time.Second)
	c, end, err := draftClaims(ctx, ps, r, now)
	if err != nil {
		return "", nil, err
	}
	c.Issuer, c.Audience, c.ID, c.IssuedAt = i.iss, i.aud, NewID(), now
	list, _ := ps.(TokenList)
	if list != nil {
		if err := setIssuedAt(ctx, list, &c); err != nil {
			return "", nil, err
		}
	}
	switch {
	case r.TTL < 0:
		return "", nil, errors.New("token: the time to live must not be negative")
	case r.TTL > 0:
		c.Expires = now.Add(r.TTL.Round(time.Second))
	case !end.IsZero():
		c.Expires = end
	default:
		c.Expires = now.Add(defaultTTL)
	}
	if !end.IsZero() && c.Expires.After(end) {
		c.Expires = end
	}
	c.Expires = c.Expires.UTC().Truncate(time.Second)
	if !c.Expires.After(now) {
		return "", nil, errors.New("token: the token would expire at once; give it a second or more")
	}
	if c.PSN.Method == spec.Reversible && c.PSN.Ret == 0 {
		c.PSN.Ret = c.Expires.Unix()
	}
	s, err := i.Issue(c)
	if err != nil {
		return "", nil, err
	}
	if list != nil {
		t := keys.IssuedToken{JTI: c.ID, Issuer: c.Issuer, KeyID: i.kid, Op: string(c.PSN.Op), Project: c.PSN.Dom.Prj, Org: c.PSN.Dom.Org,
			Issued: c.IssuedAt, Expires: c.Expires, Max: c.PSN.Lim.Max}
		if src := c.PSN.Src; src != nil {
			t.Source, t.SourceOrg = src.Prj, src.Org
		}
		switch err := list.RecordToken(ctx, t); {
		case errors.Is(err, keys.ErrReadOnly):
			return s, &c, ErrNotListed
		case err != nil:
			return "", nil, err
		}
	}
	return s, &c, nil
}

// setIssuedAt sets iat to the first second that no revocation rule covers. If the
// project's tokens were revoked in this second, that is the next one; verifiers accept
// it as they accept a clock that is slightly ahead.
func setIssuedAt(ctx context.Context, list TokenList, c *Claims) error {
	projects := []string{c.PSN.Dom.Prj}
	if c.PSN.Src != nil {
		projects = append(projects, c.PSN.Src.Prj)
	}
	from, err := list.IssuableFrom(ctx, c.Issuer, projects...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if !from.After(c.IssuedAt) {
		return nil
	}
	if from.Sub(c.IssuedAt) > maxSkew/2 {
		return fmt.Errorf("token: all tokens of this project or issuer that are issued before %s are revoked: try again then", from.UTC().Format(time.RFC3339))
	}
	c.IssuedAt = from
	return nil
}

// draftClaims returns the claims that follow from the request and the stored project,
// and the end of the retention, zero if there is none. PSN.Ret is set if the target
// project has a retention.
func draftClaims(ctx context.Context, ps Projects, r Request, now time.Time) (c Claims, end time.Time, err error) {
	p, err := ps.Project(ctx, r.Project)
	if err = checkProject(p, err, r.Org, now); err != nil {
		return c, end, err
	}
	if r.Op == "" {
		r.Op = spec.Pseudonymise
	}
	if r.Form == "" {
		r.Form = p.Form
	}
	if r.Err == "" {
		r.Err = ErrStrict
	}
	c.PSN = PSN{V: 1, Op: r.Op, Dom: Domain{Prj: r.Project, Org: r.Org}, Method: p.Method, Policy: p.Policy,
		Fmt: r.Form, Tag: p.Tag, Gen: r.Gen, Norm: r.Norm, Err: r.Err, Lim: r.Limits}
	if c.PSN.Policy == "" {
		c.PSN.Policy = spec.Same
	}
	if c.PSN.Fmt == "" {
		c.PSN.Fmt = spec.Pair62
	}
	if r.Op == spec.Reverse && p.Method != spec.Reversible {
		return c, end, refuse(ForbiddenOperation, "an irreversible project cannot be reversed")
	}
	end = p.Retention
	if p.Method == spec.Reversible && !end.IsZero() {
		c.PSN.Ret = end.Unix()
	}
	if r.Op == spec.Secondary {
		if r.Source == "" {
			return c, end, errors.New("token: secondary needs the project that made the pseudonyms")
		}
		src, err := ps.Project(ctx, r.Source)
		if err = checkProject(src, err, r.SourceOrg, now); err != nil {
			return c, end, err
		}
		if src.Method != spec.Reversible {
			return c, end, refuse(ForbiddenOperation, "the source project is irreversible")
		}
		c.PSN.Src = &Domain{Prj: r.Source, Org: r.SourceOrg}
		if !src.Retention.IsZero() && (end.IsZero() || src.Retention.Before(end)) {
			end = src.Retention
		}
	} else if r.Source != "" || r.SourceOrg != "" {
		return c, end, errors.New("token: a source project goes with secondary only")
	}
	if _, _, refused := c.PSN.spec(); refused != nil {
		return c, end, fmt.Errorf("token: %s", refused.Detail)
	}
	return c, end, nil
}

// checkProject turns the store's answer for a project into a refusal, ErrUnavailable,
// or nil if the project is active and lists the organisation.
func checkProject(p keys.Project, err error, org string, now time.Time) error {
	switch {
	case errors.Is(err, keys.ErrNotFound):
		return refuse(UnknownDomain, noProject)
	case errors.Is(err, keys.ErrSevered), errors.Is(err, keys.ErrRetentionOver):
		return refuse(RetentionExpired, retentionOver)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case p.Severed, p.EndedBy(now):
		return refuse(RetentionExpired, retentionOver)
	case !slices.Contains(p.Orgs, org):
		return refuse(UnknownDomain, noOrganisation)
	}
	return nil
}

// encodedClaims gives package jwt a payload that is already encoded.
type encodedClaims struct {
	jwt.Claims
	payload []byte
}

func (s encodedClaims) MarshalJSON() ([]byte, error) { return s.payload, nil }
