package token

import (
	"context"
	"testing"
)

// telling is a keystore whose store tells of changes.
type telling struct {
	*memory
	changed chan func()
	ended   bool
}

func (w *telling) Watch(ctx context.Context, changed func()) {
	w.changed <- changed
	<-ctx.Done()
	w.ended = true
}

// TestStoreTells has what the store is told to call bring about a poll, and Close end the
// watching.
func TestStoreTells(t *testing.T) {
	r := newRig(t)
	w := &telling{memory: r.store, changed: make(chan func(), 1)}
	v, err := NewVerifier(Config{Keystore: w, Issuer: r.issuer, Now: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	v.pollMu.Lock()
	next := v.nextPoll
	v.pollMu.Unlock()
	(<-w.changed)()
	<-next.done
	if next.err != nil {
		t.Error(next.err)
	}
	v.Close()
	if !w.ended {
		t.Error("Close left somebody watching")
	}
}
