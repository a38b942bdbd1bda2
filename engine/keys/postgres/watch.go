package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// changeChannel is the notification channel for changes of the counter.
const changeChannel = "velonym_change"

// watchAgain is the pause before a lost connection is replaced.
const watchAgain = time.Second

// Watch implements [keys.Watcher] with a connection outside the pool.
func (s *Store) Watch(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		_ = s.listen(ctx, changed) // the caller polls as well, so errors need no report
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
		changed() // also before the first notification: changes may have been missed
		if _, err := c.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
