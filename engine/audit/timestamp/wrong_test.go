package timestamp

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/audit/timestamp/tsatest"
)

// authority starts a TSA and returns it with its client.
func authority(t *testing.T) (*tsatest.TSA, *Authority) {
	t.Helper()
	tsa := tsatest.New(t)
	a, err := NewAuthority(tsa.URL)
	if err != nil {
		t.Fatal(err)
	}
	return tsa, a
}

// TestWrongTokens: a token that is signed rightly, but is not exactly a time-stamp of what
// was asked for, is refused.
func TestWrongTokens(t *testing.T) {
	tsa, a := authority(t)
	unnamed := tsa.WithoutKeyID(t)
	other := asn1.ObjectIdentifier{1, 2, 3, 4}
	info := func(change func(*tsatest.Info)) tsatest.Faults { return tsatest.Faults{Info: change} }
	token := func(change func(*tsatest.Token)) tsatest.Faults { return tsatest.Faults{Token: change} }
	for name, c := range map[string]struct {
		faults tsatest.Faults
		want   string
	}{
		"another nonce":         {info(func(i *tsatest.Info) { i.Nonce.Add(i.Nonce, big.NewInt(1)) }), "to another request"},
		"no nonce":              {info(func(i *tsatest.Info) { i.Nonce = nil }), "to another request"},
		"another digest":        {info(func(i *tsatest.Info) { i.Imprint.Digest[5] ^= 1 }), "of something else"},
		"no digest":             {info(func(i *tsatest.Info) { i.Imprint.Digest = nil }), "of something else"},
		"another algorithm":     {info(func(i *tsatest.Info) { i.Imprint.Algorithm.Algorithm = oidSHA512 }), "of something else"},
		"another version":       {info(func(i *tsatest.Info) { i.Version = 2 }), "content cannot be read"},
		"another form of time":  {info(func(i *tsatest.Info) { i.Time.Tag = asn1.TagUTF8String }), "time cannot be read"},
		"another class of time": {info(func(i *tsatest.Info) { i.Time.Class = asn1.ClassApplication }), "time cannot be read"},
		"a local time":          {info(func(i *tsatest.Info) { i.Time.Bytes = []byte("20260101000000") }), "time cannot be read"},
		"a critical extension": {info(func(i *tsatest.Info) {
			i.Extensions = []pkix.Extension{{Id: other, Value: []byte{5, 0}}, {Id: other, Critical: true, Value: []byte{5, 0}}}
		}), "critical extension"},

		"not CMS signed data":    {token(func(k *tsatest.Token) { k.Type = other }), "not CMS signed data"},
		"not a time-stamp":       {token(func(k *tsatest.Token) { k.ContentType = other }), "not a time-stamp"},
		"no signature":           {token(func(k *tsatest.Token) { k.Signatures = 0 }), "with one signature"},
		"two signatures":         {token(func(k *tsatest.Token) { k.Signatures = 2 }), "with one signature"},
		"no certificate":         {token(func(k *tsatest.Token) { k.Certificates = nil }), "does not hold the certificate"},
		"another's certificate":  {token(func(k *tsatest.Token) { k.Certificates = []*x509.Certificate{tsa.Root} }), "does not hold the certificate"},
		"another serial number":  {token(func(k *tsatest.Token) { k.Signer = tsatest.IssuerAndSerial(tsa.Cert.RawIssuer, big.NewInt(77)) }), "does not hold the certificate"},
		"another issuer":         {token(func(k *tsatest.Token) { k.Signer = tsatest.IssuerAndSerial(tsa.Cert.RawSubject, tsa.Cert.SerialNumber) }), "does not hold the certificate"},
		"another key identifier": {token(func(k *tsatest.Token) { k.Signer = tsatest.KeyIdentifier([]byte("another key")) }), "does not hold the certificate"},
		"an empty key identifier": {token(func(k *tsatest.Token) {
			k.Signer, k.Certificates = tsatest.KeyIdentifier(nil), []*x509.Certificate{unnamed}
			k.Set(tsatest.SigningCertV2, tsatest.Names(digest256(unnamed)))
		}), "does not hold the certificate"},
		"digests by SHA-1":         {token(func(k *tsatest.Token) { k.Digest = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26} }), "its digest is not SHA-256"},
		"no attributes":            {token(func(k *tsatest.Token) { k.Attributes = nil }), "no signed attributes"},
		"no content type":          {token(func(k *tsatest.Token) { k.Attributes = k.Attributes[1:] }), "not of a time-stamp"},
		"another content type":     {token(func(k *tsatest.Token) { k.Set(tsatest.ContentType, other) }), "not of a time-stamp"},
		"two content types":        {token(func(k *tsatest.Token) { k.Attributes = append(k.Attributes, k.Attributes[0]) }), "not of a time-stamp"},
		"another content":          {token(func(k *tsatest.Token) { k.Set(tsatest.MessageDigest, make([]byte, sha256.Size)) }), "content was changed"},
		"no digest of the content": {token(func(k *tsatest.Token) { k.Attributes = append(k.Attributes[:1], k.Attributes[2]) }), "content was changed"},
		"no named certificate":     {token(func(k *tsatest.Token) { k.Attributes = k.Attributes[:2] }), "names no certificate"},
		"an empty list of them": {token(func(k *tsatest.Token) {
			k.Set(tsatest.SigningCertV2, struct{ Certs []asn1.RawValue }{[]asn1.RawValue{}})
		}), "names no certificate"},
		"another named certificate":  {token(func(k *tsatest.Token) { k.Set(tsatest.SigningCertV2, tsatest.Names(digest256(tsa.Root))) }), "names another certificate"},
		"named by an unknown digest": {token(func(k *tsatest.Token) { k.Set(tsatest.SigningCertV2, tsatest.NamesBy(other, digest256(tsa.Cert))) }), "names another certificate"},
		"named by SHA-1 as by SHA-256": {token(func(k *tsatest.Token) {
			k.Attributes[2] = tsatest.Attribute{Type: tsatest.SigningCert, Value: tsatest.Names(digest256(tsa.Cert))}
		}), "names another certificate"},
	} {
		tsa.SetFaults(c.faults)
		if _, _, err := a.Stamp(t.Context(), []byte("data")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func digest256(c *x509.Certificate) []byte {
	sum := sha256.Sum256(c.Raw)
	return sum[:]
}

// TestRightTokens accepts every way in which a token may name its certificate, and what
// it may hold besides.
func TestRightTokens(t *testing.T) {
	tsa, a := authority(t)
	sum1, sum384, sum512 := sha1.Sum(tsa.Cert.Raw), sha512.Sum384(tsa.Cert.Raw), sha512.Sum512(tsa.Cert.Raw)
	old := tsatest.Attribute{Type: tsatest.SigningCert, Value: tsatest.Names(sum1[:])}
	for name, f := range map[string]tsatest.Faults{
		"none":              {},
		"by key identifier": {Token: func(k *tsatest.Token) { k.Signer = tsatest.KeyIdentifier(tsa.Cert.SubjectKeyId) }},
		"by SHA-1":          {Token: func(k *tsatest.Token) { k.Attributes[2] = old }},
		"by SHA-384":        {Token: func(k *tsatest.Token) { k.Set(tsatest.SigningCertV2, tsatest.NamesBy(oidSHA384, sum384[:])) }},
		"by SHA-512":        {Token: func(k *tsatest.Token) { k.Set(tsatest.SigningCertV2, tsatest.NamesBy(oidSHA512, sum512[:])) }},
		"with the root":     {Token: func(k *tsatest.Token) { k.Certificates = []*x509.Certificate{tsa.Root, tsa.Cert} }},
		"parts of a second": {Info: func(i *tsatest.Info) { i.Time.Bytes = append(bytes.TrimSuffix(i.Time.Bytes, []byte("Z")), ".25Z"...) }},
		"an extension":      {Info: func(i *tsatest.Info) { i.Extensions = []pkix.Extension{{Id: []int{1, 2, 3}, Value: []byte{5, 0}}} }},
		"another attribute": {Token: func(k *tsatest.Token) {
			k.Attributes = append(k.Attributes, tsatest.Attribute{Type: []int{1, 2, 3}, Value: 1})
		}},
		"granted with a mod": {Granted: grantedWithMods},
	} {
		tsa.SetFaults(f)
		token, _, err := a.Stamp(t.Context(), []byte("data"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := Verify(token, []byte("data"), pool(t, tsa.CA)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Verify(append(token, 0), []byte("data"), nil); err == nil {
			t.Errorf("%s: bytes behind the token are accepted", name)
		}
	}
}

// TestUsage refuses certificates that are not for time-stamping alone.
func TestUsage(t *testing.T) {
	tsa, a := authority(t)
	for name, set := range map[string]func(){
		"not critical":             func() { tsa.SetUsages(t, false, false) },
		"for web servers as well":  func() { tsa.SetUsages(t, true, false, tsatest.WebServer) },
		"for something else, too":  func() { tsa.SetUsages(t, true, false, tsatest.Unknown) },
		"for web servers":          func() { tsa.SetUsages(t, true, true, tsatest.WebServer) },
		"for something else alone": func() { tsa.SetUsages(t, true, true, tsatest.Unknown) },
	} {
		set()
		if _, _, err := a.Stamp(t.Context(), []byte("data")); err == nil || !strings.Contains(err.Error(), "not for time-stamping alone") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTrust: with roots, the certificate must lead to one of them and have been valid at
// the time of the stamp.
func TestTrust(t *testing.T) {
	tsa, a := authority(t)
	stamp := func(at time.Time) []byte {
		t.Helper()
		tsa.SetFaults(tsatest.Faults{Info: func(i *tsatest.Info) { i.Time = tsatest.GeneralizedTime(at) }})
		token, s, err := a.Stamp(t.Context(), []byte("data"))
		if err != nil || !s.Time.Equal(at.Truncate(time.Second)) {
			t.Fatalf("%v, %v", s.Time, err)
		}
		return token
	}
	roots := pool(t, tsa.CA)
	now := time.Now()
	for name, c := range map[string]struct {
		at    time.Time
		roots *x509.CertPool
		want  error
	}{
		"in time":            {now, roots, nil},
		"before":             {now.Add(-48 * time.Hour), roots, x509.CertificateInvalidError{}},
		"after":              {now.Add(48 * time.Hour), roots, x509.CertificateInvalidError{}},
		"after, any root":    {now.Add(48 * time.Hour), nil, nil},
		"of another root":    {now, pool(t, tsatest.New(t).CA), x509.UnknownAuthorityError{}},
		"no root is trusted": {now, x509.NewCertPool(), x509.UnknownAuthorityError{}},
	} {
		_, err := Verify(stamp(c.at), []byte("data"), c.roots)
		var unknown x509.UnknownAuthorityError
		var invalid x509.CertificateInvalidError
		switch c.want.(type) {
		case nil:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case x509.UnknownAuthorityError:
			if !errors.As(err, &unknown) {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestIntermediate: the certificates between that of a TSA and a root are in the token.
func TestIntermediate(t *testing.T) {
	tsa, a := authority(t)
	roots := pool(t, tsa.CA)
	between := tsa.CertifyBetween(t)
	for _, with := range []bool{true, false} {
		tsa.SetFaults(tsatest.Faults{Token: func(k *tsatest.Token) {
			if with {
				k.Certificates = append(k.Certificates, between)
			}
		}})
		token, _, err := a.Stamp(t.Context(), []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(token, []byte("data"), roots); (err == nil) != with {
			t.Errorf("with the certificate between %v: %v", with, err)
		}
	}
}

// TestUnreachable: the error of a TSA that does not answer does not show the URL, which
// may hold a secret.
func TestUnreachable(t *testing.T) {
	tsa := tsatest.New(t)
	a, err := NewAuthority(tsa.URL + "/stamp?token=secret")
	if err != nil {
		t.Fatal(err)
	}
	tsa.Close()
	if _, _, err := a.Stamp(t.Context(), []byte("data")); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), a.Place) {
		t.Errorf("%v", err)
	}
}
