package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Scrub implements [keys.Store]. It moves the live rows of every table from which rows
// were deleted to a new file. It does not use VACUUM FULL, which keeps dead rows as long
// as any old snapshot in the database may need them. TRUNCATE waits for readers and
// leaves nothing. The rows wait in a variable, not in a temporary table, which would
// write them to another file. The server removes the old files at its next checkpoint.
func (s *Store) Scrub(ctx context.Context) error {
	return s.wrapErr(pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		if err := lock(ctx, t); err != nil {
			return err
		}
		rows, err := t.Query(ctx, "DELETE FROM velonym.scrub_due RETURNING part")
		if err != nil {
			return err
		}
		parts, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil || len(parts) == 0 {
			return err
		}
		if _, err := t.Exec(ctx, "LOCK TABLE velonym.scrub_gate IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		for _, part := range parts {
			_, err := t.Exec(ctx, fmt.Sprintf(`
				DO $$
				DECLARE kept velonym.secret_%[1]d[];
				BEGIN
					SELECT array_agg(s ORDER BY prj, org, gen) INTO kept FROM velonym.secret_%[1]d AS s;
					TRUNCATE velonym.secret_%[1]d;
					INSERT INTO velonym.secret_%[1]d SELECT k.* FROM unnest(kept) AS k;
				END $$`, part))
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// Verify implements [keys.Store]. It does nothing: the server checks its pages itself.
func (s *Store) Verify(context.Context) error { return nil }
