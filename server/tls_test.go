package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.pem, a.key = a.issue("authority", 1)
	block, _ := pem.Decode(a.pem)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	return a
}

// issue returns a certificate in PEM and its key. The first one, without a parent, signs
// itself.
func (a *authority) issue(name string, serial int64) ([]byte, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	parent, signer := a.cert, a.key
	if parent == nil {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

// files issues a certificate and writes it and its key to NAME.crt and NAME.key in dir.
func (a *authority) files(dir, name string, serial int64) (cert, key string, pair tls.Certificate) {
	c, k := a.issue(name, serial)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	kp := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for f, b := range map[string][]byte{cert: c, key: kp} {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	if pair, err = tls.X509KeyPair(c, kp); err != nil {
		a.t.Fatal(err)
	}
	return cert, key, pair
}

// TestTLS serves with client certificates: who is refused, reloads on demand and by the
// time of the files, and connections without a handshake.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t)
	caFile := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(caFile, ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key, _ := ca.files(dir, "server", 2)
	_, _, clientPair := ca.files(dir, "client", 3)
	conf, err := LoadTLS(cert, key, caFile)
	if err != nil {
		t.Fatal(err)
	}
	reloaded := 0
	r := newRig(t, func(c *Config) {
		c.TLS, c.MaxBody = conf, 1<<20
		c.OnReload = []ReloadHook{{"other", func() error { reloaded++; return nil }}}
	})
	r.url = "https://" + r.addr
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.pem)
	client := func(c *tls.Config) *http.Client {
		c.RootCAs = pool
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableCompression: true}, Timeout: awaitLimit}
		t.Cleanup(h.CloseIdleConnections)
		return h
	}
	with := &tls.Config{Certificates: []tls.Certificate{clientPair}}
	r.client = client(with)
	tok := r.token("pseudonymise", nil)
	serial := func() int64 {
		c, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{clientPair}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	a := r.post(forwardPath, tok, csvType, strings.Repeat("12345678,", 50_000))
	if len(a.strings(t)) != 50_001 || a.header.Get("Strict-Transport-Security") == "" {
		t.Error("a call over TLS: another number of values, or no Strict-Transport-Security")
	}
	r.post(forwardPath, tok, csvType, strings.Repeat("1", 8<<20)).problem(t, 413, "TOO_LARGE")
	if _, err := client(&tls.Config{}).Get(r.url + "/healthz"); err == nil {
		t.Error("a client without a certificate is served")
	}
	if _, err := client(&tls.Config{Certificates: with.Certificates, MaxVersion: tls.VersionTLS11}).Get(r.url + "/healthz"); err == nil {
		t.Error("TLS 1.1 is served")
	}
	if serial() != 2 {
		t.Error("the server does not use the certificate of its file")
	}
	ca.files(dir, "server", 7)
	if err := r.srv.Reload(); err != nil || serial() != 7 || reloaded != 1 {
		t.Errorf("after a reload: %v, certificate %d, %d hooks called, want certificate 7 and one hook", err, serial(), reloaded)
	}
	if err := os.WriteFile(key, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.srv.Reload(); err == nil || serial() != 7 {
		t.Errorf("a reload of a broken key: %v, certificate %d, want an error and certificate 7", err, serial())
	}
	// Without Reload, a file with a new modification time is read again: first a broken
	// pair, which is logged once, then a good one.
	touch := func(minutes int) {
		t.Helper()
		later := time.Now().Add(time.Duration(minutes) * time.Minute)
		if err := errors.Join(os.Chtimes(cert, later, later), os.Chtimes(key, later, later)); err != nil {
			t.Fatal(err)
		}
		conf.mu.Lock()
		conf.checked = time.Time{}
		conf.mu.Unlock()
	}
	const complaint = `"reload: failed, and the old one stays in use","what":"certificate"`
	before := strings.Count(r.log.String(), complaint)
	touch(1)
	if serial() != 7 {
		t.Error("a broken key replaced the certificate")
	}
	conf.mu.Lock()
	conf.checked = time.Time{}
	conf.mu.Unlock()
	if serial() != 7 || strings.Count(r.log.String(), complaint) != before+1 {
		t.Errorf("a broken key is logged %d times, want once; certificate %d, want 7", strings.Count(r.log.String(), complaint)-before, serial())
	}
	ca.files(dir, "server", 9)
	touch(2)
	if serial() != 9 || !strings.Contains(r.log.String(), `"reload: done","what":"certificate"`) {
		t.Error("a changed file is not read, or the reload is not logged")
	}
	// A request without a handshake is not answered.
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	b, _ := io.ReadAll(c)
	if bytes.Contains(b, []byte("200")) {
		t.Errorf("a request without TLS is answered: %q", b)
	}
}
