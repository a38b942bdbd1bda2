package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TLS is a certificate that follows its files, and how to serve with it:
// TLS 1.2 or later, the library's own choice of suites.
type TLS struct {
	cert, key, clients string
	current            atomic.Pointer[tls.Certificate]
	pool               atomic.Pointer[x509.CertPool]

	mu      sync.Mutex
	stamp   [3]time.Time // of what is in use
	failed  [3]time.Time // of what could not be used, and was said
	checked time.Time
}

// certLook is how often, at most, the files are looked at for a change.
const certLook = 5 * time.Second

// LoadTLS reads a certificate chain and its key (PEM). clientCA, when not
// empty, names the authorities (PEM) of which every client must show a
// certificate. A change of the files is noticed within a few seconds of use and
// at Reload; files that cannot be used leave the old certificate in place.
func LoadTLS(cert, key, clientCA string) (*TLS, error) {
	t := &TLS{cert: cert, key: key, clients: clientCA}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the files again.
func (t *TLS) Reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checked = time.Now()
	return t.take(t.times())
}

// take loads the files, which changed at the given times.
func (t *TLS) take(at [3]time.Time) error {
	if err := t.load(); err != nil {
		t.failed = at
		return err
	}
	t.stamp, t.failed = at, [3]time.Time{}
	return nil
}

func (t *TLS) load() error {
	pair, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return fmt.Errorf("server: certificate %s with key %s: %w", t.cert, t.key, err)
	}
	if t.clients != "" {
		pem, err := os.ReadFile(t.clients)
		if err != nil {
			return fmt.Errorf("server: client authorities: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return errors.New("server: client authorities: no PEM certificate in " + t.clients)
		}
		t.pool.Store(pool)
	}
	t.current.Store(&pair)
	return nil
}

// times are when the files last changed.
func (t *TLS) times() (at [3]time.Time) {
	for i, name := range []string{t.cert, t.key, t.clients} {
		if fi, err := os.Stat(name); name != "" && err == nil {
			at[i] = fi.ModTime()
		}
	}
	return at
}

// follow reads changed files and says so. A pair of files that does not fit yet,
// because only one was replaced so far, is tried again at the next look, and is said
// once.
func (t *TLS) follow(log *slog.Logger) {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.checked) < certLook {
		return
	}
	t.checked = now
	at, said := t.times(), t.failed
	if at == t.stamp {
		return
	}
	if err := t.take(at); err == nil || at != said {
		logReload(log, "certificate", err)
	}
}

func (t *TLS) listener(ln net.Listener, log *slog.Logger) net.Listener {
	base := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			t.follow(log)
			return t.current.Load(), nil
		},
	}
	if t.clients != "" {
		base.ClientAuth = tls.RequireAndVerifyClientCert
		with := base.Clone()
		base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			t.follow(log)
			c := with.Clone()
			c.ClientCAs = t.pool.Load()
			return c, nil
		}
	}
	return tls.NewListener(ln, base)
}
