package postgres

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// authority writes a self-signed certificate to path.
func authority(t *testing.T, path string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTLSRootVerifiesServer checks, for every form of address, that a root makes the connection
// verify the server's certificate and changes nothing else.
func TestTLSRootVerifiesServer(t *testing.T) {
	root := filepath.Join(t.TempDir(), "it's a+root & more.pem")
	authority(t, root)
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
