package timestamp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"time"
)

const (
	requestTimeout = 10 * time.Second
	maxResponse    = 256 << 10 // bytes
)

type request struct {
	Version int
	Imprint messageImprint
	Nonce   *big.Int
	CertReq bool
}

type response struct {
	Status status
	Token  asn1.RawValue `asn1:"optional"`
}

type status struct {
	Status  int
	Text    []asn1.RawValue `asn1:"optional"`
	Failure asn1.BitString  `asn1:"optional"`
}

// Values of status.Status that come with a token.
const (
	granted         = 0
	grantedWithMods = 1
)

// failures are the bits of status.Failure (RFC 3161 §2.4.2).
var failures = map[int]string{0: "bad algorithm", 2: "bad request", 5: "bad data format", 14: "its clock is not available",
	15: "policy not accepted", 16: "extension not accepted", 17: "additional information not available", 25: "internal failure"}

// Authority is a TSA that is asked over HTTP. It is safe for concurrent use.
type Authority struct {
	url    string
	client *http.Client
	// Place is the scheme and host of the URL, for messages: the rest may be a secret.
	Place string
}

// NewAuthority returns the TSA at a URL, http or https: the answer is signed, and what is
// sent is a digest.
func NewAuthority(text string) (*Authority, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("write the URL of a time-stamping authority (RFC 3161), as https://tsa.example/")
	}
	return &Authority{url: text, Place: u.Scheme + "://" + u.Host, client: &http.Client{Timeout: requestTimeout}}, nil
}

// Stamp has data stamped and returns the token in DER, after verifying it with a nonce of
// its own. Only the SHA-256 of data is sent. Errors never hold more of the URL than Place.
func (a *Authority) Stamp(ctx context.Context, data []byte) (token []byte, s Stamp, err error) {
	digest := sha256.Sum256(data)
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	nonce := new(big.Int).SetBytes(random[:])
	query, err := asn1.Marshal(request{Version: 1, Nonce: nonce, CertReq: true,
		Imprint: messageImprint{pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, digest[:]}})
	if err != nil {
		return nil, s, fmt.Errorf("time-stamp: %w", err)
	}
	answer, err := a.post(ctx, query)
	if err != nil {
		return nil, s, fmt.Errorf("time-stamp: %s: %w", a.Place, err)
	}
	var r response
	if err := unmarshal(answer, &r); err != nil {
		return nil, s, fmt.Errorf("time-stamp: %s: the answer is not a time-stamp response", a.Place)
	}
	if r.Status.Status != granted && r.Status.Status != grantedWithMods {
		return nil, s, fmt.Errorf("time-stamp: %s refused: %s", a.Place, r.Status.reason())
	}
	if s, err = verify(r.Token.FullBytes, data, nil); err != nil {
		return nil, s, fmt.Errorf("time-stamp: %s: %w", a.Place, err)
	}
	if s.nonce == nil || s.nonce.Cmp(nonce) != 0 {
		return nil, Stamp{}, fmt.Errorf("time-stamp: %s: the answer is to another request", a.Place)
	}
	return r.Token.FullBytes, s, nil
}

func (s *status) reason() string {
	for bit, text := range failures {
		if s.Failure.At(bit) == 1 {
			return text
		}
	}
	return fmt.Sprintf("status %d", s.Status)
}

func (a *Authority) post(ctx context.Context, query []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(query))
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	r.Header.Set("Accept", "application/timestamp-reply")
	answer, err := a.client.Do(r)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the URL
		}
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("it answered with status %d", answer.StatusCode)
	case len(body) > maxResponse:
		return nil, errors.New("the answer is longer than 256 KiB")
	}
	return body, nil
}
