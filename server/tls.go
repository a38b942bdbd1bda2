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

// TLS is a certificate that is loaded again when its files change. It serves TLS 1.2 or
// later with the cipher suites that crypto/tls chooses.
type TLS struct {
	cert, key, clients string
	current            atomic.Pointer[tls.Certificate]
	pool               atomic.Pointer[x509.CertPool]

	mu      sync.Mutex
	loaded  [3]time.Time // modification times of the files in use
	failed  [3]time.Time // those of files that could not be used, which is logged
	checked time.Time
}

// certCheckInterval is the least time between two checks of the files for a change.
const certCheckInterval = 5 * time.Second

// LoadTLS reads a certificate chain and its key (PEM). If clientCA is not empty, every
// client must show a certificate of one of the authorities in that file (PEM). Changed
// files are loaded within a few seconds of use and at Reload; files that cannot be used
// leave the old certificate in place.
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
	return t.loadAt(t.modTimes())
}

// loadAt loads the files, whose modification times are at.
func (t *TLS) loadAt(at [3]time.Time) error {
	if err := t.load(); err != nil {
		t.failed = at
		return err
	}
	t.loaded, t.failed = at, [3]time.Time{}
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

// modTimes returns the modification times of the files.
func (t *TLS) modTimes() (at [3]time.Time) {
	for i, name := range []string{t.cert, t.key, t.clients} {
		if fi, err := os.Stat(name); name != "" && err == nil {
			at[i] = fi.ModTime()
		}
	}
	return at
}

// reloadIfChanged loads changed files and logs it. A certificate and key that do not match
// yet, because only one of them was replaced so far, are tried again at the next check and
// logged once.
func (t *TLS) reloadIfChanged(log *slog.Logger) {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	now := time.Now()
	if now.Sub(t.checked) < certCheckInterval {
		return
	}
	t.checked = now
	at, logged := t.modTimes(), t.failed
	if at == t.loaded {
		return
	}
	if err := t.loadAt(at); err == nil || at != logged {
		logReload(log, "certificate", err)
	}
}

func (t *TLS) listener(ln net.Listener, log *slog.Logger) net.Listener {
	base := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			t.reloadIfChanged(log)
			return t.current.Load(), nil
		},
	}
	if t.clients != "" {
		base.ClientAuth = tls.RequireAndVerifyClientCert
		with := base.Clone()
		base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			t.reloadIfChanged(log)
			c := with.Clone()
			c.ClientCAs = t.pool.Load()
			return c, nil
		}
	}
	return tls.NewListener(ln, base)
}
