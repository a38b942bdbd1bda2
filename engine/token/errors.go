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
	ForbiddenOperation = "FORBIDDEN_OPERATION" // a right token at the wrong place, or against the project's policy
	UnknownDomain      = "UNKNOWN_DOMAIN"      // no such project or organisation here
	RetentionExpired   = "RETENTION_EXPIRED"   // the link is severed for good
	QuotaExceeded      = "QUOTA_EXCEEDED"      // budget, rate or request limit
)

// Errors that are no verdict on a token.
var (
	// ErrUnavailable is wrapped by errors that a later call may not meet: the
	// keystore cannot be read. It says nothing of the token.
	ErrUnavailable = errors.New("token: the keystore cannot be read")
	// ErrClosed is returned by a Verifier after Close.
	ErrClosed = errors.New("token: verifier is closed")
)

// Error is a refusal. Its text never holds the token nor anything read from it.
type Error struct {
	Code       string        // one of the codes above
	Detail     string        // what is wrong, in a sentence fragment
	RetryAfter time.Duration // when the same call may pass; 0 when waiting does not help
}

func (e *Error) Error() string { return "token: " + e.Detail }

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
