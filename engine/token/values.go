package token

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// ValuesError is returned if some values cannot be transformed.
type ValuesError struct{ Bad []suite.ValueError }

func (e *ValuesError) Error() string {
	return fmt.Sprintf("token: %d values cannot be transformed; the first is value %d: %s", len(e.Bad), e.Bad[0].Index, e.Bad[0].Code)
}

// Pseudonymise charges the values to the token's budget and returns their pseudonyms in
// the same order. An empty value stays empty and costs nothing. With an error there are
// no results, except for a token with psn.err "item": then they accompany a *ValuesError,
// and those of the values it lists are empty. A refusal is an *Error.
//
// Under policy document the values are one document. For many values, Spend and Plan with
// a Batch avoid a string for each.
func (g *Grant) Pseudonymise(ctx context.Context, values []string) ([]string, error) {
	return g.values(ctx, spec.Pseudonymise, values)
}

// Reverse returns the identifiers of pseudonyms; see Pseudonymise.
func (g *Grant) Reverse(ctx context.Context, pseudonyms []string) ([]string, error) {
	return g.values(ctx, spec.Reverse, pseudonyms)
}

// Secondary returns pseudonyms of the grant's project for those of its source; see Pseudonymise.
func (g *Grant) Secondary(ctx context.Context, pseudonyms []string) ([]string, error) {
	return g.values(ctx, spec.Secondary, pseudonyms)
}

func (g *Grant) values(ctx context.Context, op spec.Op, values []string) ([]string, error) {
	if g.Op != op {
		return nil, refuse(ForbiddenOperation, fmt.Sprintf("the grant is for %s, not for %s", g.Op, op))
	}
	size, n := 0, 0
	for _, v := range values {
		size += len(v)
		if v != "" {
			n++
		}
	}
	if size > math.MaxUint32 || g.Plan.MaxOut(len(values), size) > math.MaxUint32 {
		return nil, errors.New("token: 4 GiB or more of values in one call: give them in parts")
	}
	b := suite.Batch{Src: make([]byte, 0, size+64), Spans: make([]uint32, 0, 2*len(values)), Doc: g.Plan.NewDocument()}
	for _, v := range values {
		b.Append(v)
	}
	if err := g.Spend(ctx, n-g.Plan.Blank(b.Src, b.Spans)); err != nil {
		return nil, err
	}
	g.Plan.Transform(&b)
	var bad error
	if len(b.Bad) > 0 {
		bad = &ValuesError{b.Bad}
		if g.Claims.PSN.Err != ErrItem {
			return nil, bad
		}
	}
	text := string(b.Dst) // one copy for all results
	results := make([]string, len(values))
	for i := range results {
		results[i] = text[b.Out[2*i]:][:b.Out[2*i+1]]
	}
	return results, bad
}
