// Package tsatest is a time-stamping authority (RFC 3161) on loopback, for tests. It shares
// no code with what it tests.
package tsatest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Faults are what a TSA does wrong.
type Faults struct {
	Status      int    // HTTP status; 0: 200
	Refuse      bool   // answers with the PKI status "rejection"
	OtherNonce  bool   // answers to another nonce
	NoNonce     bool   // leaves the nonce out
	OtherDigest bool   // stamps another digest
	OtherCert   bool   // names another certificate than the one that signs
	Usage       bool   // its certificate is for web servers as well
	Forge       bool   // breaks the signature
	Body        []byte // answers with these bytes
	Hang        bool   // never answers
}

// TSA is a running authority.
type TSA struct {
	URL string
	CA  []byte // certificate of its root in PEM

	mu     sync.Mutex
	faults Faults
	asked  int

	root, cert, webCert *x509.Certificate
	key                 *ecdsa.PrivateKey
	server              *httptest.Server
	stop                chan struct{}
}

// New starts an authority that ends with the test.
func New(t testing.TB) *TSA {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts an authority, which the caller closes.
func Start() (*TSA, error) {
	s := &TSA{stop: make(chan struct{})}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	s.root, err = certify(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test root"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	usage := must([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}) // time-stamping
	s.cert, err = certify(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test TSA"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}, s.root, &s.key.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	s.webCert, err = certify(&x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Test web server"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageServerAuth}}, s.root, &s.key.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.root.Raw})
	s.server = httptest.NewServer(s)
	s.URL = s.server.URL
	return s, nil
}

// Close stops the authority.
func (s *TSA) Close() {
	close(s.stop)
	s.server.Close()
}

// SetFaults changes what the authority does wrong from now on.
func (s *TSA) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Asked returns the number of requests up to now.
func (s *TSA) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// certify returns a certificate that parent, or for nil its own key, signed.
func certify(c, parent *x509.Certificate, public any, key crypto.Signer) (*x509.Certificate, error) {
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ServeHTTP answers a time-stamp query.
func (s *TSA) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	f := s.faults
	s.mu.Unlock()
	if f.Hang {
		select {
		case <-r.Context().Done():
		case <-s.stop:
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "no query", http.StatusBadRequest)
		return
	}
	if f.Status != 0 {
		w.WriteHeader(f.Status)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	if f.Body != nil {
		_, _ = w.Write(f.Body)
		return
	}
	_, _ = w.Write(s.answer(body, f))
}

var sha256ID = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}

type imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

// must encodes a value, which cannot fail for those of this package.
func must(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return der
}

func wrap(class, tag int, content ...[]byte) asn1.RawValue {
	v := asn1.RawValue{Class: class, Tag: tag, IsCompound: true}
	for _, c := range content {
		v.Bytes = append(v.Bytes, c...)
	}
	return v
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

func (s *TSA) answer(query []byte, f Faults) []byte {
	var q struct {
		Version int
		Imprint imprint
		Nonce   *big.Int
		CertReq bool
	}
	if _, err := asn1.Unmarshal(query, &q); err != nil || q.Version != 1 || !q.CertReq || f.Refuse {
		return must(struct{ Status any }{struct {
			Status  int
			Failure asn1.BitString
		}{2, asn1.BitString{Bytes: []byte{0x20}, BitLength: 3}}}) // rejection, bad request
	}
	if f.OtherNonce {
		q.Nonce.Add(q.Nonce, big.NewInt(1))
	}
	if f.OtherDigest {
		q.Imprint.Digest[0] ^= 1
	}
	info := struct {
		Version int
		Policy  asn1.ObjectIdentifier
		Imprint imprint
		Serial  int
		Time    time.Time `asn1:"generalized"`
		Nonce   *big.Int  `asn1:"optional"`
	}{1, asn1.ObjectIdentifier{1, 2, 3}, q.Imprint, 7, time.Now().UTC(), q.Nonce}
	content := must(info)
	if f.NoNonce {
		content = must(struct {
			Version int
			Policy  asn1.ObjectIdentifier
			Imprint imprint
			Serial  int
			Time    time.Time `asn1:"generalized"`
		}{1, info.Policy, info.Imprint, 7, info.Time})
	}
	return must(struct{ Status, Token any }{struct{ Status int }{0}, s.token(content, f)})
}

// token returns content as CMS signed data.
func (s *TSA) token(content []byte, f Faults) any {
	cert := s.cert
	if f.Usage {
		cert = s.webCert
	}
	named := sha256.Sum256(cert.Raw)
	if f.OtherCert {
		named = sha256.Sum256(s.root.Raw)
	}
	digest := sha256.Sum256(content)
	set := func(v any) asn1.RawValue { return wrap(asn1.ClassUniversal, asn1.TagSet, must(v)) }
	tst := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	attributes := [][]byte{
		must(attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, set(tst)}),
		must(attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, set(digest[:])}),
		must(attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, set(struct{ Certs any }{[]any{struct{ Digest []byte }{named[:]}}})}),
	}
	signed := sha256.Sum256(must(wrap(asn1.ClassUniversal, asn1.TagSet, attributes...)))
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, signed[:])
	if err != nil {
		panic(err)
	}
	if f.Forge {
		signature[len(signature)-1] ^= 1
	}
	signer := struct {
		Version    int
		ID         any
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
	}{1, struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}{asn1.RawValue{FullBytes: cert.RawIssuer}, cert.SerialNumber}, sha256ID, wrap(asn1.ClassContextSpecific, 0, attributes...),
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, signature}
	data := struct {
		Version      int
		Digests      asn1.RawValue
		Content      any
		Certificates asn1.RawValue
		Signers      asn1.RawValue
	}{3, set(sha256ID), struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{tst, wrap(asn1.ClassContextSpecific, 0, must(content))}, wrap(asn1.ClassContextSpecific, 0, cert.Raw), set(signer)}
	return struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, wrap(asn1.ClassContextSpecific, 0, must(data))}
}
