package server

import (
	"errors"
	"strconv"
	"time"

	"github.com/velonym/velonym/csvfast/jsonfast"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
)

// code is the outcome of a request, an index of problems.
type code uint8

const (
	codeOK code = iota
	codeBadRequest
	codeMissingToken
	codeInvalidToken
	codeExpiredToken
	codeRevokedToken
	codeForbiddenOperation
	codeUnknownDomain
	codeRetentionExpired
	codeNotFound
	codeMethodNotAllowed
	codeTimeout
	codeTooLarge
	codeUnsupportedMediaType
	codeUnprocessableValues
	codeQuotaExceeded
	codeHeaderTooLarge
	codeInternal
	codeOverloaded
	codeUnavailable
	codeVersionNotSupported
	numCodes
)

// problems maps every outcome to what the client sees.
var problems = [numCodes]struct {
	status int
	name   string // the member code, and the label of the metric
	title  string
}{
	codeOK:                   {200, "OK", ""},
	codeBadRequest:           {400, "BAD_REQUEST", "The request cannot be read"},
	codeMissingToken:         {401, token.MissingToken, "A token is needed"},
	codeInvalidToken:         {401, token.InvalidToken, "The token is not valid here"},
	codeExpiredToken:         {401, token.ExpiredToken, "The token has expired"},
	codeRevokedToken:         {401, token.RevokedToken, "The token was revoked"},
	codeForbiddenOperation:   {403, token.ForbiddenOperation, "The token does not allow this"},
	codeUnknownDomain:        {403, token.UnknownDomain, "No such project or organisation here"},
	codeRetentionExpired:     {403, token.RetentionExpired, "The project's retention is over"},
	codeNotFound:             {404, "NOT_FOUND", "No such resource"},
	codeMethodNotAllowed:     {405, "METHOD_NOT_ALLOWED", "Method not allowed"},
	codeTimeout:              {408, "TIMEOUT", "The request came in too slowly"},
	codeTooLarge:             {413, token.TooLarge, "The request is too large"},
	codeUnsupportedMediaType: {415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"},
	codeUnprocessableValues:  {422, "UNPROCESSABLE_VALUES", "Some values cannot be transformed"},
	codeQuotaExceeded:        {429, token.QuotaExceeded, "The token's budget or rate is spent"},
	codeHeaderTooLarge:       {431, "HEADER_TOO_LARGE", "The request header is too large"},
	codeInternal:             {500, "INTERNAL", "The server failed"},
	codeOverloaded:           {503, "OVERLOADED", "More work in flight than the server takes"},
	codeUnavailable:          {503, "UNAVAILABLE", "The server cannot answer at the moment"},
	codeVersionNotSupported:  {505, "HTTP_VERSION_NOT_SUPPORTED", "This version of HTTP is not spoken here"},
}

func (c code) String() string { return problems[c].name }

// problem is a refusal, as RFC 9457 describes it.
type problem struct {
	code       code
	detail     string        // a sentence fragment; never holds a value, a token or a key
	retryAfter time.Duration // when the same request may succeed; 0: waiting does not help
	bearer     string        // error code of RFC 6750 for WWW-Authenticate, "" for none
	errors     []valueError  // the first bad values
	errorCount int           // number of all bad values
}

// valueError is one bad value.
type valueError struct {
	index  int
	column string // if the request names columns; index is then the row
	code   suite.Code
}

// maxErrors is the most bad values that are listed; error_count counts all of them.
const maxErrors = 100

func newProblem(c code, detail string) *problem { return &problem{code: c, detail: detail} }

// retryLater returns a problem with a Retry-After of one second, in which other requests
// end.
func retryLater(c code, detail string) *problem {
	return &problem{code: c, detail: detail, retryAfter: time.Second}
}

// tokenProblem translates an error of the verifier. A refusal has a row of its own in
// problems; any other error is a fault on our side, and fault is for the log alone.
func tokenProblem(err error) (p *problem, fault error) {
	var refused *token.Error
	if !errors.As(err, &refused) {
		return retryLater(codeUnavailable, "the keys cannot be read at the moment"), err
	}
	p = &problem{code: codeInvalidToken, detail: refused.Detail, retryAfter: refused.RetryAfter, bearer: refused.Bearer()}
	for c := codeMissingToken; c < numCodes; c++ {
		if problems[c].name == refused.Code {
			p.code = c
			break
		}
	}
	return p, nil
}

// syntaxProblem translates an error of csvfast's scanners, whose texts name the place and
// never hold a byte of the input.
func syntaxProblem(err error) *problem {
	var (
		j *jsonfast.SyntaxError
		c *csvfast.ParseError
	)
	if errors.As(err, &j) || errors.As(err, &c) {
		return newProblem(codeBadRequest, err.Error())
	}
	return newProblem(codeBadRequest, "the body cannot be read")
}

// appendJSON appends the problem as a JSON object (RFC 9457).
func (p *problem) appendJSON(b []byte) []byte {
	row := &problems[p.code]
	b = append(b, `{"type":"urn:velonym:problem:`...)
	b = append(b, row.name...)
	b = append(b, `","title":"`...)
	b = append(b, row.title...)
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(row.status), 10)
	b = append(b, `,"code":"`...)
	b = append(b, row.name...)
	b = append(b, '"')
	if p.detail != "" {
		b = append(b, `,"detail":"`...)
		b = jsonfast.AppendEscaped(b, []byte(p.detail))
		b = append(b, '"')
	}
	if p.errorCount > 0 {
		b = append(b, ',')
		b = appendErrors(b, p.errors, p.errorCount)
	}
	return append(b, '}', '\n')
}

// appendErrors appends the members errors and error_count.
func appendErrors(b []byte, list []valueError, count int) []byte {
	b = append(b, `"errors":[`...)
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = strconv.AppendInt(b, int64(e.index), 10)
		if e.column != "" {
			b = append(b, `,"column":"`...)
			b = jsonfast.AppendEscaped(b, []byte(e.column))
			b = append(b, '"')
		}
		b = append(b, `,"code":"`...)
		b = append(b, e.code.String()...)
		b = append(b, `"}`...)
	}
	b = append(b, `],"error_count":`...)
	return strconv.AppendInt(b, int64(count), 10)
}

// challenge returns the WWW-Authenticate header of RFC 6750 §3, or "" when the
// answer takes none.
func (p *problem) challenge() string {
	const realm = `Bearer realm="velonym"`
	switch {
	case p.bearer != "":
		return realm + `, error="` + p.bearer + `", error_description="` + quotable(p.detail) + `"`
	case p.code == codeMissingToken:
		return realm // RFC 6750 §3.1: no error code for a request without a token
	}
	return ""
}

// quotable replaces what error_description must not hold (RFC 6750 §3) by spaces: anything
// but printable ASCII, quotes and backslashes.
func quotable(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			b[i] = ' '
		}
	}
	return string(b)
}
