package bench

import "context"

// tokenizerJSON measures the JSON scanners.
func tokenizerJSON(ctx context.Context, o Options) ([]Row, error) { return nil, ctx.Err() }
