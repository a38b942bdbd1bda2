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

// Config configures a Client.
type Config struct {
	// URL is the server's, as "https://psn.example.org", with a base path if it has one.
	// /api/request-psn or /api/request-psn-rev is added unless it ends in one of them.
	URL string
	// Token is sent as the bearer token.
	Token []byte
	// Reverse makes Transform call /api/request-psn-rev. A JWT whose op is reverse does
	// so too.
	Reverse bool

	BatchValues int           // most values of a request; 0: 10,000. The token's req and answers of 413 lower it
	BatchBytes  int           // most bytes of values of a request; 0: 1 MiB
	Concurrency int           // concurrent requests; 0: 4
	Attempts    int           // for each batch; 0: 10
	Pause       time.Duration // before the second attempt; it doubles before each further one, up to half a minute; 0: 250 ms

	// RepeatSpends allows a batch to be sent again although the server may have counted
	// its values against the token's budget (psn.lim.max), which then counts them twice.
	// Without it such a batch fails.
	RepeatSpends bool

	HTTP *http.Client // nil: one with keep-alive. Redirects are not followed, so that the token goes to no other server

	// Warn, if not nil, is called when the server fails and is tried again, once until it
	// answers. It may be called concurrently.
	Warn func(text string)
}

// Client calls one server with one token. It is safe for concurrent use.
type Client struct {
	cfg     Config
	base    url.URL // without the paths of the contract
	named   string  // path of the contract that Config.URL ends in
	claims  ownClaims
	most    atomic.Int64 // values in a request, as learned from answers of 413
	failing atomic.Bool  // Warn was called since the last answer
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

// PathError is an error of New: the URL ends in a path of the contract that the token is
// not for.
type PathError struct{ Named, Wanted string }

func (e *PathError) Error() string {
	return fmt.Sprintf("client: the server's URL ends in %s, and the token is for %s: leave the path out", e.Named, e.Wanted)
}

// New checks c and sets defaults. It does not call the server.
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
	own := *c.HTTP // the caller's client is not changed
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

// ownPath returns the path that the token is for, or Config if the token does not say.
func (c *Client) ownPath() string {
	op := c.claims.PSN.Op
	if c.cfg.Reverse || op == opReverse || op == "" && c.named == reversePath {
		return reversePath
	}
	return forwardPath
}

// Op returns what Transform does, as the token says it: "pseudonymise", "reverse" or
// "secondary". A token that does not say it pseudonymises, unless Config reverses.
func (c *Client) Op() string {
	switch op := c.claims.PSN.Op; {
	case c.ownPath() == reversePath:
		return opReverse
	case op == "":
		return "pseudonymise"
	default:
		return op
	}
}

func (c *Client) at(path string) string {
	u := c.base
	u.Path += path
	return u.String()
}

// Endpoint returns the URL that Transform calls.
func (c *Client) Endpoint() string { return c.at(c.ownPath()) }

// BatchValues returns the most values of a request.
func (c *Client) BatchValues() int { return int(c.most.Load()) }

// Concurrency returns the number of concurrent requests of the methods for strings.
func (c *Client) Concurrency() int { return c.cfg.Concurrency }

// Cautions returns warnings for the user before values are sent: what repeated and divided
// requests mean under the token's policy, and that the connection is not encrypted.
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
