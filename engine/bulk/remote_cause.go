package bulk

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errPermanent is a failure that another attempt would meet again.
var errPermanent = errors.New("the server cannot be asked")

// cause returns why there is no answer. It uses none of the library's texts, which can
// hold bytes that the server sent.
func cause(err error) error {
	var (
		dns     *net.DNSError
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		errno   syscall.Errno
		timeout net.Error
	)
	switch {
	case errors.Is(err, errTooLong):
		return errTooLong
	case errors.As(err, &dns):
		return errors.New("the host name cannot be resolved (DNS)")
	case errors.As(err, &host):
		return fmt.Errorf("%w: TLS: its certificate is for another host name", errPermanent)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: TLS: its certificate is signed by an authority that this machine does not trust", errPermanent)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: TLS: its certificate has expired, or is not valid yet", errPermanent)
	case errors.As(err, &verify), errors.As(err, &invalid):
		return fmt.Errorf("%w: TLS: its certificate cannot be verified", errPermanent)
	case errors.As(err, &record), strings.HasSuffix(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%w: TLS: it does not speak it: write http:// if that is meant", errPermanent)
	case errors.As(err, &alert):
		return fmt.Errorf("%w: TLS: it refuses the handshake", errPermanent)
	case errors.As(err, &errno):
		return errors.New(errno.Error()) // connection refused, no route to host, …
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errors.New("the connection was closed before the answer was complete")
	}
	return errors.New("the connection failed, or the answer is not HTTP")
}

// statusError words a refusal: the status and its code, nothing that the server
// could have taken from the values.
func statusError(status int, answer []byte) error {
	name := codeIn(answer)
	if name == "" {
		name = http.StatusText(status)
	}
	hint := ""
	switch {
	case status >= 300 && status < 400:
		hint = ": a redirect, which is not followed: give the address that it leads to"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		hint = ": is the URL that of the server, with its base path?"
	}
	return fmt.Errorf("answered %d %s%s", status, name, hint)
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

// tokenOver is a server's refusal to do more for a token.
type tokenOver struct {
	err   error
	again bool // another token for the same work can go on
}

func (e *tokenOver) Error() string   { return e.err.Error() }
func (e *tokenOver) Unwrap() error   { return e.err }
func (e *tokenOver) Resumable() bool { return e.again }

// tokenOverOf returns an error if an answer says that the token can do no more, else nil.
// Servers answer a spent budget without Retry-After, and a rate limit with it.
func tokenOverOf(status int, answer []byte, wait time.Duration, err error) error {
	switch code := codeIn(answer); {
	case status == http.StatusUnauthorized && code == "EXPIRED_TOKEN", status == http.StatusTooManyRequests && code == "QUOTA_EXCEEDED" && wait <= 0:
		return &refusal{&tokenOver{fmt.Errorf("%w: have another token made for the same work", err), true}}
	case status == http.StatusUnauthorized && code == "REVOKED_TOKEN", status == http.StatusForbidden && code != "":
		return &refusal{&tokenOver{err, false}}
	}
	return nil
}

// contractCodes are the codes that are repeated; another text could be a value.
var contractCodes = strings.Fields(`BAD_REQUEST MISSING_TOKEN INVALID_TOKEN EXPIRED_TOKEN REVOKED_TOKEN
	FORBIDDEN_OPERATION UNKNOWN_DOMAIN RETENTION_EXPIRED NOT_FOUND METHOD_NOT_ALLOWED TIMEOUT
	TOO_LARGE HEADER_TOO_LARGE UNSUPPORTED_MEDIA_TYPE UNPROCESSABLE_VALUES QUOTA_EXCEEDED
	INTERNAL UNAVAILABLE OVERLOADED HTTP_VERSION_NOT_SUPPORTED`)
