package bulk

import "context"

func (r *run) parquet(_ context.Context, src *source, _ string) error {
	return usagef("%s: Parquet", src.name)
}
