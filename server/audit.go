package server

import (
	"time"

	"github.com/velonym/velonym/engine/audit"
)

const (
	// The log and /readyz show auditFault, clients auditUnavailable.
	auditFault       = "the audit log cannot be written"
	auditUnavailable = "calls cannot be recorded at the moment"
)

// appendRecord appends a record to the audit log. A failure takes the server out of service
// until a probe succeeds: see probeLoop.
func (s *Server) appendRecord(r audit.Record) error {
	err := s.cfg.Audit.Append(r)
	switch {
	case err != nil:
		s.metrics.auditFailures.Inc()
		s.fault(&s.auditFault, auditFault, err)
	case s.auditFault.Load() != nil:
		// Its space may have been reserved before the disk was full; the next probe decides.
		s.probeSoon.Store(true)
	}
	return err
}

// auditDown reports whether calls are refused because they cannot be recorded.
func (s *Server) auditDown() bool { return s.auditFault.Load() != nil && !s.cfg.AuditContinue }

// longestBackoff bounds the wait between two probes of something that is down.
const longestBackoff = 8 * time.Second

// backoff spaces probes: each failure doubles the wait, a success resets it. It counts the
// ticks of probeLoop.
type backoff struct {
	wait, left time.Duration
}

// due reports whether this tick is one for a probe. It is called once a tick.
func (b *backoff) due() bool {
	b.left -= probeInterval
	return b.left <= 0
}

// reset sets the wait for the next probe.
func (b *backoff) reset(failed bool) {
	if !failed {
		b.wait = 0
	} else {
		b.wait = min(max(2*b.wait, probeInterval), longestBackoff)
	}
	b.left = b.wait
}
