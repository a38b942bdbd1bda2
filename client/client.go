package client

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Config says which server is called, and how.
type Config struct {
	// URL is the server's: "https://psn.example.org", with a base path if it has
	// one. /api/request-psn or /api/request-psn-rev is added where it does not end
	// in one of them.
	URL string
	// Token is sent as the bearer token.
	Token []byte
	// Reverse makes Transform ask the second endpoint. A JWT whose op is reverse does so
	// by itself.
	Reverse bool

	BatchValues int           // values in a request; 0: 10,000. The token's req and an answer of 413 make it less
	BatchBytes  int           // bytes of values in a request; 0: 1 MiB
	Concurrency int           // requests at a time; 0: 4
	Attempts    int           // for each batch; 0: 10
	Pause       time.Duration // before the second attempt; doubled before each other, up to half a minute; 0: 250 ms

	// RepeatSpends sends a batch again although the server may have done it and the
	// token has a budget (psn.lim.max), which then counts its values twice. Without it
	// such a batch fails.
	RepeatSpends bool

	HTTP *http.Client // nil: one with keep-alive. No redirect is followed: the token goes nowhere else

	// Warn, if not nil, is told that the server fails and is asked again, once until it
	// answers. It is called by several goroutines.
	Warn func(text string)
}

// Client calls one server with one token. It is safe for concurrent use.
type Client struct {
	cfg     Config
	base    url.URL // without the paths of the contract
	named   string  // path of the contract that Config.URL ends in
	claims  ownClaims
	most    atomic.Int64 // values in a request, as learned from answers of 413
	failing atomic.Bool  // that the server fails was told
}

// Errors of New, found with errors.Is.
var (
	ErrURL    = errors.New("client: the server's URL is not https://host:port")
	ErrToken  = errors.New("client: the server needs a token, one line of at most 8 KiB")
	ErrLimits = errors.New("client: limits of the server's batches must not be negative")
)

// The paths of the contract.
const (
	forwardPath = "/api/request-psn"
	reversePath = "/api/request-psn-rev"
)

// PathError is an error of New: the URL ends in another path of the contract than the
// token is for.
type PathError struct{ Named, Wanted string }

func (e *PathError) Error() string {
	return fmt.Sprintf("client: the server's URL ends in %s, and the token is for %s: leave the path out", e.Named, e.Wanted)
}

// New checks c and fills in what it leaves out. It calls nobody.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, ErrURL
	}
	if len(c.Token) == 0 || len(c.Token) > 8<<10 || bytes.ContainsAny(c.Token, " \r\n\x00") {
		return nil, ErrToken
	}
	if c.BatchValues < 0 || c.BatchBytes < 0 || c.Concurrency < 0 || c.Attempts < 0 || c.Pause < 0 {
		return nil, ErrLimits
	}
	setDefault(&c.BatchValues, 10_000)
	setDefault(&c.BatchBytes, 1<<20)
	setDefault(&c.Concurrency, 4)
	setDefault(&c.Attempts, 10)
	if c.Pause == 0 {
		c.Pause = 250 * time.Millisecond
	}
	cl := &Client{claims: claimsOf(c.Token)}
	if req := cl.claims.PSN.Lim.Req; req > 0 {
		c.BatchValues = int(min(int64(c.BatchValues), req))
	}
	cl.most.Store(int64(c.BatchValues))
	if c.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost, t.MaxConnsPerHost = c.Concurrency, c.Concurrency
		t.ResponseHeaderTimeout = 2 * time.Minute
		c.HTTP = &http.Client{Transport: t}
	}
	own := *c.HTTP // the caller's stays as it is
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTP = &own
	cl.cfg = c

	base := strings.TrimRight(u.Path, "/")
	for _, path := range []string{reversePath, forwardPath} {
		if before, ok := strings.CutSuffix(base, path); ok {
			base, cl.named = before, path
			break
		}
	}
	cl.base = *u
	cl.base.Path, cl.base.RawPath = strings.TrimRight(base, "/"), ""
	if path := cl.ownPath(); cl.named != "" && cl.named != path {
		return nil, &PathError{cl.named, path}
	}
	return cl, nil
}

func setDefault(n *int, to int) {
	if *n == 0 {
		*n = to
	}
}

// ownPath returns the path that the token, or else Config, is for.
func (c *Client) ownPath() string {
	op := c.claims.PSN.Op
	if c.cfg.Reverse || op == opReverse || op == "" && c.named == reversePath {
		return reversePath
	}
	return forwardPath
}

func (c *Client) at(path string) string {
	u := c.base
	u.Path += path
	return u.String()
}

// Endpoint returns the URL that Transform calls.
func (c *Client) Endpoint() string { return c.at(c.ownPath()) }

// BatchValues returns how many values a request has at most.
func (c *Client) BatchValues() int { return int(c.most.Load()) }

// Concurrency returns how many requests the methods for strings make at a time.
func (c *Client) Concurrency() int { return c.cfg.Concurrency }

// Cautions returns what a user should know before values are sent: what a repeated or
// divided request does under the token's policy, and that the way there is in clear.
func (c *Client) Cautions() []string {
	var w []string
	switch c.claims.PSN.Policy {
	case policyDifferent:
		w = append(w, "policy different: a batch that has to be sent again gets other pseudonyms than the lost answer held")
	case policyDocument:
		w = append(w, "policy document: a server counts within a request, so equal values of different batches can get equal pseudonyms")
	}
	if ip := net.ParseIP(c.base.Hostname()); c.base.Scheme == "http" && c.base.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		w = append(w, "the server is asked over plain http: token and values can be read on the way")
	}
	return w
}
