// Package engine is the door for programs that embed Velonym: it opens a
// keystore, makes and verifies tokens, and turns batches of identifiers into
// pseudonyms and back. What it offers is made in the packages below it; here it
// stands under one name.
//
// # Three steps
//
// [Open] joins a store of keys with its master key. [Engine.Verify] (with a
// token) or [Engine.Local] (for the operator's own process) plans an operation:
// the [Grant] holds a [Plan] that is ready to use, and must be released. A
// [Batch] is then transformed by the plan, as often as wanted:
//
//	e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: "master.key"})
//	g, err := e.Verify(ctx, token, engine.OpsForward)
//	defer g.Release()
//	pseudonyms, err := g.Pseudonymise(ctx, []string{"1973080520045"})
//
// For many values there is a form without a string for each: [Grant].Spend, then
// Plan.Transform of a [Batch]. Its values travel in one arena of bytes with spans (offset and length of every
// value), so that a batch of a million values needs no allocation per value and
// one call. A batch that is used again allocates nothing.
//
// # Stores
//
// A keystore is one SQLite file (package engine/keys/sqlite) or a PostgreSQL
// database (engine/keys/postgres); a program links what it imports. Several
// programs may have the same keystore open. A revocation, a rotation or a
// severing by one of them is obeyed by the others within a second.
//
// # What can go wrong
//
// A token that is refused is a [TokenError] with a code. A value that cannot be
// transformed is in [Batch].Bad with its index and code, and has no result; the
// others do. Errors never hold a value, a token or a key.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
)

// Keys and projects; see package keys.
type (
	Keystore = keys.Keystore
	Store    = keys.Store
	Project  = keys.Project
	Receipt  = keys.Receipt
)

// Tokens and what they grant; see package token.
type (
	Claims        = token.Claims
	PSN           = token.PSN
	Limits        = token.Limits
	Grant         = token.Grant
	Issuer        = token.Issuer
	Verifier      = token.Verifier
	TrustedIssuer = token.TrustedIssuer
	TokenRequest  = token.Request
	LocalRequest  = token.LocalRequest
	TokenError    = token.Error
	ValuesError   = token.ValuesError
	Ops           = token.Ops
)

// The operations that a token is verified for.
const (
	OpsForward = token.OpsForward // pseudonymise and secondary
	OpsReverse = token.OpsReverse
	OpsAny     = token.OpsAny
)

// Transforms; see package suite.
type (
	Plan       = suite.Plan
	Batch      = suite.Batch
	Document   = suite.Document
	ValueError = suite.ValueError
	Code       = suite.Code
)

// NewMasterKeyFile makes a master key in a new file of mode 0600. Whoever loses
// it loses the way back from every pseudonym.
func NewMasterKeyFile(path string) error { return keys.NewMasterKeyFile(path) }

// Config says what to open.
type Config struct {
	// Store is an open store: of sqlite.Create, sqlite.Open or postgres.Open.
	// The engine closes it.
	Store Store
	// MasterKey is where the master key comes from: a file, env:NAME or
	// exec:COMMAND.
	MasterKey string

	IssuerName string          // iss of the built-in issuer; default: the name that the keystore has, "velonym" without one
	Audience   string          // aud of tokens; default "velonym"
	Trusted    []TrustedIssuer // other issuers whose tokens are accepted
	CacheSize  int             // verified tokens that are kept; default 4096
	Log        *slog.Logger    // default: none
}

// Engine is an open keystore with its issuer and verifier. It is safe for
// concurrent use.
type Engine struct {
	Keystore *Keystore
	Issuer   *Issuer
	Verifier *Verifier
}

// Open joins a store with its master key. A store that was just created is
// bound to that key; any other key is refused from then on. The store is closed
// when Open fails.
func Open(ctx context.Context, c Config) (*Engine, error) {
	if c.Store == nil {
		return nil, errors.New("engine: no store: give one of package sqlite or postgres")
	}
	if c.Audience == "" {
		c.Audience = token.DefaultAudience
	}
	e, err := open(ctx, c)
	if err != nil {
		return nil, errors.Join(err, c.Store.Close())
	}
	return e, nil
}

func open(ctx context.Context, c Config) (*Engine, error) {
	mk, err := keys.LoadMasterKey(ctx, c.MasterKey)
	if err != nil {
		return nil, err
	}
	ks, err := keys.New(ctx, c.Store, mk)
	if err != nil {
		return nil, err
	}
	seed, err := ks.IssuerSeed(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	if c.IssuerName == "" {
		info, err := ks.Issuer(ctx)
		if err != nil {
			return nil, err
		}
		c.IssuerName = info.Name
	}
	issuer, err := token.NewIssuer(seed, c.IssuerName, c.Audience)
	if err != nil {
		return nil, err
	}
	v, err := token.NewVerifier(token.Config{Keystore: ks, Issuer: issuer, Trusted: c.Trusted,
		Audience: c.Audience, CacheSize: c.CacheSize, Log: c.Log})
	if err != nil {
		return nil, err
	}
	return &Engine{Keystore: ks, Issuer: issuer, Verifier: v}, nil
}

// Close closes the verifier and the store and wipes the issuer's key. Grants
// that are still held keep their plans until they are released.
func (e *Engine) Close() error {
	e.Verifier.Close()
	e.Issuer.Close()
	return e.Keystore.Close()
}

// NewProject returns a project as the command makes it without flags: reversible, one
// identifier always one pseudonym (policy same), of form pair62, and with a grace of a
// week after retention, in which a wrong clock is noticed. [Engine.CreateProject] makes it.
func NewProject(name string, retention time.Time) Project {
	return Project{Name: name, Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62,
		Retention: retention.UTC().Truncate(time.Second), Grace: keys.DefaultGrace}
}

// CreateProject makes a project with a key domain for each of its organisations.
func (e *Engine) CreateProject(ctx context.Context, p Project) error {
	return e.Keystore.CreateProject(ctx, p, nil)
}

// CreateToken makes a token for a project; see [token.Issuer.Create].
func (e *Engine) CreateToken(ctx context.Context, r TokenRequest) (string, *Claims, error) {
	return e.Issuer.Create(ctx, e.Keystore, r)
}

// Verify says what a token grants for one of ops; see [token.Verifier.Verify].
func (e *Engine) Verify(ctx context.Context, token string, ops Ops) (*Grant, error) {
	return e.Verifier.Verify(ctx, []byte(token), ops)
}

// Local grants what a token of the project would, to the process that has the
// keystore open anyway; see [token.Verifier.Local].
func (e *Engine) Local(ctx context.Context, r LocalRequest) (*Grant, error) {
	return e.Verifier.Local(ctx, r)
}
