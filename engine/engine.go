// Package engine is the API for programs that embed Velonym: it opens a keystore, creates
// and verifies tokens, and turns batches of identifiers into pseudonyms and back. It
// gathers the types and functions of the packages below it under one name.
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
// For many values, [Grant].Spend and then Plan.Transform of a [Batch] avoid a string per
// value. The values are in one arena of bytes with spans (offset and length of every
// value), so that a batch of a million values takes one call and no allocation per value.
// A reused batch allocates nothing.
//
// # Stores
//
// A keystore is one SQLite file (package engine/keys/sqlite) or a PostgreSQL database
// (engine/keys/postgres); a program links the one that it imports. Several programs may
// have the same keystore open. A revocation, a rotation or a severing by one of them takes
// effect in the others within a second.
//
// # Errors
//
// A refused token is a [TokenError] with a code. A value that cannot be transformed is in
// [Batch].Bad with its index and code, and has no result; the other values do. Errors never
// hold a value, a token or a key.
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

// NewMasterKeyFile writes a new master key to a new file of mode 0600. Without it no
// pseudonym can be reversed.
func NewMasterKeyFile(path string) error { return keys.NewMasterKeyFile(path) }

// Config configures Open.
type Config struct {
	// Store is an open store: of sqlite.Create, sqlite.Open or postgres.Open.
	// The engine closes it.
	Store Store
	// MasterKey is where the master key comes from: a file, env:NAME or
	// exec:COMMAND.
	MasterKey string

	IssuerName string          // iss of the built-in issuer; default: the keystore's, or "velonym"
	Audience   string          // aud of tokens; default "velonym"
	Trusted    []TrustedIssuer // other issuers whose tokens are accepted
	CacheSize  int             // verified tokens that are cached; default 4096
	Log        *slog.Logger    // default: none
}

// Engine is an open keystore with its issuer and verifier. It is safe for
// concurrent use.
type Engine struct {
	Keystore *Keystore
	Issuer   *Issuer
	Verifier *Verifier
}

// Open opens the keystore in a store with its master key. It binds a new store to that key;
// any other key is refused from then on. If Open fails it closes the store.
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

// Close closes the verifier and the store and wipes the issuer's key. Grants that are not
// released yet keep their plans until they are.
func (e *Engine) Close() error {
	e.Verifier.Close()
	e.Issuer.Close()
	return e.Keystore.Close()
}

// NewProject returns a project with the defaults of `velonym project create`: reversible,
// the same pseudonym for the same identifier (policy same), form pair62, and a grace of a
// week after the retention, in which a wrong clock is noticed. [Engine.CreateProject]
// creates it.
func NewProject(name string, retention time.Time) Project {
	return Project{Name: name, Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62,
		Retention: retention.UTC().Truncate(time.Second), Grace: keys.DefaultGrace}
}

// CreateProject creates a project with a key domain for each of its organisations.
func (e *Engine) CreateProject(ctx context.Context, p Project) error {
	return e.Keystore.CreateProject(ctx, p, nil)
}

// CreateToken creates a token for a project; see [token.Issuer.Create].
func (e *Engine) CreateToken(ctx context.Context, r TokenRequest) (string, *Claims, error) {
	return e.Issuer.Create(ctx, e.Keystore, r)
}

// Verify returns what a token grants for one of ops; see [token.Verifier.Verify].
func (e *Engine) Verify(ctx context.Context, token string, ops Ops) (*Grant, error) {
	return e.Verifier.Verify(ctx, []byte(token), ops)
}

// Local returns what a token of the project would grant, without a token, to the process
// that has the keystore open; see [token.Verifier.Local].
func (e *Engine) Local(ctx context.Context, r LocalRequest) (*Grant, error) {
	return e.Verifier.Local(ctx, r)
}
