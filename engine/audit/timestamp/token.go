package timestamp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" // only the digest by which an older token names its certificate
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Object identifiers of RFC 3161, RFC 5652 (CMS), RFC 5816 and RFC 5754.
var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCert   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidPSS           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidExtKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 37}
)

type messageImprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

// contentInfo is the ContentInfo of CMS.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version          int
	DigestAlgorithms asn1.RawValue
	Content          encapsulated
	Certificates     asn1.RawValue `asn1:"optional,tag:0"`
	CRLs             asn1.RawValue `asn1:"optional,tag:1"`
	Signers          []signerInfo  `asn1:"set"`
}

type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content []byte `asn1:"explicit,tag:0"`
}

type signerInfo struct {
	Version            int
	ID                 asn1.RawValue // issuer and serial number, or [0] key identifier
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue `asn1:"optional,tag:0"`
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
	Unsigned           asn1.RawValue `asn1:"optional,tag:1"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue `asn1:"set"`
}

type tstInfo struct {
	Version    int
	Policy     asn1.ObjectIdentifier
	Imprint    messageImprint
	Serial     *big.Int
	Time       asn1.RawValue
	Accuracy   accuracy         `asn1:"optional"`
	Ordering   bool             `asn1:"optional"`
	Nonce      *big.Int         `asn1:"optional"`
	TSA        asn1.RawValue    `asn1:"optional,tag:0"`
	Extensions []pkix.Extension `asn1:"optional,tag:1"`
}

type accuracy struct {
	Seconds int `asn1:"optional"`
	Millis  int `asn1:"optional,tag:0"`
	Micros  int `asn1:"optional,tag:1"`
}

// certID is ESSCertIDv2. The older ESSCertID is one without Algorithm, by SHA-1.
type certID struct {
	Algorithm    pkix.AlgorithmIdentifier `asn1:"optional"`
	Digest       []byte
	IssuerSerial asn1.RawValue `asn1:"optional,omitempty"`
}

type signingCert struct {
	Certs    []certID
	Policies asn1.RawValue `asn1:"optional"`
}

// Stamp is what a time-stamp states.
type Stamp struct {
	Time        time.Time
	Certificate *x509.Certificate // of the TSA
	nonce       *big.Int          // nil: none
}

// Verify verifies a TimeStampToken in DER over data. The TSA's certificate must be in the
// token. With roots, it must have been valid at the stamp's time and lead to one of them;
// without, the caller must decide by Stamp.Certificate whether it trusts the TSA. A
// revocation of the certificate is not looked up.
func Verify(token, data []byte, roots *x509.CertPool) (Stamp, error) {
	s, err := verify(token, data, roots)
	if err != nil {
		return Stamp{}, fmt.Errorf("time-stamp: %w", err)
	}
	return s, nil
}

func verify(token, data []byte, roots *x509.CertPool) (s Stamp, err error) {
	var info contentInfo
	if err := unmarshal(token, &info); err != nil || !info.Type.Equal(oidSignedData) {
		return s, errors.New("it is not CMS signed data")
	}
	var signed signedData
	if err := unmarshal(info.Content.Bytes, &signed); err != nil || !signed.Content.Type.Equal(oidTSTInfo) || len(signed.Signers) != 1 {
		return s, errors.New("it is not a time-stamp with one signature")
	}
	certs, err := x509.ParseCertificates(signed.Certificates.Bytes)
	if err != nil {
		return s, errors.New("its certificates cannot be read")
	}
	signer := &signed.Signers[0]
	if s.Certificate = signer.certificate(certs); s.Certificate == nil {
		return s, errors.New("it does not hold the certificate that signed it")
	}
	if err := signer.checkSignature(signed.Content.Content, s.Certificate); err != nil {
		return s, err
	}
	if err := s.read(signed.Content.Content, data); err != nil {
		return s, err
	}
	return s, checkUsage(s.Certificate, certs, roots, s.Time)
}

// unmarshal decodes exactly one DER value.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing bytes")
	}
	return err
}

// read reads the TSTInfo and compares its imprint with data.
func (s *Stamp) read(der, data []byte) error {
	var info tstInfo
	if err := unmarshal(der, &info); err != nil || info.Version != 1 {
		return errors.New("its content cannot be read")
	}
	digest := sha256.Sum256(data)
	if !info.Imprint.Algorithm.Algorithm.Equal(oidSHA256) || subtle.ConstantTimeCompare(info.Imprint.Digest, digest[:]) != 1 {
		return errors.New("it is of something else")
	}
	if info.Time.Class != asn1.ClassUniversal || info.Time.Tag != asn1.TagGeneralizedTime {
		return errors.New("its time cannot be read")
	}
	t, err := time.Parse("20060102150405Z", string(info.Time.Bytes)) // takes fractions of a second too
	if err != nil {
		return errors.New("its time cannot be read")
	}
	s.Time, s.nonce = t, info.Nonce
	for _, e := range info.Extensions {
		if e.Critical {
			return errors.New("it has a critical extension that is not known")
		}
	}
	return nil
}

// certificate returns the certificate that the signer names, nil if it is not among certs.
func (i *signerInfo) certificate(certs []*x509.Certificate) *x509.Certificate {
	var id issuerAndSerial
	named := i.ID.Class == asn1.ClassUniversal && unmarshal(i.ID.FullBytes, &id) == nil
	byKey := i.ID.Class == asn1.ClassContextSpecific && i.ID.Tag == 0
	for _, c := range certs {
		switch {
		case named && bytes.Equal(c.RawIssuer, id.Issuer.FullBytes) && c.SerialNumber.Cmp(id.Serial) == 0,
			byKey && len(c.SubjectKeyId) > 0 && bytes.Equal(c.SubjectKeyId, i.ID.Bytes):
			return c
		}
	}
	return nil
}

// checkSignature checks the signature over content, and that it names the certificate.
func (i *signerInfo) checkSignature(content []byte, cert *x509.Certificate) error {
	hash := hashOf(i.DigestAlgorithm.Algorithm)
	if hash == 0 {
		return errors.New("its digest is not SHA-256, SHA-384 or SHA-512")
	}
	if len(i.SignedAttributes.FullBytes) == 0 {
		return errors.New("it has no signed attributes")
	}
	attributes := bytes.Clone(i.SignedAttributes.FullBytes)
	attributes[0] = asn1.TagSet | 0x20 // signed as a SET, not as [0]
	if err := cert.CheckSignature(i.algorithm(cert, hash), attributes, i.Signature); err != nil {
		return errors.New("its signature is not valid")
	}
	var list []attribute
	if _, err := asn1.UnmarshalWithParams(attributes, &list, "set"); err != nil {
		return errors.New("its signed attributes cannot be read")
	}
	h := hash.New()
	h.Write(content)
	var kind asn1.ObjectIdentifier
	if err := value(list, oidContentType, &kind); err != nil || !kind.Equal(oidTSTInfo) {
		return errors.New("its signature is not of a time-stamp")
	}
	var digest []byte
	if err := value(list, oidMessageDigest, &digest); err != nil || subtle.ConstantTimeCompare(digest, h.Sum(nil)) != 1 {
		return errors.New("its content was changed")
	}
	return checkCertID(list, cert)
}

// checkCertID checks that the signed attributes name cert (RFC 5816, RFC 2634).
func checkCertID(list []attribute, cert *x509.Certificate) error {
	var named signingCert
	err := value(list, oidSigningCertV2, &named)
	old := err != nil
	if old {
		err = value(list, oidSigningCert, &named)
	}
	if err != nil || len(named.Certs) == 0 {
		return errors.New("its signature names no certificate")
	}
	id := &named.Certs[0]
	var digest []byte
	switch hash := hashOf(id.Algorithm.Algorithm); {
	case old:
		sum := sha1.Sum(cert.Raw)
		digest = sum[:]
	case len(id.Algorithm.Algorithm) == 0:
		sum := sha256.Sum256(cert.Raw)
		digest = sum[:]
	case hash != 0:
		h := hash.New()
		h.Write(cert.Raw)
		digest = h.Sum(nil)
	}
	if subtle.ConstantTimeCompare(digest, id.Digest) != 1 {
		return errors.New("its signature names another certificate")
	}
	return nil
}

// value decodes the single value of an attribute that occurs once.
func value(list []attribute, id asn1.ObjectIdentifier, v any) error {
	var found *attribute
	for i := range list {
		if !list[i].Type.Equal(id) {
			continue
		}
		if found != nil {
			return errors.New("an attribute occurs twice")
		}
		found = &list[i]
	}
	if found == nil {
		return errors.New("an attribute is missing")
	}
	return unmarshal(found.Values.Bytes, v)
}

func hashOf(id asn1.ObjectIdentifier) crypto.Hash {
	switch {
	case id.Equal(oidSHA256):
		return crypto.SHA256
	case id.Equal(oidSHA384):
		return crypto.SHA384
	case id.Equal(oidSHA512):
		return crypto.SHA512
	}
	return 0
}

// algorithm returns the signature algorithm for the certificate's key. The digest counts,
// since many TSAs name only the key's type as the algorithm.
func (i *signerInfo) algorithm(cert *x509.Certificate, hash crypto.Hash) x509.SignatureAlgorithm {
	at := map[crypto.Hash]int{crypto.SHA256: 0, crypto.SHA384: 1, crypto.SHA512: 2}[hash]
	switch cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if i.SignatureAlgorithm.Algorithm.Equal(oidPSS) {
			return [...]x509.SignatureAlgorithm{x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS}[at]
		}
		return [...]x509.SignatureAlgorithm{x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA}[at]
	case *ecdsa.PublicKey:
		return [...]x509.SignatureAlgorithm{x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512}[at]
	case ed25519.PublicKey:
		return x509.PureEd25519
	}
	return x509.UnknownSignatureAlgorithm
}

// checkUsage checks that a certificate is for time-stamping alone (RFC 3161 §2.3) and, with
// roots, that it leads to one of them.
func checkUsage(cert *x509.Certificate, others []*x509.Certificate, roots *x509.CertPool, at time.Time) error {
	critical := false
	for _, e := range cert.Extensions {
		critical = critical || e.Id.Equal(oidExtKeyUsage) && e.Critical
	}
	if !critical || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(cert.UnknownExtKeyUsage) > 0 {
		return errors.New("its certificate is not for time-stamping alone")
	}
	if roots == nil {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range others {
		between.AddCert(c)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}); err != nil {
		return fmt.Errorf("the certificate of its authority is not trusted: %w", err)
	}
	return nil
}

// Authority names the TSA that signed, by its certificate's subject.
func (s *Stamp) Authority() string {
	name := s.Certificate.Subject
	if name.CommonName != "" {
		return name.CommonName
	}
	return strings.Join(name.Organization, ", ")
}
