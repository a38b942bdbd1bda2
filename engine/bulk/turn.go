package bulk

import "sync"

// turn lets goroutines pass one by one in the order of their tickets.
type turn struct {
	mu     sync.Mutex
	cond   sync.Cond
	next   int
	halted bool
}

func newTurn(first int) *turn {
	t := &turn{next: first}
	t.cond.L = &t.mu
	return t
}

// wait blocks until it is ticket n's turn and reports whether it is; false
// means that the line was halted.
func (t *turn) wait(n int) bool {
	t.mu.Lock()
	for t.next != n && !t.halted {
		t.cond.Wait()
	}
	ok := !t.halted
	t.mu.Unlock()
	return ok
}

// pass hands the turn to the next ticket.
func (t *turn) pass() {
	t.mu.Lock()
	t.next++
	t.mu.Unlock()
	t.cond.Broadcast()
}

// halt lets nobody pass any more.
func (t *turn) halt() {
	t.mu.Lock()
	t.halted = true
	t.mu.Unlock()
	t.cond.Broadcast()
}
