package bulk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/velonym/velonym/client"
	"github.com/velonym/velonym/engine/suite"
)

// Remote is a server of the HTTP contract that transforms a column's values instead of a
// plan. Columns with the same Remote (the same pointer) share requests. Values are sent in
// batches, several at a time. A batch without an answer is sent again, which is safe if
// equal values get equal results.
type Remote struct {
	// URL is the server's: "https://psn.example.org", with a base path if it has
	// one. /api/request-psn or /api/request-psn-rev is added where it does not end
	// in one of them.
	URL string
	// Token is sent as the bearer token and stored nowhere else.
	Token []byte
	// Reverse selects the endpoint that reverses. A JWT whose op is reverse implies it.
	Reverse bool

	BatchValues int           // values in a request; 0: 10,000. The token's req and an answer of 413 reduce it
	BatchBytes  int           // bytes of values in a request; 0: 1 MiB
	Concurrency int           // requests at a time; 0: 4
	Attempts    int           // for each batch; 0: 10
	Pause       time.Duration // before the second attempt; doubled before each other, up to half a minute; 0: 250 ms

	Client *http.Client // nil: one with keep-alive. Redirects are not followed, so that the token goes nowhere else

	endpoint string
	warn     func(string)
	client   *client.Client
}

// prepare checks the fields and sets defaults.
func (r *Remote) prepare() error {
	// A run repeats batches and warns where results may differ.
	c, err := client.New(client.Config{URL: r.URL, Token: r.Token, Reverse: r.Reverse, BatchValues: r.BatchValues, BatchBytes: r.BatchBytes,
		Concurrency: r.Concurrency, Attempts: r.Attempts, Pause: r.Pause, RepeatSpends: true, HTTP: r.Client, Warn: r.warn})
	var path *client.PathError
	switch {
	case errors.Is(err, client.ErrURL):
		return ErrServerURL
	case errors.As(err, &path):
		return &ServerPathError{path.Named, path.Wanted}
	case errors.Is(err, client.ErrToken):
		return usagef("the server needs a token, one line of at most 8 KiB")
	case err != nil:
		return usagef("limits of the server's batches must not be negative")
	}
	r.client, r.endpoint = c, c.Endpoint()
	r.BatchValues, r.Concurrency = c.BatchValues(), c.Concurrency()
	return nil
}

// warnings returns warnings for the user before values are sent.
func (r *Remote) warnings() []string { return r.client.Cautions() }

// identity identifies the server and the purpose of the token without revealing the token.
func (r *Remote) identity() string { return r.client.Identity() }

// remoteError is a batch that the server did not transform.
type remoteError = client.BatchError

// transform fills b like suite.Plan.Transform. With all it finds every value that the server
// refuses, by sending the others again; else at least the first.
func (r *Remote) transform(ctx context.Context, b *suite.Batch, all bool) error {
	far := client.Batch{Src: b.Src, Spans: b.Spans, Dst: b.Dst, Out: b.Out}
	err := r.client.Transform(ctx, &far, all)
	b.Dst, b.Out, b.Bad = far.Dst, far.Out, b.Bad[:0]
	for _, bad := range far.Bad {
		b.Bad = append(b.Bad, suite.ValueError{Index: bad.Index, Code: codeOf(bad.Code)})
	}
	var batch *client.BatchError
	if errors.As(err, &batch) {
		if ctx.Err() != nil {
			batch.Err = ErrInterrupted
		} else {
			batch.Err = exhaustedToken(batch.Err)
		}
	}
	return err
}

// tokenExhausted means that a token has expired or has spent its budget.
type tokenExhausted struct {
	err   error
	again bool // another token for the same work can continue
}

func (e *tokenExhausted) Error() string   { return e.err.Error() }
func (e *tokenExhausted) Unwrap() error   { return e.err }
func (e *tokenExhausted) Resumable() bool { return e.again }

// exhaustedToken returns a refusal if err means that the token can do no more, else err.
func exhaustedToken(err error) error {
	var status *client.StatusError
	if !errors.As(err, &status) {
		return err
	}
	switch ended, renewable := status.TokenEnded(); {
	case renewable:
		return &refusal{&tokenExhausted{fmt.Errorf("%w: have another token made for the same work", err), true}}
	case ended:
		return &refusal{&tokenExhausted{err, false}}
	}
	return err
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
