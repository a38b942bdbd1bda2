package postgres

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
)

// authority is a certificate with its key, which signs others.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority writes a self-signed certificate to a file.
func newAuthority(t *testing.T, path string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a := authority{c, key}
	cert, _ := a.sign(t, c, key)
	if a.cert, err = x509.ParseCertificate(cert.Bytes); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(cert), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign returns the certificate of a key, and the key.
func (a authority) sign(t *testing.T, c *x509.Certificate, key *ecdsa.PrivateKey) (cert, private *pem.Block) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}
}

// server returns a server's certificate for 127.0.0.1 and its key, in PEM.
func (a authority) server(t *testing.T, notAfter time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, private := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, k)
	return string(pem.EncodeToMemory(c)), string(pem.EncodeToMemory(private))
}

// tlsServer is a server on 127.0.0.1 whose TLS a test changes.
type tlsServer struct {
	c    *pgx.Conn
	port int
}

// use makes the server use a certificate from now on, or no TLS without one, and waits
// until it does.
func (s *tlsServer) use(t *testing.T, cert, key string) {
	t.Helper()
	if cert != "" {
		for name, text := range map[string]string{"server.crt": cert, "server.key": key} {
			// The program runs as the server's user, in its data folder.
			if _, err := s.c.Exec(t.Context(), "COPY (SELECT unnest(string_to_array('"+text+"', chr(10)))) TO PROGRAM 'umask 077; cat > "+name+"'"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, q := range []string{fmt.Sprintf("ALTER SYSTEM SET ssl = %t", cert != ""), "SELECT pg_reload_conf()"} {
		if _, err := s.c.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := pem.Decode([]byte(cert))
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		got := s.certificate(t)
		if want == nil && got == nil || want != nil && bytes.Equal(got, want.Bytes) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the server does not use its new settings")
		}
	}
}

// certificate returns the server's certificate, nil if it does no TLS.
func (s *tlsServer) certificate(t *testing.T) []byte {
	t.Helper()
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := []byte{0}
	if _, err = c.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err == nil { // SSLRequest
		_, err = io.ReadFull(c, answer)
	}
	if err != nil || answer[0] != 'S' {
		return nil
	}
	over := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it only looks
	if over.Handshake() != nil {
		return nil
	}
	return over.ConnectionState().PeerCertificates[0].Raw
}

// TestTLSServer: with a root, a keystore opens only on the server whose certificate the
// root signed, for its name. Errors say what is wrong and what to do, and never show the
// password.
func TestTLSServer(t *testing.T) {
	const password = "correct-horse-battery"
	socket, _, port := pgtest.OnLoopback(t, password)
	c, err := pgx.Connect(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	s := &tlsServer{c, port}
	dir := t.TempDir()
	root, otherRoot := filepath.Join(dir, "root.pem"), filepath.Join(dir, "other.pem")
	right := newAuthority(t, root)
	newAuthority(t, otherRoot)
	cert, key := right.server(t, time.Now().Add(time.Hour))
	s.use(t, cert, key)
	try := func(host, password, root string, open func(string) (keys.Store, error)) error {
		t.Helper()
		address, err := WithTLSRoot(fmt.Sprintf("postgres://velonym:%s@%s:%d/postgres", password, host, port), root)
		if err != nil {
			return err
		}
		st, err := open(address)
		if err == nil {
			err = st.Close()
		}
		return err
	}
	open := func(address string) (keys.Store, error) { return Open(t.Context(), address) }
	create := func(address string) (keys.Store, error) { return Create(t.Context(), address) }
	for _, do := range []func(string) (keys.Store, error){create, open} {
		if err := try("127.0.0.1", password, root, do); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		host, password, root string
		want                 []string
	}{
		"another authority": {"127.0.0.1", password, otherRoot, []string{"not signed by an authority in the file of --tls-root"}},
		"another name":      {"localhost", password, root, []string{"for another name", "localhost"}},
		"another password":  {"127.0.0.1", "another-password", root, []string{"does not let this user in", "password authentication failed"}},
		"no file":           {"127.0.0.1", password, filepath.Join(dir, "none.pem"), []string{"none.pem"}},
	} {
		check(t, name, try(tc.host, tc.password, tc.root, open), tc.password, tc.want...)
	}

	s.use(t, "", "")
	check(t, "no TLS", try("127.0.0.1", password, root, open), password, "does not offer TLS", "ssl = on")
	expired, key := right.server(t, time.Now().Add(-time.Hour))
	s.use(t, expired, key)
	check(t, "expired", try("127.0.0.1", password, root, open), password, "has expired")
}

// check verifies that an error is ErrUnreadable or of a file, says what it should in one
// line, and does not show the password.
func check(t *testing.T, name string, err error, password string, want ...string) {
	t.Helper()
	if !errors.Is(err, keys.ErrUnreadable) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", name, err)
		return
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v; want %q", name, err, text)
		}
	}
	if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: the error shows the password or has several lines: %v", name, err)
	}
}

// TestTLSRootVerifiesServer checks, for every form of address, that a root makes the connection
// verify the server's certificate and changes nothing else.
func TestTLSRootVerifiesServer(t *testing.T) {
	root := filepath.Join(t.TempDir(), "it's a+root & more.pem")
	newAuthority(t, root)
	for _, address := range []string{
		"postgres://u:p@h/db", "postgres://u:p@ss@h/db", "postgres://u:p?s@h/db", "postgres://u:100%x@h/db?application_name=x",
		"postgres://u:p@h/db?sslmode=disable", "postgres://u:1?x=y@h/db?sslrootcert=/other", "postgresql://h/db?user=u&password=p@s+s",
		"host=h user=u password='p w\\'s' dbname=db sslmode=disable", "user=u password=p host=h dbname=db",
	} {
		plain, err := parse(strings.Replace(address, "sslrootcert=/other", "sslmode=require", 1))
		if err != nil {
			t.Fatal(err)
		}
		with, err := WithTLSRoot(address, root)
		if err != nil {
			t.Fatal(err)
		}
		conf, err := parse(with)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		a, b := plain.ConnConfig, conf.ConnConfig
		if a.User != b.User || a.Password != b.Password || a.Host != b.Host || a.Database != b.Database {
			t.Errorf("%s: the root changes the other parts of the address", address)
		}
		if b.TLSConfig == nil || b.TLSConfig.InsecureSkipVerify || b.TLSConfig.ServerName != "h" || b.TLSConfig.RootCAs == nil || len(b.Fallbacks) > 0 {
			t.Errorf("%s: the certificate is not checked", address)
		}
	}
}

// TestTLSRootMissing checks that the error names a file that is missing or holds no certificate.
func TestTLSRootMissing(t *testing.T) {
	const address = "postgres://u@127.0.0.1:1/db?connect_timeout=1"
	missing := filepath.Join(t.TempDir(), "missing.pem")
	_, err := Open(t.Context(), address+"&sslmode=verify-full&sslrootcert="+missing)
	if !errors.Is(err, keys.ErrUnreadable) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "sslrootcert") {
		t.Errorf("got %v", err)
	}
	if _, err := WithTLSRoot(address, missing); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(missing, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WithTLSRoot(address, missing); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("got %v", err)
	}
	const password = "hunter2secret"
	_, err = Open(t.Context(), "host=h user=u password="+password+" sslmode=verify-ca sslrootcert=/nonexistent/root.pem")
	if err == nil || strings.Contains(err.Error(), password) || !strings.Contains(err.Error(), "/nonexistent/root.pem") {
		t.Errorf("got %v", err)
	}
}
