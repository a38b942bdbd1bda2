package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// changeChannel is notified of every change of the counter.
const changeChannel = "velonym_change"

// watchAgain is the pause before a lost connection is made anew.
const watchAgain = time.Second

// Watch implements [keys.Watcher] with a connection of its own.
func (s *Store) Watch(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		_ = s.listen(ctx, changed) // whoever watches polls as well
		select {
		case <-ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}

// listen calls changed until the connection is lost or the context ends.
func (s *Store) listen(ctx context.Context, changed func()) error {
	c, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchAgain)
		defer cancel()
		_ = c.Close(end)
	}()
	if _, err := c.Exec(ctx, "LISTEN "+changeChannel); err != nil {
		return err
	}
	for {
		changed() // what was before, too: it may have been missed
		if _, err := c.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
