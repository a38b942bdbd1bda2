package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/velonym/velonym/csvfast/jsonfast"
)

// Batch is values in an arena and their results. One goroutine at a time.
type Batch struct {
	Src   []byte   // holds the values
	Spans []uint32 // offset and length of every value in Src

	Dst []byte       // results are appended
	Out []uint32     // offset and length in Dst of every result; set by Transform
	Bad []ValueError // values without a result, ascending; set by Transform
}

// Transform has the server transform every value of b, one request at a time. Empty
// values stay empty and are not sent. With all, every value that the server refuses is
// found, by sending the others again; else those that one request finds are enough, and
// the others of b may have no result.
//
// An error is the context's, or a *BatchError.
func (c *Client) Transform(ctx context.Context, b *Batch, all bool) error {
	return c.transform(ctx, c.Endpoint(), b, all, false)
}

// transform is Transform at an endpoint; with whole, all values go in one request.
func (c *Client) transform(ctx context.Context, endpoint string, b *Batch, all, whole bool) error {
	n := len(b.Spans) / 2
	b.Bad = b.Bad[:0]
	b.Out = slices.Grow(b.Out[:0], 2*n)[:2*n]
	clear(b.Out)
	q := &request{c: c, endpoint: endpoint, b: b, whole: whole}
	var batch []int
	size := 0
	send := func() error {
		for len(batch) > 0 {
			left, err := q.send(ctx, batch)
			if err != nil {
				return &BatchError{batch[0], len(batch), err}
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
			b.Bad = append(b.Bad, ValueError{i, ValueNotText})
			continue
		}
		if !whole && (int64(len(batch)) >= c.most.Load() || len(batch) > 0 && size+len(v) > c.cfg.BatchBytes) {
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
	slices.SortFunc(b.Bad, func(x, y ValueError) int { return x.Index - y.Index })
	return nil
}

// longestPause is the longest pause between two attempts, whatever a server asks for.
const longestPause = 2 * time.Minute

// request sends values of a batch.
type request struct {
	c        *Client
	endpoint string
	b        *Batch
	whole    bool // all values go in one request
}

// send sends the values with the given indexes until they are answered. It returns
// those that have to be sent again because others were refused.
func (q *request) send(ctx context.Context, values []int) (left []int, err error) {
	c, b := q.c, q.b
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
	r, err := c.ask(ctx, q.endpoint, mediaJSON, body)
	if err != nil {
		return nil, err
	}
	switch r.status {
	case http.StatusRequestEntityTooLarge:
		return q.sendHalves(ctx, values, r.body)
	case http.StatusUnprocessableEntity:
		return q.refused(ctx, values, r.body)
	}
	return nil, q.results(values, r.body)
}

const mediaJSON = "application/json"

// ask sends a body until it is answered with success or with a refusal of its values or
// its size (413, 422); anything else that does not pass is an error.
func (c *Client) ask(ctx context.Context, endpoint, mediaType string, body []byte) (*reply, error) {
	for attempt := 1; ; attempt++ {
		r, err := c.post(ctx, endpoint, mediaType, body)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var wait time.Duration
		unspent := false // it is certain that the server has not counted the values
		if err == nil {
			switch r.status {
			case http.StatusOK:
				c.failing.Store(false)
				return r, nil
			case http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
				return r, nil
			}
			wait = r.wait
			e := statusError(r.status, r.body, wait)
			err = e
			if ended, _ := e.TokenEnded(); ended || r.status != http.StatusTooManyRequests && (r.status < 502 || r.status > 504) {
				return nil, err
			}
			unspent = r.status == http.StatusTooManyRequests
		} else {
			unspent = neverSent(err)
			if err = cause(err); errors.Is(err, errPermanent) {
				return nil, err
			}
		}
		if !unspent && c.claims.PSN.Lim.Max > 0 && !c.cfg.RepeatSpends {
			return nil, fmt.Errorf("%w; it is not asked again, since the values may have been counted and the token has a budget", err)
		}
		if attempt == c.cfg.Attempts {
			return nil, fmt.Errorf("given up after %d attempts: %w", attempt, err)
		}
		c.tellFailing(err)
		pause := c.pause(attempt - 1)
		pause = pause/2 + rand.N(pause/2+1)
		select {
		case <-time.After(max(pause, min(wait, longestPause))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// sendHalves sends a batch that was too large in pieces of half its size, or of a smaller
// size that another batch has found.
func (q *request) sendHalves(ctx context.Context, values []int, answer []byte) (left []int, err error) {
	n := len(values) / 2
	switch {
	case n == 0:
		return nil, fmt.Errorf("%w for one value alone", statusError(http.StatusRequestEntityTooLarge, answer, 0))
	case q.whole:
		return nil, fmt.Errorf("%w: %w", ErrDivided, statusError(http.StatusRequestEntityTooLarge, answer, 0))
	}
	for {
		most := q.c.most.Load()
		if most <= int64(n) || q.c.most.CompareAndSwap(most, int64(n)) {
			break
		}
	}
	for len(values) > 0 {
		piece := values[:min(len(values), int(q.c.most.Load()))]
		values = values[len(piece):]
		again, err := q.send(ctx, piece)
		if err != nil {
			return nil, err
		}
		left = append(left, again...)
	}
	return left, nil
}

// tellFailing warns why the server fails and how long it will be tried again; once until
// the next answer.
func (c *Client) tellFailing(err error) {
	if c.cfg.Warn == nil || !c.failing.CompareAndSwap(false, true) {
		return
	}
	var all time.Duration
	for i := range c.cfg.Attempts - 1 {
		all += c.pause(i)
	}
	c.cfg.Warn(fmt.Sprintf("server: %v; asking again, %d times at the most, with pauses of up to %s in all", err, c.cfg.Attempts-1, all.Round(time.Second/10)))
}

// pause returns the longest pause after attempt i, from 0.
func (c *Client) pause(i int) time.Duration { return min(c.cfg.Pause<<min(i, 16), 30*time.Second) }

// reply is the answer to one request.
type reply struct {
	body   []byte
	status int
	header http.Header
	wait   time.Duration // that the server asks for
}

// post sends one request and reads the whole answer, which is asked for in the body's
// media type.
func (c *Client) post(ctx context.Context, endpoint, mediaType string, body []byte) (*reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+string(c.cfg.Token))
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", mediaType)
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	most := int64(len(body))*8 + 4<<20
	r := &reply{status: res.StatusCode, header: res.Header}
	r.body, err = io.ReadAll(io.LimitReader(res.Body, most+1))
	if err == nil && int64(len(r.body)) > most {
		err = errTooLong
	}
	if s := res.Header.Get("Retry-After"); s != "" {
		if n, err := strconv.Atoi(s); err == nil && n > 0 {
			r.wait = time.Duration(min(n, 3600)) * time.Second
		} else if t, err := http.ParseTime(s); err == nil {
			r.wait = time.Until(t)
		}
	}
	return r, err
}

// arrays are pooled because they keep buffers of the size that answers have.
var arrays = sync.Pool{New: func() any { return new(jsonfast.Array) }}

// results stores the answer to values in the batch.
func (q *request) results(values []int, answer []byte) error {
	b := q.b
	a := arrays.Get().(*jsonfast.Array)
	defer arrays.Put(a)
	if err := a.Scan(answer); err != nil {
		if text := bytes.TrimSpace(answer); len(text) > 0 && text[0] == '<' {
			return fmt.Errorf("%w: it is a page (HTML or XML): is the URL that of the server, and is there no proxy that asks for a login?", ErrContract)
		}
		return fmt.Errorf("%w: %w", ErrContract, err)
	}
	if got := len(a.Spans) / 2; got != len(values) {
		return fmt.Errorf("%w: %d values came back", ErrContract, got)
	}
	codes := map[int]string{}
	if len(a.NotString) > 0 { // values that the server refused one by one
		var e itemErrors
		if err := json.Unmarshal(answer, &e); err != nil {
			return ErrContract
		}
		for _, x := range e.Errors {
			codes[x.Index] = valueCode(x.Code)
		}
	}
	escaped, none := a.Escaped, a.NotString
	same, sent := true, 0
	for k, i := range values {
		if len(none) > 0 && int(none[0]) == k {
			none = none[1:]
			code := codes[k]
			if code == "" {
				code = NotAPseudonym
			}
			b.Bad = append(b.Bad, ValueError{i, code})
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
		// Only missing values are empty, and none was sent; but a norm step of the token
		// can empty white space.
		if len(b.Dst) == at && len(bytes.TrimSpace(v)) > 0 {
			return fmt.Errorf("%w: an empty value came back", ErrContract)
		}
		same = same && bytes.Equal(v, b.Dst[at:])
		sent += len(v)
	}
	// Short values of a small alphabet can by chance be their own pseudonyms.
	if same && sent >= 24 {
		return fmt.Errorf("%w: the values came back as they were sent", ErrContract)
	}
	return nil
}

// itemErrors is the part of an answer that names single values.
type itemErrors struct {
	Code   string `json:"code"`
	Errors []struct {
		Index int    `json:"index"`
		Code  string `json:"code"`
	} `json:"errors"`
}

// refused handles a 422: it adds the values that the answer names to the batch's bad ones
// and returns the others. A 422 with code TOO_LARGE is handled like a 413.
func (q *request) refused(ctx context.Context, values []int, answer []byte) (left []int, err error) {
	var e itemErrors
	if err := json.Unmarshal(answer, &e); err != nil || len(e.Errors) == 0 {
		if err == nil && e.Code == "TOO_LARGE" {
			return q.sendHalves(ctx, values, answer)
		}
		return nil, statusError(http.StatusUnprocessableEntity, answer, 0)
	}
	bad := map[int]bool{}
	for _, x := range e.Errors {
		if x.Index < 0 || x.Index >= len(values) || bad[x.Index] {
			return nil, fmt.Errorf("%w: it refuses a value that there is not", ErrContract)
		}
		bad[x.Index] = true
		q.b.Bad = append(q.b.Bad, ValueError{values[x.Index], valueCode(x.Code)})
	}
	for k, i := range values {
		if !bad[k] {
			left = append(left, i)
		}
	}
	return left, nil
}
