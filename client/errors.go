package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrContract is an answer that violates the contract. Nothing of it is used.
var ErrContract = errors.New("the answer is not what the contract says")

var errTooLong = errors.New("the answer is far longer than pseudonyms would be")

// BatchError is a batch that the server did not do.
type BatchError struct {
	First  int // index of its first value
	Values int
	Err    error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("server: the batch of %d values that starts here: %v", e.Values, e.Err)
}

func (e *BatchError) Unwrap() error { return e.Err }

// StatusError is an answer other than success.
type StatusError struct {
	Status     int
	Code       string        // the contract's; "" if the answer has none, like a proxy's page
	RetryAfter time.Duration // how long the server asks to wait; 0: no Retry-After
}

// Error returns the status and its code, and no text that could hold a value.
func (e *StatusError) Error() string {
	name := e.Code
	if name == "" {
		name = http.StatusText(e.Status)
	}
	hint := ""
	switch {
	case e.Status >= 300 && e.Status < 400:
		hint = ": a redirect, which is not followed: give the address that it leads to"
	case e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed:
		hint = ": is the URL that of the server, with its base path?"
	}
	return fmt.Sprintf("answered %d %s%s", e.Status, name, hint)
}

// TokenEnded reports whether the token is no longer usable, and whether a new token for
// the same work would be. A spent budget has no Retry-After, a rate limit has one.
func (e *StatusError) TokenEnded() (ended, renewable bool) {
	switch {
	case e.Status == http.StatusUnauthorized && e.Code == "EXPIRED_TOKEN", e.Status == http.StatusTooManyRequests && e.Code == "QUOTA_EXCEEDED" && e.RetryAfter <= 0:
		return true, true
	case e.Status == http.StatusUnauthorized && e.Code == "REVOKED_TOKEN", e.Status == http.StatusForbidden && e.Code != "":
		return true, false
	}
	return false, false
}

func statusError(status int, answer []byte, wait time.Duration) *StatusError {
	return &StatusError{status, codeIn(answer), wait}
}

// codeIn returns the contract's code in an answer, or "".
func codeIn(answer []byte) string {
	var p struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(answer, &p) != nil || !slices.Contains(contractCodes, p.Code) {
		return ""
	}
	return p.Code
}

// contractCodes are the codes that errors show; any other text could be a value.
var contractCodes = strings.Fields(`BAD_REQUEST MISSING_TOKEN INVALID_TOKEN EXPIRED_TOKEN REVOKED_TOKEN
	FORBIDDEN_OPERATION UNKNOWN_DOMAIN RETENTION_EXPIRED NOT_FOUND METHOD_NOT_ALLOWED TIMEOUT
	TOO_LARGE HEADER_TOO_LARGE UNSUPPORTED_MEDIA_TYPE UNPROCESSABLE_VALUES QUOTA_EXCEEDED
	INTERNAL UNAVAILABLE OVERLOADED HTTP_VERSION_NOT_SUPPORTED`)

// The codes of single values.
const (
	NotAPseudonym = "NOT_A_PSEUDONYM"
	ValueNotText  = "VALUE_NOT_TEXT"
)

var valueCodes = strings.Fields(NotAPseudonym + " " + ValueNotText + ` VALUE_TOO_LONG VALUE_NOT_IN_ALPHABET
	VALUE_LENGTH VALUE_EMPTY NOT_A_STRING`)

// valueCode returns a code of the contract for a single value; unknown ones are NotAPseudonym.
func valueCode(s string) string {
	if slices.Contains(valueCodes, s) {
		return s
	}
	return NotAPseudonym
}

// ValueError is why the value Index has no result.
type ValueError struct {
	Index int
	Code  string
}

// ValuesError is the error of values that cannot be transformed.
type ValuesError struct {
	Errors []ValueError // those that the server named, ascending
}

func (e *ValuesError) Error() string {
	return fmt.Sprintf("server: %d values cannot be transformed; the first is value %d: %s", len(e.Errors), e.Errors[0].Index, e.Errors[0].Code)
}
