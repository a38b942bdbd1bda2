package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/velonym/velonym/engine/keys"
)

// TestWritersQueue checks that a writer waits for those of this process and of others until its
// context ends, and that its connection keeps its busy timeout.
func TestWritersQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keystore.db")
	first, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	other, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	set := func(value byte) func(keys.Tx) error {
		return func(tx keys.Tx) error { return tx.SetMeta("test", []byte{value}) }
	}
	err = first.Update(t.Context(), func(keys.Tx) error {
		for _, s := range []keys.Store{first, other} {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			if err := s.Update(ctx, set(1)); !errors.Is(err, context.Canceled) {
				t.Errorf("while another transaction writes: %v", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []keys.Store{first, other} {
		if err := s.Update(t.Context(), set(2)); err != nil {
			t.Error(err)
		}
		var timeout int64
		if err := s.(*Store).db.QueryRow("PRAGMA busy_timeout").Scan(&timeout); err != nil || timeout != busyTimeout.Milliseconds() {
			t.Errorf("the busy timeout is %d ms, %v", timeout, err)
		}
	}

	// A writer of another process that begins while the file is locked gets the lock later.
	holding, done := make(chan struct{}), make(chan error, 1)
	err = first.Update(t.Context(), func(keys.Tx) error {
		go func() {
			close(holding)
			done <- other.Update(t.Context(), set(3))
		}()
		<-holding
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	row, err := first.Change(t.Context(), keys.ChangeQuery{Meta: "test"})
	if value := row.Meta; err != nil || len(value) != 1 || value[0] != 3 {
		t.Errorf("the entry is %v, %v", row.Meta, err)
	}
}
