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
)

// errForGood is a failure that asking again does not mend.
var errForGood = errors.New("the server cannot be asked")

// cause words why there is no answer. Nothing of the library's text is in it: that
// can hold bytes that the server sent.
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
		return fmt.Errorf("%w: TLS: its certificate is for another host name", errForGood)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: TLS: its certificate is signed by an authority that this machine does not trust", errForGood)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: TLS: its certificate has expired, or is not valid yet", errForGood)
	case errors.As(err, &verify), errors.As(err, &invalid):
		return fmt.Errorf("%w: TLS: its certificate cannot be verified", errForGood)
	case errors.As(err, &record), strings.HasSuffix(err.Error(), "server gave HTTP response to HTTPS client"):
		return fmt.Errorf("%w: TLS: it does not speak it: write http:// if that is meant", errForGood)
	case errors.As(err, &alert):
		return fmt.Errorf("%w: TLS: it refuses the handshake", errForGood)
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
	var p struct {
		Code string `json:"code"`
	}
	name := http.StatusText(status)
	if json.Unmarshal(answer, &p) == nil && slices.Contains(contractCodes, p.Code) {
		name = p.Code
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

// contractCodes are the codes that are repeated; another text could be a value.
var contractCodes = strings.Fields(`BAD_REQUEST MISSING_TOKEN INVALID_TOKEN EXPIRED_TOKEN REVOKED_TOKEN
	FORBIDDEN_OPERATION UNKNOWN_DOMAIN RETENTION_EXPIRED NOT_FOUND METHOD_NOT_ALLOWED TIMEOUT
	TOO_LARGE HEADER_TOO_LARGE UNSUPPORTED_MEDIA_TYPE UNPROCESSABLE_VALUES QUOTA_EXCEEDED
	INTERNAL UNAVAILABLE OVERLOADED HTTP_VERSION_NOT_SUPPORTED`)
