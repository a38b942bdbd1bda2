package bulk

import (
	"context"

	"github.com/velonym/velonym/engine/suite"
)

// Remote is a server of the HTTP contract that transforms a column's values.
type Remote struct {
	URL         string
	Concurrency int
}

func (r *Remote) prepare() error { return nil }

func (r *Remote) identity() string { return r.URL }

func (r *Remote) transform(ctx context.Context, b *suite.Batch) error { return nil }
