package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// SQLite has no queue of writers. One that finds the file locked sleeps for up to 100 ms
// before it tries again, so that it can wait for seconds beside a process that commits
// many short transactions. Therefore the writers of this process queue for one turn, and
// the one whose turn it is asks for the lock at short intervals.

const (
	askSoon   = time.Millisecond     // interval of the first askOften attempts
	askOften  = 100                  // number of attempts
	askSeldom = 5 * time.Millisecond // interval of further attempts
)

// errHeld means that the turn of a writer did not come within busyTimeout.
var errHeld = errors.New("other writers of this process are waiting too")

// beginWrite begins a transaction that holds the file's write lock. The caller ends the
// transaction and then calls done.
func (s *Store) beginWrite(ctx context.Context) (t *sql.Tx, done func(), err error) {
	end := time.NewTimer(busyTimeout)
	defer end.Stop()
	select {
	case s.turn <- struct{}{}:
	case <-end.C:
		return nil, nil, errHeld
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	endTurn := func() { <-s.turn }
	c, err := s.db.Conn(ctx)
	if err != nil {
		endTurn()
		return nil, nil, err
	}
	if t, err = beginOn(ctx, c, end.C); err != nil {
		c.Close()
		endTurn()
		return nil, nil, err
	}
	return t, func() { c.Close(); endTurn() }, nil
}

// beginOn begins a writing transaction on a connection, and repeats that until end while
// the file is locked.
func beginOn(ctx context.Context, c *sql.Conn, end <-chan time.Time) (t *sql.Tx, err error) {
	if _, err := c.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return nil, err
	}
	defer func() {
		// Other statements of the connection may wait as usual.
		if _, e := c.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", busyTimeout.Milliseconds())); e != nil {
			_ = c.Raw(func(any) error { return driver.ErrBadConn }) // the pool drops it
			if t != nil {
				_ = t.Rollback()
			}
			t, err = nil, errors.Join(err, e)
		}
	}()
	for n := 0; ; n++ {
		if t, err = c.BeginTx(ctx, nil); !isBusy(err) {
			return t, err
		}
		pause := time.NewTimer(askSeldom)
		if n < askOften {
			pause.Reset(askSoon)
		}
		select {
		case <-pause.C:
		case <-end:
			return nil, err
		case <-ctx.Done():
			pause.Stop()
			return nil, ctx.Err()
		}
	}
}
