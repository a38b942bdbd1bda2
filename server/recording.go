package server

import (
	"time"

	"github.com/velonym/velonym/engine/audit"
)

const (
	// auditFault is what the log and /readyz say, auditUnavailable what clients are told.
	auditFault       = "the audit log cannot be written"
	auditUnavailable = "calls cannot be recorded at the moment"
)

// note appends a record to the audit log. A failure takes the server out of service
// until a probe succeeds: see watch.
func (s *Server) note(r audit.Record) error {
	err := s.cfg.Audit.Append(r)
	switch {
	case err != nil:
		s.metrics.auditFailures.Inc()
		s.fault(&s.auditFault, auditFault, err)
	case s.auditFault.Load() != nil:
		// It may have had its space before the failure; a probe says more.
		s.probeSoon.Store(true)
	}
	return err
}

// auditDown says whether calls are refused because they cannot be recorded.
func (s *Server) auditDown() bool { return s.auditFault.Load() != nil && !s.cfg.AuditContinue }

// longestBackoff bounds the wait between two probes of something that is down.
const longestBackoff = 8 * time.Second

// backoff spaces probes: each failure doubles the wait, success ends it. It counts
// ticks of watch.
type backoff struct {
	wait, left time.Duration
}

// due says whether the tick that it is called at is one for a probe.
func (b *backoff) due() bool {
	b.left -= watchEvery
	return b.left <= 0
}

// again sets the wait for the next probe.
func (b *backoff) again(failed bool) {
	if !failed {
		b.wait = 0
	} else {
		b.wait = min(max(2*b.wait, watchEvery), longestBackoff)
	}
	b.left = b.wait
}
