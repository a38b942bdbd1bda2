package sqlite

import (
	"context"
	"fmt"

	"github.com/velonym/velonym/engine/keys"
)

// Scrub implements [keys.Store]. Secrets are overwritten in place (see upgrades), so it
// only empties the write-ahead log. Its time depends on the size of the log, not of the
// file. If an upgrade or a rewrap moved secrets, it rebuilds the file first.
func (s *Store) Scrub(ctx context.Context) error {
	due, err := s.vacuumDue(ctx)
	if err != nil {
		return err
	}
	if due {
		if _, err := s.db.ExecContext(ctx, "VACUUM"); err != nil {
			return s.wrapErr(err)
		}
		err := s.Update(ctx, func(t keys.Tx) error { return t.SetMeta(metaVacuum, nil) })
		if err != nil {
			return err
		}
	}
	var busy, logged, moved int
	if err := s.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &moved); err != nil {
		return s.wrapErr(err)
	}
	if busy != 0 {
		return fmt.Errorf("keys: keystore %s: another process holds the write-ahead log", s.path)
	}
	return nil
}

const metaVacuum = "vacuum"

func (s *Store) vacuumDue(ctx context.Context) (due bool, err error) {
	err = s.View(ctx, func(t keys.Tx) error {
		mark, err := t.Meta(metaVacuum)
		due = mark != nil
		return err
	})
	return due, err
}

// Verify implements [keys.Store].
func (s *Store) Verify(ctx context.Context) error {
	var result string
	if err := s.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return s.wrapErr(err)
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s: restore it from a backup; it is left as it is", keys.ErrCorrupt, s.path)
	}
	return nil
}
