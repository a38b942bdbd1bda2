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

// projectSource is a Keystore that lists its projects and has a clock.
type projectSource interface {
	Projects(ctx context.Context) ([]keys.Project, error)
	Clock(ctx context.Context) (keys.Clock, error)
}

var _ projectSource = (*keys.Keystore)(nil)

// outlook counts the projects of a keystore by state and holds their next dates, which are
// zero if there are none.
type outlook struct {
	active, ended, severed int
	within7d, within30d    int // active projects that end by then
	nextEnd                time.Time
	nextDestruction        time.Time
}

// outlookOf returns the outlook as of now.
func outlookOf(projects []keys.Project, now time.Time) (o outlook) {
	sooner := func(at *time.Time, t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(*at)) {
			*at = t
		}
	}
	for i := range projects {
		p := &projects[i]
		switch {
		case p.Severed:
			o.severed++
			continue
		case p.EndedBy(now):
			o.ended++
			sooner(&o.nextDestruction, p.DestroyAt())
			continue
		}
		o.active++
		var end time.Time
		sooner(&end, p.Retention)
		sooner(&end, p.SeverAt)
		if end.IsZero() {
			continue
		}
		sooner(&o.nextEnd, end)
		if left := end.Sub(now); left <= 30*24*time.Hour {
			o.within30d++
			if left <= 7*24*time.Hour {
				o.within7d++
			}
		}
	}
	return o
}

// The projects are listed again once the keystore has changed, but not before
// outlookMinAge, and in any case after outlookMaxAge, since dates come nearer.
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
				s.log.Error("the projects could not be listed for the metrics", "error", err.Error())
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

// refreshOutlook lists the projects.
func (s *Server) refreshOutlook(ctx context.Context) error {
	src, ok := s.cfg.Keystore.(projectSource)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, outlookMinAge)
	defer cancel()
	c, err := src.Clock(ctx)
	if err != nil {
		return err
	}
	now, err := c.Time()
	if err != nil {
		return nil // a metric of its own says so
	}
	projects, err := src.Projects(ctx)
	if err != nil {
		return err
	}
	o := outlookOf(projects, now)
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
	ahead := func(f func(*outlook) float64) func() float64 {
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
	return []callbackMetric{
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
			value: ahead(func(o *outlook) float64 { return float64(o.active) })},
		{name: projects, help: projectsHelp, labels: `state="ended"`, value: ahead(func(o *outlook) float64 { return float64(o.ended) })},
		{name: projects, help: projectsHelp, labels: `state="severed"`, value: ahead(func(o *outlook) float64 { return float64(o.severed) })},
		{name: ending, help: endingHelp, labels: `within="7d"`,
			value: ahead(func(o *outlook) float64 { return float64(o.within7d) })},
		{name: ending, help: endingHelp, labels: `within="30d"`, value: ahead(func(o *outlook) float64 { return float64(o.within30d) })},
		{name: "velonym_next_end_timestamp_seconds", help: "When the next active project ends, 0: none does.",
			value: ahead(func(o *outlook) float64 { return unixOrZero(o.nextEnd) })},
		{name: "velonym_next_destruction_timestamp_seconds", help: "When the keys of the next ended project are destroyed, 0: none ended.",
			value: ahead(func(o *outlook) float64 { return unixOrZero(o.nextDestruction) })},
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
