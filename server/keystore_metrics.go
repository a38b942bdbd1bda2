package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// Sweeps collects the results of the keystore's sweeps for the metrics. Its Report is the
// argument of [keys.Keystore.Sweeper]. It is safe for concurrent use.
type Sweeps struct {
	failures atomic.Uint64
	last     atomic.Int64 // when a sweep last succeeded, in Unix seconds
	traces   atomic.Bool
	held     atomic.Int64
}

// Report takes the result of a sweep.
func (s *Sweeps) Report(swept keys.Swept, err error) {
	s.held.Store(int64(len(swept.Held)))
	s.traces.Store(errors.Is(err, keys.ErrTraces))
	if err != nil {
		s.failures.Add(1)
		return
	}
	s.last.Store(time.Now().Unix())
}

// outlookSource is a Keystore that counts its projects.
type outlookSource interface {
	Outlook(ctx context.Context) (keys.Outlook, error)
}

var _ outlookSource = (*keys.Keystore)(nil)

// Projects are counted again when the keystore has changed, at most once in outlookMinAge,
// and after outlookMaxAge in any case, because time passes.
const (
	outlookMinAge = time.Minute
	outlookMaxAge = 10 * time.Minute
)

// outlookLoop keeps the outlook of the metrics up to date.
func (s *Server) outlookLoop() {
	tick := time.NewTicker(outlookMinAge)
	defer tick.Stop()
	seen, at := s.keysChange.Load(), time.Time{}
	for {
		if now := s.keysChange.Load(); now != seen || time.Since(at) >= outlookMaxAge {
			if err := s.refreshOutlook(s.base); err != nil {
				s.log.Error("the projects could not be counted for the metrics", "error", err.Error())
			} else {
				seen, at = now, time.Now()
			}
		}
		select {
		case <-s.base.Done():
			return
		case <-tick.C:
		}
	}
}

// refreshOutlook counts the projects. A refused clock is no error: another metric shows it.
func (s *Server) refreshOutlook(ctx context.Context) error {
	src, ok := s.cfg.Keystore.(outlookSource)
	if !ok {
		return nil
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, outlookMinAge)
	defer cancel()
	o, err := src.Outlook(ctx)
	if errors.Is(err, keys.ErrClock) {
		return nil
	}
	if err != nil {
		return err
	}
	s.outlook.Store(&o)
	return nil
}

// callbackMetric is one line of the metrics whose value is read on each scrape.
type callbackMetric struct {
	name, help string
	labels     string // as the text format writes them: name="value"; "" for none
	counter    bool   // a counter; otherwise a gauge
	value      func() float64
}

// keystoreMetrics returns the metrics of the keystore, its sweeps, the audit log and the
// budgets.
func keystoreMetrics(s *Server) []callbackMetric {
	sweeps := s.cfg.Sweeps
	if sweeps == nil {
		sweeps = &Sweeps{}
	}
	ahead := func(f func(*keys.Outlook) float64) func() float64 {
		return func() float64 {
			if o := s.outlook.Load(); o != nil {
				return f(o)
			}
			return math.NaN() // not known yet
		}
	}
	stats := func(f func(token.Stats) uint64) func() float64 {
		src, ok := s.cfg.Verifier.(interface{ Stats() token.Stats })
		return func() float64 {
			if !ok {
				return 0
			}
			return float64(f(src.Stats()))
		}
	}
	const (
		projects     = "velonym_projects"
		projectsHelp = "Projects by state: active, ended (its grace runs) or severed."
		ending       = "velonym_projects_ending"
		endingHelp   = "Active projects whose retention or scheduled severing comes within so many days."
	)
	list := []callbackMetric{
		{name: "velonym_keystore_unreadable", help: "1 while the keystore cannot be read: no token is answered.",
			value: func() float64 {
				f := s.keysFault.Load()
				return oneIf(f != nil && *f != clockRefused)
			}},
		{name: "velonym_keystore_master_key_wrong", help: "1 while the keystore has another master key than this server: no token is answered.",
			value: func() float64 {
				f := s.keysFault.Load()
				return oneIf(f != nil && *f == masterKeyChanged)
			}},
		{name: "velonym_sweep_failures_total", help: "Sweeps of ended projects that failed.", counter: true,
			value: func() float64 { return float64(sweeps.failures.Load()) }},
		{name: "velonym_sweep_last_success_timestamp_seconds", help: "When a sweep last succeeded, 0: none since the start.",
			value: func() float64 { return float64(sweeps.last.Load()) }},
		{name: "velonym_sweep_held_projects", help: "Ended projects whose keys are kept although their grace is over, because the keystore's clock jumped.",
			value: func() float64 { return float64(sweeps.held.Load()) }},
		{name: "velonym_traces_pending", help: "1 while traces of destroyed keys may be left in the keystore's files.",
			value: func() float64 { return oneIf(sweeps.traces.Load()) }},
		{name: projects, help: projectsHelp, labels: `state="active"`,
			value: ahead(func(o *keys.Outlook) float64 { return float64(o.Active) })},
		{name: projects, help: projectsHelp, labels: `state="ended"`, value: ahead(func(o *keys.Outlook) float64 { return float64(o.Ended) })},
		{name: projects, help: projectsHelp, labels: `state="severed"`, value: ahead(func(o *keys.Outlook) float64 { return float64(o.Severed) })},
		{name: ending, help: endingHelp, labels: `within="7d"`,
			value: ahead(func(o *keys.Outlook) float64 { return float64(o.Within7d) })},
		{name: ending, help: endingHelp, labels: `within="30d"`, value: ahead(func(o *keys.Outlook) float64 { return float64(o.Within30d) })},
		{name: "velonym_next_end_timestamp_seconds", help: "When the next active project ends, 0: none does.",
			value: ahead(func(o *keys.Outlook) float64 { return unixOrZero(o.NextEnd) })},
		{name: "velonym_next_destruction_timestamp_seconds", help: "When the keys of the next ended project are destroyed, 0: none ended.",
			value: ahead(func(o *keys.Outlook) float64 { return unixOrZero(o.NextDestruction) })},
		{name: "velonym_audit_unwritable", help: "1 while audit records cannot be written.",
			value: func() float64 { return oneIf(s.auditFault.Load() != nil) }},
		{name: "velonym_audit_free_bytes", help: "Free space on the disk of the audit log, NaN where that is not known.",
			value: func() float64 { return auditFree(s.cfg.Audit) }},
		{name: "velonym_budget_leases_total", help: "Times that a part of a token's budget was leased from the keystore, each of which waits for its disk.", counter: true,
			value: stats(func(st token.Stats) uint64 { return st.Leases })},
		{name: "velonym_budget_leases_short_total", help: "Leases that got less than the request needed: the token's budget is spent, or other servers hold the rest.", counter: true,
			value: stats(func(st token.Stats) uint64 { return st.LeasesShort })},
		{name: "velonym_budget_lease_failures_total", help: "Leases that the keystore failed to give.", counter: true,
			value: stats(func(st token.Stats) uint64 { return st.LeaseFailures })},
	}
	if s.cfg.TimeStamps != nil {
		list = append(list, timeStampMetrics(s.cfg.TimeStamps)...)
	}
	return list
}

// timeStampMetrics are those of the authority that stamps heads of the audit log.
func timeStampMetrics(stats func() (stamped, failed uint64, last time.Time)) []callbackMetric {
	return []callbackMetric{
		{name: "velonym_audit_timestamps_total", help: "Heads of the audit log that were time-stamped.", counter: true,
			value: func() float64 { n, _, _ := stats(); return float64(n) }},
		{name: "velonym_audit_timestamp_failures_total", help: "Attempts to have a head of the audit log time-stamped that failed.", counter: true,
			value: func() float64 { _, n, _ := stats(); return float64(n) }},
		{name: "velonym_audit_timestamp_last_timestamp_seconds", help: "Time of the last time-stamp of the audit log, 0: none since the start.",
			value: func() float64 { _, _, last := stats(); return unixOrZero(last) }},
	}
}

// fingerprinted is a Keystore with a fingerprint of its master key.
type fingerprinted interface{ MasterKeyFingerprint() string }

var _ fingerprinted = (*keys.Keystore)(nil)

// fingerprintMetric is the metric that tells servers with different master keys apart;
// the key may change while the server runs.
const fingerprintMetric = "velonym_master_key_info"

func (m *metricSet) writeFingerprint(s *Server) {
	ks, ok := s.cfg.Keystore.(fingerprinted)
	if !ok {
		return
	}
	m.help[fingerprintMetric] = "1; the label is the fingerprint of the keystore's master key."
	m.set.RegisterMetricsWriter(func(w io.Writer) {
		metrics.WriteGaugeUint64(w, fmt.Sprintf("%s{fingerprint=%q}", fingerprintMetric, ks.MasterKeyFingerprint()), 1)
	})
}

// auditFree returns the free bytes on the disk of the audit log, NaN if unknown.
func auditFree(a Audit) float64 {
	log, ok := a.(*audit.Log)
	if !ok {
		return math.NaN()
	}
	n, err := log.Free()
	if err != nil {
		return math.NaN()
	}
	return float64(n)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unixOrZero(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}
