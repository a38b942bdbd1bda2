package client

import (
	"context"
	"errors"
	"math"
	"sync"
)

// ErrDivided is the error of a document (policy document) with too many values for one
// request. A server counts within a request, so a document cannot be divided.
var ErrDivided = errors.New("the values are one document, and too many for one request: give each document a call of its own")

// Pseudonymise returns a pseudonym for each value, in order. Empty values stay empty. It
// is all or nothing: with an error there are no results, unless the token has psn.err
// item. Then Pseudonymise returns the results together with a *ValuesError, and the values
// that it names are empty.
//
// Under policy document the values are one document and are sent in one request.
func (c *Client) Pseudonymise(ctx context.Context, values []string) ([]string, error) {
	return c.values(ctx, forwardPath, values)
}

// Secondary returns pseudonyms of the token's project for pseudonyms of its source.
func (c *Client) Secondary(ctx context.Context, pseudonyms []string) ([]string, error) {
	return c.values(ctx, forwardPath, pseudonyms)
}

// Reverse returns the identifiers of pseudonyms; see Pseudonymise.
func (c *Client) Reverse(ctx context.Context, pseudonyms []string) ([]string, error) {
	return c.values(ctx, reversePath, pseudonyms)
}

func (c *Client) values(ctx context.Context, path string, values []string) ([]string, error) {
	whole := c.claims.PSN.Policy == policyDocument && path == forwardPath
	if req := c.claims.PSN.Lim.Req; whole && req > 0 && int64(len(values)) > req {
		return nil, ErrDivided
	}
	parts, err := c.divide(values, whole)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]string, len(values))
	bad := make([][]ValueError, len(parts))
	var wg sync.WaitGroup
	free := make(chan struct{}, c.cfg.Concurrency)
	for i, part := range parts {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-free }()
			var err error
			if bad[i], err = c.part(ctx, c.at(path), values, results, part, whole); err != nil {
				cancel(err)
			} else if len(bad[i]) > 0 && c.claims.PSN.Err != errItem {
				cancel(&ValuesError{bad[i]})
			}
		}()
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var all []ValueError
	for _, b := range bad {
		all = append(all, b...)
	}
	if len(all) > 0 {
		return results, &ValuesError{all}
	}
	return results, nil
}

// divide divides the values into requests and returns the start and end of each.
func (c *Client) divide(values []string, whole bool) (parts [][2]int, err error) {
	most := int(c.most.Load())
	from, size := 0, 0
	for i, v := range values {
		if i > from && !whole && (i-from >= most || size+len(v) > c.cfg.BatchBytes) {
			parts = append(parts, [2]int{from, i})
			from, size = i, 0
		}
		if size += len(v); size > math.MaxUint32 {
			return nil, errors.New("client: 4 GiB or more of values in one request: give them in parts")
		}
	}
	if from < len(values) {
		parts = append(parts, [2]int{from, len(values)})
	}
	return parts, nil
}

// part transforms values[at[0]:at[1]].
func (c *Client) part(ctx context.Context, endpoint string, values, results []string, at [2]int, whole bool) ([]ValueError, error) {
	var b Batch
	for _, v := range values[at[0]:at[1]] {
		b.Spans = append(b.Spans, uint32(len(b.Src)), uint32(len(v)))
		b.Src = append(b.Src, v...)
	}
	if err := c.transform(ctx, endpoint, &b, c.claims.PSN.Err == errItem, whole); err != nil {
		var e *BatchError
		if errors.As(err, &e) {
			e.First += at[0]
		}
		return nil, err
	}
	text := string(b.Dst) // one copy for all results
	for i := range len(b.Out) / 2 {
		results[at[0]+i] = text[b.Out[2*i]:][:b.Out[2*i+1]]
	}
	for i := range b.Bad {
		b.Bad[i].Index += at[0]
	}
	return b.Bad, nil
}
