package bulk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/velonym/velonym/csvfast/jsonfast"
	"github.com/velonym/velonym/engine/spec"

	"github.com/velonym/velonym/engine/suite"
)

// Remote is a server of the HTTP contract that transforms a column's values, in
// place of a plan. Columns that share a Remote (the same pointer) share its
// requests. Values are sent in batches, several at a time; a batch that was not
// answered is sent again, which is safe where the same values get the same
// results.
type Remote struct {
	// URL is the server's: "https://psn.example.org", with a base path if it has
	// one. /api/request-psn or /api/request-psn-rev is added where it does not end
	// in one of them.
	URL string
	// Token is sent as the bearer token. It is not kept anywhere else.
	Token []byte
	// Reverse asks the second endpoint. A JWT whose op is reverse does so by itself.
	Reverse bool

	BatchValues int           // values in a request; 0: 10,000. The token's req and an answer of 413 make it less
	BatchBytes  int           // bytes of values in a request; 0: 1 MiB
	Concurrency int           // requests at a time; 0: 4
	Attempts    int           // for each batch; 0: 10
	Pause       time.Duration // before the second attempt; doubled before each other, up to half a minute; 0: 250 ms

	Client *http.Client // nil: one with keep-alive. No redirect is followed: the token goes nowhere else

	endpoint string
	policy   spec.Policy
	warn     func(string)
	most     atomic.Int64 // values in a request, as learned from answers of 413
	failing  atomic.Bool  // that the server fails was told
}

// pauses between attempts are never longer than this, whatever a server asks.
const longestPause = 2 * time.Minute

// prepare checks the fields and sets defaults.
func (r *Remote) prepare() error {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return ErrServerURL
	}
	if len(r.Token) == 0 || len(r.Token) > 8<<10 || bytes.ContainsAny(r.Token, " \r\n\x00") {
		return usagef("the server needs a token, one line of at most 8 KiB")
	}
	if r.BatchValues < 0 || r.BatchBytes < 0 || r.Concurrency < 0 || r.Attempts < 0 {
		return usagef("limits of the server's batches must not be negative")
	}
	setDefault(&r.BatchValues, 10_000)
	setDefault(&r.BatchBytes, 1<<20)
	setDefault(&r.Concurrency, 4)
	setDefault(&r.Attempts, 10)
	if r.Pause == 0 {
		r.Pause = 250 * time.Millisecond
	}
	c := claims(r.Token)
	r.policy = c.PSN.Policy
	if c.PSN.Lim.Req > 0 {
		r.BatchValues = int(min(int64(r.BatchValues), c.PSN.Lim.Req))
	}
	r.most.Store(int64(r.BatchValues))
	if err := r.setEndpoint(u, c.PSN.Op); err != nil {
		return err
	}
	if r.Client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost, t.MaxConnsPerHost = r.Concurrency, r.Concurrency
		t.ResponseHeaderTimeout = 2 * time.Minute
		r.Client = &http.Client{Transport: t}
	}
	own := *r.Client // the caller's stays as it is
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.Client = &own
	return nil
}

// The paths of the contract.
const (
	forwardPath = "/api/request-psn"
	reversePath = "/api/request-psn-rev"
)

// setEndpoint finds the URL that is called: u may end in a path of the contract.
func (r *Remote) setEndpoint(u *url.URL, op spec.Op) error {
	base := strings.TrimRight(u.Path, "/")
	named := ""
	for _, path := range []string{reversePath, forwardPath} {
		if before, ok := strings.CutSuffix(base, path); ok {
			base, named = before, path
			break
		}
	}
	path := forwardPath
	if r.Reverse || op == spec.Reverse || op == "" && named == reversePath {
		path = reversePath
	}
	if named != "" && named != path {
		return &ServerPathError{named, path}
	}
	at := *u
	at.Path, at.RawPath = strings.TrimRight(base, "/")+path, ""
	r.endpoint = at.String()
	return nil
}

func setDefault(n *int, to int) {
	if *n == 0 {
		*n = to
	}
}

// caution returns warnings for the user before values are sent.
func (r *Remote) caution() []string {
	var w []string
	switch r.policy {
	case spec.Different:
		w = append(w, "policy different: a batch that has to be sent again gets other pseudonyms than the lost answer held")
	case spec.PerDocument:
		w = append(w, "policy document: a server counts within a request, so equal values of different batches can get equal pseudonyms")
	}
	u, _ := url.Parse(r.URL) // prepare has seen it
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		w = append(w, "the server is asked over plain http: token and values can be read on the way")
	}
	return w
}

// identity tells one server, and what a token is for there, from another, without
// telling the token. A JWT is told by its rules without its limits and its life, so
// that a fresh one for the same work goes on where an older one ended.
func (r *Remote) identity() string {
	what := r.Token
	var c struct {
		PSN map[string]json.RawMessage `json:"psn"`
	}
	if payload, ok := payloadOf(r.Token); ok && json.Unmarshal(payload, &c) == nil && len(c.PSN) > 0 {
		delete(c.PSN, "lim")
		if rules, err := json.Marshal(c.PSN); err == nil { // the names sorted
			what = rules
		}
	}
	s := sha256.Sum256(what)
	return r.endpoint + " " + hex.EncodeToString(s[:])
}

// payloadOf returns the payload of a token that looks like a JWT.
func payloadOf(token []byte) ([]byte, bool) {
	parts := bytes.Split(token, []byte{'.'})
	if len(parts) != 3 {
		return nil, false
	}
	b, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	return b, err == nil
}

// ownClaims is what a run reads of a token.
type ownClaims struct {
	PSN struct {
		Op     spec.Op     `json:"op"`
		Policy spec.Policy `json:"policy"`
		Lim    struct {
			Req int64 `json:"req"`
		} `json:"lim"`
	} `json:"psn"`
}

// claims reads the claims of a JWT without verifying it. Any other token has none.
func claims(token []byte) (c ownClaims) {
	payload, ok := payloadOf(token)
	if !ok || json.Unmarshal(payload, &c) != nil {
		return ownClaims{}
	}
	return c
}

// remoteError is a batch that the server did not do.
type remoteError struct {
	value  int // first of the batch
	values int
	err    error
}

func (e *remoteError) Error() string {
	return fmt.Sprintf("server: the batch of %d values that starts here: %v", e.values, e.err)
}

func (e *remoteError) Unwrap() error { return e.err }

// transform fills b as a plan does. With all, values that the server refuses are
// all found, by sending the others again; else the first ones are enough.
func (r *Remote) transform(ctx context.Context, b *suite.Batch, all bool) error {
	n := len(b.Spans) / 2
	b.Bad = b.Bad[:0]
	b.Out = slices.Grow(b.Out[:0], 2*n)[:2*n]
	clear(b.Out)
	var batch []int
	size := 0
	send := func() error {
		for len(batch) > 0 {
			left, err := r.batch(ctx, b, batch)
			if err != nil {
				return &remoteError{batch[0], len(batch), err}
			}
			if !all && len(b.Bad) > 0 {
				break
			}
			batch = left
		}
		batch, size = batch[:0], 0
		return nil
	}
	for i := range n {
		v := b.Src[b.Spans[2*i]:][:b.Spans[2*i+1]]
		if len(v) == 0 {
			continue
		}
		if !utf8.Valid(v) {
			b.Bad = append(b.Bad, suite.ValueError{Index: i, Code: suite.ValueNotText})
			continue
		}
		if int64(len(batch)) >= r.most.Load() || len(batch) > 0 && size+len(v) > r.BatchBytes {
			if err := send(); err != nil {
				return err
			}
		}
		batch = append(batch, i)
		size += len(v)
	}
	if err := send(); err != nil {
		return err
	}
	slices.SortFunc(b.Bad, func(x, y suite.ValueError) int { return x.Index - y.Index })
	return nil
}

// batch sends the values with the given indexes until they are answered. It
// returns those that have to be sent again because others were refused.
func (r *Remote) batch(ctx context.Context, b *suite.Batch, values []int) (left []int, err error) {
	body := []byte(`{"data":[`)
	for k, i := range values {
		if k > 0 {
			body = append(body, ',')
		}
		body = append(body, '"')
		body = jsonfast.AppendEscaped(body, b.Src[b.Spans[2*i]:][:b.Spans[2*i+1]])
		body = append(body, '"')
	}
	body = append(body, `]}`...)
	for attempt := 1; ; attempt++ {
		answer, status, wait, err := r.post(ctx, body)
		if ctx.Err() != nil {
			return nil, ErrInterrupted
		}
		if err == nil {
			switch status {
			case http.StatusOK:
				r.failing.Store(false)
				return nil, r.results(b, values, answer)
			case http.StatusRequestEntityTooLarge:
				return r.sendHalves(ctx, b, values, answer)
			case http.StatusUnprocessableEntity:
				return r.refused(ctx, b, values, answer)
			}
			err = statusError(status, answer)
			if over := tokenOverOf(status, answer, wait, err); over != nil {
				return nil, over
			}
			if status != http.StatusTooManyRequests && (status < 502 || status > 504) {
				return nil, err
			}
		} else if err = cause(err); errors.Is(err, errPermanent) {
			return nil, err
		}
		if attempt == r.Attempts {
			return nil, fmt.Errorf("given up after %d attempts: %w", attempt, err)
		}
		r.tellFailing(err)
		pause := r.pause(attempt - 1)
		pause = pause/2 + rand.N(pause/2+1)
		select {
		case <-time.After(max(pause, min(wait, longestPause))):
		case <-ctx.Done():
			return nil, ErrInterrupted
		}
	}
}

// sendHalves sends a batch that was too large in pieces of half its size, or of a smaller
// size that another batch has found.
func (r *Remote) sendHalves(ctx context.Context, b *suite.Batch, values []int, answer []byte) (left []int, err error) {
	n := len(values) / 2
	if n == 0 {
		return nil, fmt.Errorf("%w for one value alone", statusError(http.StatusRequestEntityTooLarge, answer))
	}
	for {
		most := r.most.Load()
		if most <= int64(n) || r.most.CompareAndSwap(most, int64(n)) {
			break
		}
	}
	for len(values) > 0 {
		piece := values[:min(len(values), int(r.most.Load()))]
		values = values[len(piece):]
		again, err := r.batch(ctx, b, piece)
		if err != nil {
			return nil, err
		}
		left = append(left, again...)
	}
	return left, nil
}

// tellFailing warns, once until the next answer, why the server fails and for how long
// attempts go on.
func (r *Remote) tellFailing(err error) {
	if r.warn == nil || !r.failing.CompareAndSwap(false, true) {
		return
	}
	var all time.Duration
	for i := range r.Attempts - 1 {
		all += r.pause(i)
	}
	r.warn(fmt.Sprintf("server: %v; asking again, %d times at the most, with pauses of up to %s in all", err, r.Attempts-1, all.Round(time.Second/10)))
}

// pause returns the longest pause after attempt i, from 0.
func (r *Remote) pause(i int) time.Duration { return min(r.Pause<<min(i, 16), 30*time.Second) }

// post sends one request and reads the whole answer.
func (r *Remote) post(ctx context.Context, body []byte) (answer []byte, status int, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, 0, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+string(r.Token))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := r.Client.Do(req)
	if err != nil {
		return nil, 0, 0, err
	}
	defer res.Body.Close()
	most := int64(len(body))*8 + 4<<20
	answer, err = io.ReadAll(io.LimitReader(res.Body, most+1))
	if err == nil && int64(len(answer)) > most {
		err = errTooLong
	}
	if s := res.Header.Get("Retry-After"); s != "" {
		if n, err := strconv.Atoi(s); err == nil && n > 0 {
			wait = time.Duration(min(n, 3600)) * time.Second
		} else if t, err := http.ParseTime(s); err == nil {
			wait = time.Until(t)
		}
	}
	return answer, res.StatusCode, wait, err
}

// itemErrors is what an answer says of single values.
type itemErrors struct {
	Code   string `json:"code"`
	Errors []struct {
		Index int    `json:"index"`
		Code  string `json:"code"`
	} `json:"errors"`
}

var (
	errContract = errors.New("the answer is not what the contract says")
	errTooLong  = errors.New("the answer is far longer than pseudonyms would be")
)

// results stores the answer to a batch in b.
func (r *Remote) results(b *suite.Batch, values []int, answer []byte) error {
	var a jsonfast.Array
	if err := a.Scan(answer); err != nil {
		if text := bytes.TrimSpace(answer); len(text) > 0 && text[0] == '<' {
			return fmt.Errorf("%w: it is a page (HTML or XML): is the URL that of the server, and is there no proxy that asks for a login?", errContract)
		}
		return fmt.Errorf("%w: %w", errContract, err)
	}
	if got := len(a.Spans) / 2; got != len(values) {
		return fmt.Errorf("%w: %d values came back", errContract, got)
	}
	codes := map[int]suite.Code{}
	if len(a.NotString) > 0 { // values that the server refused one by one
		var e itemErrors
		if err := json.Unmarshal(answer, &e); err != nil {
			return errContract
		}
		for _, x := range e.Errors {
			codes[x.Index] = codeOf(x.Code)
		}
	}
	escaped, none := a.Escaped, a.NotString
	same, sent := true, 0
	for k, i := range values {
		if len(none) > 0 && int(none[0]) == k {
			none = none[1:]
			code := codes[k]
			if code == 0 {
				code = suite.NotAPseudonym
			}
			b.Bad = append(b.Bad, suite.ValueError{Index: i, Code: code})
			continue
		}
		raw := answer[a.Spans[2*k]:][:a.Spans[2*k+1]]
		at := len(b.Dst)
		if len(escaped) > 0 && int(escaped[0]) == k {
			escaped = escaped[1:]
			b.Dst = jsonfast.Unescape(b.Dst, raw)
		} else {
			b.Dst = append(b.Dst, raw...)
		}
		b.Out[2*i], b.Out[2*i+1] = uint32(at), uint32(len(b.Dst)-at)
		v := b.Src[b.Spans[2*i]:][:b.Spans[2*i+1]]
		// Only a missing value is empty, and none was sent; but a norm step of the
		// token empties white space.
		if len(b.Dst) == at && len(bytes.TrimSpace(v)) > 0 {
			return fmt.Errorf("%w: an empty value came back", errContract)
		}
		same = same && bytes.Equal(v, b.Dst[at:])
		sent += len(v)
	}
	// Short values of a small alphabet may by chance be their own pseudonyms.
	if same && sent >= 24 {
		return fmt.Errorf("%w: the values came back as they were sent", errContract)
	}
	return nil
}

// refused takes a 422, which names values that cannot be transformed, and returns
// the others. A 422 that only says that there are too many values is a 413.
func (r *Remote) refused(ctx context.Context, b *suite.Batch, values []int, answer []byte) (left []int, err error) {
	var e itemErrors
	if err := json.Unmarshal(answer, &e); err != nil || len(e.Errors) == 0 {
		if err == nil && e.Code == "TOO_LARGE" {
			return r.sendHalves(ctx, b, values, answer)
		}
		return nil, statusError(http.StatusUnprocessableEntity, answer)
	}
	bad := map[int]bool{}
	for _, x := range e.Errors {
		if x.Index < 0 || x.Index >= len(values) || bad[x.Index] {
			return nil, fmt.Errorf("%w: it refuses a value that there is not", errContract)
		}
		bad[x.Index] = true
		b.Bad = append(b.Bad, suite.ValueError{Index: values[x.Index], Code: codeOf(x.Code)})
	}
	for k, i := range values {
		if !bad[k] {
			left = append(left, i)
		}
	}
	return left, nil
}

// codeOf parses a code of the contract; unknown ones are NotAPseudonym.
func codeOf(s string) suite.Code {
	for c := suite.NotAPseudonym; c <= suite.NotAString; c++ {
		if c.String() == s {
			return c
		}
	}
	return suite.NotAPseudonym
}
