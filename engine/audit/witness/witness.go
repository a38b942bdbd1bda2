// Package witness sends the signed heads of an audit log to other machines: to a syslog, or to
// a server that accepts JSON over HTTP. Whoever can write this machine's files can then not cut
// the log unnoticed.
package witness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/velonym/velonym/engine/audit"
)

// timeout bounds the time that a witness may take for a head. The next head covers the records
// of one that was missed.
const timeout = 10 * time.Second

// message is what a witness receives: a head and the name of its log.
type message struct {
	Log string `json:"log"` // machine and path
	audit.Head
}

// New returns a function that sends heads of the log of that name to the witness at place:
//
//	syslog:                   this machine's syslog
//	syslog://HOST[:PORT]      another one's, over UDP (RFC 5424, port 514)
//	syslog+tcp://HOST[:PORT]  the same over TCP (RFC 6587, port 601)
//	https://…                 a server that answers a POST of JSON with a status of 2xx;
//	                          http:// on this machine alone
//
// No error holds more of a URL than its scheme and host: the rest may be a secret.
func New(place, log string) (func(audit.Head) error, error) {
	u, err := url.Parse(place)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch {
	case u.Scheme == "syslog" && u.Host == "" && u.Opaque == "" && u.Path == "":
		return func(h audit.Head) error { return local(log, h) }, nil
	case u.Scheme == "syslog" && u.Hostname() != "":
		return remote("udp", port(u, "514"), log), nil
	case u.Scheme == "syslog+tcp" && u.Hostname() != "":
		return remote("tcp", port(u, "601"), log), nil
	case u.Scheme == "https" && u.Host != "", u.Scheme == "http" && isLocal(u.Hostname()):
		return webhook(u, log), nil
	case u.Scheme == "http":
		return nil, errors.New("heads are sent over https://; http:// is for this machine alone")
	}
	return nil, errors.New("write syslog:, syslog://HOST, syslog+tcp://HOST or https://…")
}

func port(u *url.URL, usual string) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), usual)
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// priority is that of every message: facility 10 (security), severity 5 (notice).
const priority = 10<<3 | 5

// text returns a head as one line of a syslog message.
func text(log string, h audit.Head) ([]byte, error) {
	b, err := json.Marshal(message{log, h})
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	return append([]byte("velonym audit head "), b...), nil
}

// local sends to this machine's syslog, in the format of its socket.
func local(log string, h audit.Head) error {
	body, err := text(log, h)
	if err != nil {
		return err
	}
	line := fmt.Appendf(nil, "<%d>%s velonym[%d]: %s", priority, time.Now().Format(time.Stamp), os.Getpid(), body)
	var errs []error
	for _, path := range []string{"/dev/log", "/var/run/syslog", "/var/run/log"} {
		for _, network := range []string{"unixgram", "unix"} {
			c, err := net.DialTimeout(network, path, timeout)
			if err == nil {
				return send(c, line)
			}
			errs = append(errs, err)
		}
	}
	return fmt.Errorf("witness: this machine has no syslog: %w", errors.Join(errs[0]))
}

// remote sends to another machine's syslog.
func remote(network, address, log string) func(audit.Head) error {
	return func(h audit.Head) error {
		body, err := text(log, h)
		if err != nil {
			return err
		}
		host, err := os.Hostname()
		if err != nil {
			host = "-"
		}
		line := fmt.Appendf(nil, "<%d>1 %s %s velonym %d audit-head - %s", priority, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), host, os.Getpid(), body)
		if network == "tcp" { // octet counting: the length precedes the message
			line = append(fmt.Appendf(nil, "%d ", len(line)), line...)
		}
		c, err := net.DialTimeout(network, address, timeout)
		if err != nil {
			return fmt.Errorf("witness: %w", err)
		}
		return send(c, line)
	}
}

func send(c net.Conn, line []byte) error {
	_ = c.SetDeadline(time.Now().Add(timeout))
	_, err := c.Write(line)
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	return nil
}

// webhook posts heads to a server. It follows no redirect.
func webhook(u *url.URL, log string) func(audit.Head) error {
	client := &http.Client{Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	place := u.Scheme + "://" + u.Host
	return func(h audit.Head) error {
		body, err := json.Marshal(message{log, h})
		if err != nil {
			return fmt.Errorf("witness: %w", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("witness: %s: the request cannot be made", place)
		}
		r.Header.Set("Content-Type", "application/json")
		a, err := client.Do(r)
		if err != nil {
			var of *url.Error
			if errors.As(err, &of) {
				err = of.Err // without the URL
			}
			return fmt.Errorf("witness: %s: %w", place, err)
		}
		defer a.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, 64<<10)) // so that the connection is used again
		if a.StatusCode/100 != 2 {
			return fmt.Errorf("witness: %s answered %d", place, a.StatusCode)
		}
		return nil
	}
}
