package bulk

import "sync"

// sequencer lets goroutines pass one by one in the order of their tickets.
type sequencer struct {
	mu     sync.Mutex
	cond   sync.Cond
	next   int
	halted bool
}

func newSequencer(first int) *sequencer {
	t := &sequencer{next: first}
	t.cond.L = &t.mu
	return t
}

// wait blocks until it is ticket n's turn. It returns false if the sequencer was halted.
func (t *sequencer) wait(n int) bool {
	t.mu.Lock()
	for t.next != n && !t.halted {
		t.cond.Wait()
	}
	ok := !t.halted
	t.mu.Unlock()
	return ok
}

// pass hands the turn to the next ticket.
func (t *sequencer) pass() {
	t.mu.Lock()
	t.next++
	t.mu.Unlock()
	t.cond.Broadcast()
}

// halt makes every wait return false.
func (t *sequencer) halt() {
	t.mu.Lock()
	t.halted = true
	t.mu.Unlock()
	t.cond.Broadcast()
}
