package keys

import "time"

// Revocation is the stored row of a revoked token.
type Revocation struct {
	JTI     string
	Expires time.Time // the token's end; zero for never
}

// RevocationRule is the stored row of a rule that revokes every token of an issuer and a
// project that was issued before a time.
type RevocationRule struct {
	Issuer  string    // "" for any issuer
	Project string    // "" for any project
	Before  time.Time // whole seconds, as the claim iat
}

// IssuedToken is the stored row of a token that the keystore's own issuer signed. The
// store keeps it until the token has ended.
type IssuedToken struct {
	JTI       string
	Issuer    string
	KeyID     string // key that signed it
	Op        string
	Project   string
	Org       string
	Source    string // source project of a secondary operation
	SourceOrg string
	Issued    time.Time
	Expires   time.Time
	Max       int64 // budget of values; 0 for no limit

	Seal []byte // HMAC of all other fields
}

// TokenFilter selects issued tokens. A zero field selects all.
type TokenFilter struct {
	Project string // target or source
	Op      string
	Issuer  string
	After   time.Time // tokens that end after it
	Before  time.Time // tokens that end at or before it
	Limit   int       // largest number of tokens; 0 for all
}

// TokenTx is the part of a [Tx] that concerns tokens.
type TokenTx interface {
	// Revoke is idempotent and keeps the later expiry. Revoke and SetRule store
	// change as the number of the change that calls them. Revocation reports
	// whether a token is revoked.
	Revoke(jti string, exp time.Time, change uint64) error
	Revocation(jti string) (r Revocation, revoked bool, err error)
	// RevokedSince calls f, in no particular order, for every revocation stored by
	// a later change than the given one. f must not keep jti.
	RevokedSince(change int64, f func(jti []byte, exp time.Time)) error
	// Rule returns a zero time if there is no such rule. Rules lists those stored
	// by a later change than the given one.
	Rule(issuer, project string) (before time.Time, err error)
	SetRule(r RevocationRule, change uint64) error
	Rules(change int64) ([]RevocationRule, error)

	// Spent returns 0 for an unknown jti. A budget with a zero exp is never dropped.
	Spent(jti string) (int64, error)
	SetSpent(jti string, spent int64, exp time.Time) error

	// AddIssued returns ErrExists for a known jti. Issued returns ErrNotFound.
	// IssuedTokens calls f for the tokens that a filter selects, by end and jti,
	// with the spent part of their budgets.
	AddIssued(t IssuedToken) error
	Issued(jti string) (IssuedToken, error)
	IssuedTokens(filter TokenFilter, f func(t IssuedToken, spent int64)) error

	// Expired reports whether DropExpired has something to delete.
	Expired(t time.Time) (bool, error)
	// DropExpired deletes up to most of the budgets and of the issued tokens that
	// expired before t, and about most of the revocations that did, the earliest first.
	// It returns the deleted revocations, a time until <= t such that every revocation
	// that expired before until is deleted, and whether there may be more to delete.
	DropExpired(t time.Time, most int) (dropped []Revocation, until time.Time, more bool, err error)
}
