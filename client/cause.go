package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// errPermanent is a failure that another attempt would not change.
var errPermanent = errors.New("the server cannot be asked")

// cause returns why there is no answer. It does not use the library's texts, which can
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

// neverSent reports whether err of the HTTP client means that no byte of the request was
// sent, since the server could not be reached.
func neverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}
