// Package tsatest is a time-stamping authority (RFC 3161) on loopback, for tests. It shares
// no code with what it tests.
package tsatest

import (
	"bytes"
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
	Status  int    // HTTP status; 0: 200
	Granted int    // PKI status of a stamp
	Refuse  bool   // answers with the PKI status "rejection"
	Forge   bool   // breaks the signature
	Body    []byte // answers with these bytes
	Hang    bool   // never answers

	Info  func(*Info)  // changes what is stated
	Token func(*Token) // changes how it is signed
}

// Info is what a time-stamp states.
type Info struct {
	Version    int
	Policy     asn1.ObjectIdentifier
	Imprint    Imprint
	Serial     int
	Time       asn1.RawValue
	Nonce      *big.Int         `asn1:"optional"`
	Extensions []pkix.Extension `asn1:"optional,omitempty,tag:1"`
}

// Imprint is the digest of what is stamped.
type Imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

// Token is how an Info is signed.
type Token struct {
	Type, ContentType asn1.ObjectIdentifier
	Digest            asn1.ObjectIdentifier // algorithm by which the signer digests
	Signer            asn1.RawValue         // its issuer and serial number, or [0] key identifier
	Attributes        []Attribute           // signed ones; nil: the signature is of the content itself
	Certificates      []*x509.Certificate
	Signatures        int
}

// Attribute is a signed attribute with one value.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Value any
}

// Attributes of a signature.
var (
	ContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	MessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	SigningCert   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	SigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

// TSTInfo is the type of what a time-stamp signs.
var TSTInfo = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

// Set replaces the value of a signed attribute.
func (t *Token) Set(of asn1.ObjectIdentifier, value any) {
	for i := range t.Attributes {
		if t.Attributes[i].Type.Equal(of) {
			t.Attributes[i].Value = value
		}
	}
}

// Names returns the value of an attribute that names a certificate by its digest.
func Names(digest []byte) any {
	return struct{ Certs any }{[]any{struct{ Digest []byte }{digest}}}
}

// NamesBy is Names with the algorithm of the digest.
func NamesBy(algorithm asn1.ObjectIdentifier, digest []byte) any {
	return struct{ Certs any }{[]any{struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}{pkix.AlgorithmIdentifier{Algorithm: algorithm}, digest}}}
}

// IssuerAndSerial is how a signature names the certificate of its key.
func IssuerAndSerial(issuer []byte, serial *big.Int) asn1.RawValue {
	return wrap(asn1.ClassUniversal, asn1.TagSequence, issuer, must(serial))
}

// KeyIdentifier is the other way to name it.
func KeyIdentifier(id []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: id}
}

// TSA is a running authority.
type TSA struct {
	URL string
	CA  []byte // certificate of its root in PEM

	mu     sync.Mutex
	faults Faults
	asked  int

	Root, Cert *x509.Certificate // of the authority that certifies it, and its own
	rootKey    *ecdsa.PrivateKey
	key        *ecdsa.PrivateKey
	server     *httptest.Server
	stop       chan struct{}
	closing    sync.Once
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
	var err error
	if s.rootKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	s.Root, err = certify(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test root"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, &s.rootKey.PublicKey, s.rootKey)
	if err != nil {
		return nil, err
	}
	if s.Cert, err = s.certificate(keyID, true, timeStamping); err != nil {
		return nil, err
	}
	s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Root.Raw})
	s.server = httptest.NewServer(s)
	s.URL = s.server.URL
	return s, nil
}

// Extended key usages of certificates.
var (
	timeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	WebServer    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	Unknown      = asn1.ObjectIdentifier{1, 2, 3, 4}
)

// keyID identifies the authority's key.
var keyID = []byte("key of the TSA")

// certificate makes a certificate of the authority's key for some usages.
func (s *TSA) certificate(keyID []byte, critical bool, usages ...asn1.ObjectIdentifier) (*x509.Certificate, error) {
	return certify(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test TSA"}, SubjectKeyId: keyID,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: must(usages)}}}, s.Root, &s.key.PublicKey, s.rootKey)
}

// WithoutKeyID returns a certificate of the authority's key that does not identify it.
func (s *TSA) WithoutKeyID(t testing.TB) *x509.Certificate {
	t.Helper()
	c, err := s.certificate(nil, true, timeStamping)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// SetUsages gives the authority a certificate for time-stamping, unless without, and for
// further usages.
func (s *TSA) SetUsages(t testing.TB, critical, without bool, further ...asn1.ObjectIdentifier) {
	t.Helper()
	if !without {
		further = append([]asn1.ObjectIdentifier{timeStamping}, further...)
	}
	c, err := s.certificate(keyID, critical, further...)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Cert = c
}

// CertifyBetween gives the authority a certificate that another one signed, which the root
// certified, and returns the certificate of that one.
func (s *TSA) CertifyBetween(t testing.TB) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	between, err := certify(&x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, s.Root, &key.PublicKey, s.rootKey)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Root, s.rootKey = between, key
	if s.Cert, err = s.certificate(keyID, true, timeStamping); err != nil {
		t.Fatal(err)
	}
	return between
}

// Close stops the authority.
func (s *TSA) Close() {
	s.closing.Do(func() {
		close(s.stop)
		s.server.Close()
	})
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

func (s *TSA) answer(query []byte, f Faults) []byte {
	var q struct {
		Version int
		Imprint Imprint
		Nonce   *big.Int
		CertReq bool
	}
	if _, err := asn1.Unmarshal(query, &q); err != nil || q.Version != 1 || !q.CertReq || f.Refuse {
		return must(struct{ Status any }{struct {
			Status  int
			Failure asn1.BitString
		}{2, asn1.BitString{Bytes: []byte{0x20}, BitLength: 3}}}) // rejection, bad request
	}
	info := Info{1, asn1.ObjectIdentifier{1, 2, 3}, q.Imprint, 7, GeneralizedTime(time.Now()), q.Nonce, nil}
	if f.Info != nil {
		f.Info(&info)
	}
	return must(struct{ Status, Token any }{struct{ Status int }{f.Granted}, s.token(must(info), f)})
}

// GeneralizedTime returns a time in whole seconds as a time-stamp states it.
func GeneralizedTime(at time.Time) asn1.RawValue {
	return asn1.RawValue{Tag: asn1.TagGeneralizedTime, Bytes: []byte(at.UTC().Format("20060102150405Z"))}
}

func set(der []byte) asn1.RawValue { return wrap(asn1.ClassUniversal, asn1.TagSet, der) }

// token returns content as CMS signed data.
func (s *TSA) token(content []byte, f Faults) any {
	s.mu.Lock()
	cert := s.Cert
	s.mu.Unlock()
	named, digest := sha256.Sum256(cert.Raw), sha256.Sum256(content)
	t := Token{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, ContentType: TSTInfo, Digest: sha256ID.Algorithm, Signatures: 1,
		Signer: IssuerAndSerial(cert.RawIssuer, cert.SerialNumber), Certificates: []*x509.Certificate{cert},
		Attributes: []Attribute{{ContentType, TSTInfo}, {MessageDigest, digest[:]}, {SigningCertV2, Names(named[:])}}}
	if f.Token != nil {
		f.Token(&t)
	}
	toSign, attributes := content, asn1.RawValue{}
	if t.Attributes != nil {
		var list [][]byte
		for _, a := range t.Attributes {
			list = append(list, must(struct {
				Type   asn1.ObjectIdentifier
				Values asn1.RawValue
			}{a.Type, set(must(a.Value))}))
		}
		toSign, attributes = must(wrap(asn1.ClassUniversal, asn1.TagSet, list...)), wrap(asn1.ClassContextSpecific, 0, list...)
	}
	signed := sha256.Sum256(toSign)
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, signed[:])
	if err != nil {
		panic(err)
	}
	if f.Forge {
		signature[len(signature)-1] ^= 1
	}
	signer := must(struct {
		Version    int
		ID         any
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue `asn1:"optional"`
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
	}{1, t.Signer, pkix.AlgorithmIdentifier{Algorithm: t.Digest}, attributes,
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, signature})
	var certificates []byte
	for _, c := range t.Certificates {
		certificates = append(certificates, c.Raw...)
	}
	data := struct {
		Version      int
		Digests      asn1.RawValue
		Content      any
		Certificates asn1.RawValue
		Signers      asn1.RawValue
	}{3, set(must(sha256ID)), struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{t.ContentType, wrap(asn1.ClassContextSpecific, 0, must(content))}, wrap(asn1.ClassContextSpecific, 0, certificates), set(bytes.Repeat(signer, t.Signatures))}
	return struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{t.Type, wrap(asn1.ClassContextSpecific, 0, must(data))}
}
