package token

import (
	"errors"
	"time"
)

// Codes of refused tokens, as the HTTP contract names them.
const (
	MissingToken       = "MISSING_TOKEN"       // no token was given
	InvalidToken       = "INVALID_TOKEN"       // not a token, not signed by a trusted issuer, or not for here and now
	ExpiredToken       = "EXPIRED_TOKEN"       // exp has passed
	RevokedToken       = "REVOKED_TOKEN"       // the operator revoked it
	ForbiddenOperation = "FORBIDDEN_OPERATION" // valid, but not for this endpoint, or against the project's policy
	UnknownDomain      = "UNKNOWN_DOMAIN"      // no such project or organisation here
	RetentionExpired   = "RETENTION_EXPIRED"   // the link is severed for good
	QuotaExceeded      = "QUOTA_EXCEEDED"      // budget or rate
	TooLarge           = "TOO_LARGE"           // more values in one request than psn.lim.req allows
)

// Errors that say nothing about the token.
var (
	// ErrUnavailable is wrapped by errors of reading the keystore; a later call may
	// succeed.
	ErrUnavailable = errors.New("token: the keystore cannot be read")
	// ErrClosed is returned by a Verifier after Close.
	ErrClosed = errors.New("token: verifier is closed")
)

// Kinds of refusals that can interrupt a long job. errors.Is(err, ErrExpired) holds for
// every *Error of that kind.
var (
	ErrExpired       = errors.New("token: expired")
	ErrRevoked       = errors.New("token: revoked")
	ErrBudgetSpent   = errors.New("token: the budget psn.lim.max is spent")
	ErrRetentionOver = errors.New("token: the retention is over")
)

// Details of refusals: the fault and its remedy. They name claims, never their values.
const (
	noProject      = "no such project in this keystore: psn.dom or psn.src of the token, or --project, names one that was never created here, or the token is for another keystore; 'velonym project list' shows those there are"
	noOrganisation = "the project does not list this organisation: psn.dom or psn.src of the token, or --org, names one that 'velonym project show' does not; have the token made for one that it does"
	noDomain       = "no such key domain in this keystore: the token is for another one, or for an organisation that the project does not list"
	noGeneration   = "the key domain has no living generation of the number in psn.gen: leave psn.gen out, or name one that 'velonym project show' lists"
	retentionOver  = "the project's retention is over: nothing of it can be made or reversed any more, by anyone"
	noActive       = "the key domain has no active generation: nothing new can be made; 'velonym project rotate' makes one"
	wrongEndpoint  = "the token is for another operation than this endpoint's: /api/request-psn takes pseudonymise and secondary, /api/request-psn-rev takes reverse"
	budgetSpent    = "the token's budget psn.lim.max is spent: go on with a new token"
	tokenExpired   = "the token has expired: ask for a new one"
	tokenRevoked   = "the token was revoked: ask for a new one"
)

// Error is a refusal. Its text holds nothing of the token but its limits.
type Error struct {
	Code       string        // one of the codes above
	Detail     string        // what is wrong, in a sentence fragment
	RetryAfter time.Duration // when the same call may pass; 0 when waiting does not help
}

func (e *Error) Error() string { return "token: " + e.Detail }

// Is reports whether e is of one of the kinds ErrExpired, ErrRevoked,
// ErrBudgetSpent and ErrRetentionOver.
func (e *Error) Is(kind error) bool {
	switch kind {
	case ErrExpired:
		return e.Code == ExpiredToken
	case ErrRevoked:
		return e.Code == RevokedToken
	case ErrBudgetSpent:
		return e.Code == QuotaExceeded && e.RetryAfter == 0
	case ErrRetentionOver:
		return e.Code == RetentionExpired
	}
	return false
}

// Resumable reports whether a job can continue with another token for the same key
// domain: true if this one has expired or its budget is spent. It is false for a
// revoked token and an ended retention, after which nothing of the job may be kept.
func (e *Error) Resumable() bool { return e.Is(ErrExpired) || e.Is(ErrBudgetSpent) }

// Bearer returns the error code of RFC 6750 §3.1 for the WWW-Authenticate
// header: "invalid_token", "insufficient_scope", or "" when no token was given
// or the token is not at fault.
func (e *Error) Bearer() string {
	switch e.Code {
	case InvalidToken, ExpiredToken, RevokedToken:
		return "invalid_token"
	case ForbiddenOperation, UnknownDomain, RetentionExpired:
		return "insufficient_scope"
	}
	return ""
}

func refuse(code, detail string) *Error { return &Error{Code: code, Detail: detail} }

func invalid(detail string) *Error { return refuse(InvalidToken, detail) }
