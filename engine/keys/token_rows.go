package keys

import "time"

// Revocation is a token that is refused, as a store keeps it.
type Revocation struct {
	JTI     string
	Expires time.Time // zero: never
}

// RevocationRule refuses every token of an issuer and a project that was issued
// before a time, as a store keeps it.
type RevocationRule struct {
	Issuer  string    // "": of any issuer
	Project string    // "": for any project
	Before  time.Time // whole seconds, as the claim iat
}

// IssuedToken is a token that the keystore's own issuer signed, as a store keeps it
// until the token has ended.
type IssuedToken struct {
	JTI       string
	Issuer    string
	KeyID     string // of the key that signed it
	Op        string
	Project   string
	Org       string
	Source    string // of a secondary operation
	SourceOrg string
	Issued    time.Time
	Expires   time.Time
	Max       int64 // values in its life; 0: no limit

	Seal []byte // of all the other fields
}

// TokenFilter selects issued tokens. Its zero members select all.
type TokenFilter struct {
	Project string // the target or the source
	Op      string
	Issuer  string
	After   time.Time // those that end later
	Before  time.Time // those that end no later
	Limit   int       // at most so many; 0: all
}

// TokenTx is the part of a [Tx] that has to do with tokens.
type TokenTx interface {
	// Revoke is idempotent and keeps the later time. Both it and SetRule store
	// change as the change in which they were called. Revocation says whether a
	// token is revoked.
	Revoke(jti string, exp time.Time, change uint64) error
	Revocation(jti string) (r Revocation, revoked bool, err error)
	// RevokedSince calls f for every revocation that was stored in a change later
	// than the one given, in no order. f does not keep jti.
	RevokedSince(change int64, f func(jti []byte, exp time.Time)) error
	// Rule returns a zero time where there is no such rule. Rules lists those
	// stored later than a change.
	Rule(issuer, project string) (before time.Time, err error)
	SetRule(r RevocationRule, change uint64) error
	Rules(change int64) ([]RevocationRule, error)

	// Spent returns 0 for an unknown jti. A zero exp means never dropped.
	Spent(jti string) (int64, error)
	SetSpent(jti string, spent int64, exp time.Time) error

	// AddIssued returns ErrExists for a jti that is there. Issued returns
	// ErrNotFound. IssuedTokens calls f for the tokens that a filter selects, by
	// end and jti, with the values of their budgets that are spent.
	AddIssued(t IssuedToken) error
	Issued(jti string) (IssuedToken, error)
	IssuedTokens(filter TokenFilter, f func(t IssuedToken, spent int64)) error

	// DropExpired deletes budgets and issued tokens that expired before t, and
	// about so many of the revocations that did, those that expired first. It
	// returns the revocations and a time up to t: all that expired before it are
	// deleted.
	DropExpired(t time.Time, most int) (dropped []Revocation, until time.Time, err error)
}
