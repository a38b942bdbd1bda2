package timestamp

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/audit"
)

const (
	retryPause   = time.Minute     // between a failed attempt and the next
	closeTimeout = 5 * time.Second // of the last attempt, in Close
)

// Stamper stamps the newest head of a log in the background. It is safe for concurrent
// use.
type Stamper struct {
	tsa   *Authority
	path  string
	every time.Duration
	log   *slog.Logger

	mu      sync.Mutex
	pending *audit.Head // newest head that is not stamped; nil: none
	wake    chan struct{}
	stop    chan struct{}
	closing sync.Once
	running sync.WaitGroup

	stamped, failed atomic.Uint64
	last            atomic.Int64
}

// NewStamper returns a Stamper that appends to the file of the log at path: see [Path]. It
// stamps the newest head, but no more often than every. Close it after the log.
func NewStamper(tsa *Authority, path string, every time.Duration, log *slog.Logger) *Stamper {
	s := &Stamper{tsa: tsa, path: Path(path), every: every, log: log, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	s.running.Go(s.run)
	return s
}

// Offer gives the Stamper a new head and returns at once. A head that a newer one replaces
// before its turn is never stamped: the newer one covers its records.
func (s *Stamper) Offer(h audit.Head) {
	s.mu.Lock()
	s.pending = &h
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Stats are counts since the Stamper was made, and the time of the last stamp.
type Stats struct {
	Stamped, Failed uint64
	Last            time.Time // zero: none
}

// Stats returns the present counts.
func (s *Stamper) Stats() Stats {
	st := Stats{Stamped: s.stamped.Load(), Failed: s.failed.Load()}
	if n := s.last.Load(); n != 0 {
		st.Last = time.Unix(0, n).UTC()
	}
	return st
}

// Close makes one last attempt to stamp the newest head, for up to 5 seconds, and stops.
func (s *Stamper) Close() error {
	s.closing.Do(func() { close(s.stop) })
	s.running.Wait()
	return nil
}

func (s *Stamper) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failing := false
	for {
		select {
		case <-s.stop:
			s.lastAttempt()
			return
		case <-s.wake:
		}
		pause := s.every
		done := make(chan bool, 1)
		go func() { done <- s.stampPending(ctx, &failing) }()
		select {
		case ok := <-done:
			if !ok {
				pause = min(retryPause, max(s.every, time.Second))
			}
		case <-s.stop:
			cancel() // a new attempt follows, of the newest head
			<-done
			s.lastAttempt()
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
			s.mu.Lock()
			if s.pending != nil {
				select {
				case s.wake <- struct{}{}:
				default:
				}
			}
			s.mu.Unlock()
		case <-s.stop:
			t.Stop()
		}
	}
}

func (s *Stamper) lastAttempt() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	failing := false
	s.stampPending(ctx, &failing)
}

// stampPending stamps the newest head, if there is one, and reports whether none is left
// for which an attempt failed. It logs the first of several failures in a row.
func (s *Stamper) stampPending(ctx context.Context, failing *bool) bool {
	s.mu.Lock()
	h := s.pending
	s.pending = nil
	s.mu.Unlock()
	if h == nil {
		return true
	}
	token, stamp, err := s.tsa.Stamp(ctx, h.Message())
	if err == nil {
		err = Append(s.path, Entry{Seq: h.Seq, Digest: h.Digest, HeadTime: h.Time, Time: stamp.Time.UTC(), TSA: s.tsa.Place, Token: token})
	}
	if err != nil {
		s.mu.Lock()
		if s.pending == nil {
			s.pending = h
		}
		s.mu.Unlock()
		if ctx.Err() == context.Canceled {
			return false
		}
		s.failed.Add(1)
		if !*failing {
			*failing = true
			s.log.Warn("a head of the audit log was not time-stamped; the next stamp covers the same records", "tsa", s.tsa.Place, "error", err.Error())
		}
		return false
	}
	s.stamped.Add(1)
	s.last.Store(stamp.Time.UnixNano())
	if *failing {
		*failing = false
		s.log.Info("heads of the audit log are time-stamped again", "tsa", s.tsa.Place)
	}
	return true
}
