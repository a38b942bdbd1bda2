package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Scrub implements [keys.Store]. It moves the live rows of every table from which rows
// were deleted to a new file. It does not use VACUUM FULL, which keeps dead rows as long
// as any old snapshot in the database may need them. TRUNCATE waits for readers and
// leaves nothing. The server removes the old files at its next checkpoint.
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
				CREATE TEMPORARY TABLE velonym_keep_%[1]d ON COMMIT DROP AS SELECT * FROM velonym.secret_%[1]d;
				TRUNCATE velonym.secret_%[1]d;
				INSERT INTO velonym.secret_%[1]d SELECT * FROM velonym_keep_%[1]d;`, part))
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// Verify implements [keys.Store]. It does nothing: the server checks its pages itself.
func (s *Store) Verify(context.Context) error { return nil }
