package token

import (
	"context"
	"testing"
)

// notifying is a keystore whose store reports changes.
type notifying struct {
	*memory
	changed chan func()
	ended   bool
}

func (w *notifying) Watch(ctx context.Context, changed func()) {
	w.changed <- changed
	<-ctx.Done()
	w.ended = true
}

// TestStoreNotificationCausesPoll checks that a notification of the store causes a poll, and
// that Close ends the watch.
func TestStoreNotificationCausesPoll(t *testing.T) {
	r := newRig(t)
	w := &notifying{memory: r.store, changed: make(chan func(), 1)}
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
		t.Error("Watch has not ended after Close")
	}
}
