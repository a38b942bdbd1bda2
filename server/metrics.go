package server

import (
	"bytes"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// route is the endpoint label of a metric: one of three constants, so that no
// client can make labels.
type route uint8

const (
	routeForward route = iota
	routeReverse
	routeOther
	numRoutes
)

var routeNames = [numRoutes]string{"request-psn", "request-psn-rev", "other"}

// metrics are the server's figures. Every label value is known beforehand and
// looked up once, so that a request costs a few atomic additions.
type metrics struct {
	reg           *prometheus.Registry
	byCode        [numRoutes][numCodes]prometheus.Counter
	latency       [numRoutes]prometheus.Observer
	batch         [numRoutes]prometheus.Observer
	values        [numRoutes]prometheus.Counter
	budgets       [len(budgetClasses)]prometheus.Counter
	connsRefused  prometheus.Counter
	auditFailures prometheus.Counter
}

// budgetClasses are the shares of psn.lim.max that are left after a request.
var budgetClasses = [...]struct {
	name string
	from float64
}{{"half", 0.5}, {"tenth", 0.1}, {"hundredth", 0.01}, {"less", 0}}

func newMetrics(s *Server) *metrics {
	m := &metrics{reg: prometheus.NewRegistry()}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "velonym_requests_total", Help: "Requests by endpoint and outcome, OK or a code of the error table."}, []string{"endpoint", "code"})
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "velonym_request_seconds", Help: "Time from the request's header to the answer being ready to send.",
		Buckets: []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"endpoint"})
	batch := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "velonym_request_values", Help: "Values of a request that could be read.",
		Buckets: []float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7}}, []string{"endpoint"})
	values := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "velonym_values_total", Help: "Values of answered requests, empty ones included."}, []string{"endpoint"})
	budgets := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "velonym_budget_left_requests_total", Help: "Requests of tokens with a budget, by what is left of it afterwards: at least half, a tenth, a hundredth, or less."}, []string{"left"})
	m.connsRefused = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "velonym_connections_refused_total", Help: "Connections over the cap."})
	m.auditFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "velonym_audit_failures_total", Help: "Audit records that could not be written."})
	for r := range numRoutes {
		for c := range numCodes {
			m.byCode[r][c] = requests.WithLabelValues(routeNames[r], problems[c].name)
		}
		if r != routeOther {
			m.latency[r] = latency.WithLabelValues(routeNames[r])
			m.batch[r] = batch.WithLabelValues(routeNames[r])
			m.values[r] = values.WithLabelValues(routeNames[r])
		}
	}
	for i, c := range budgetClasses {
		m.budgets[i] = budgets.WithLabelValues(c.name)
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	m.reg.MustRegister(requests, latency, batch, values, budgets, m.connsRefused, m.auditFailures,
		gauge("velonym_in_flight_bytes", "Memory held by requests.", func() float64 { return float64(s.mem.used.Load()) }),
		gauge("velonym_in_flight_limit_bytes", "Bound of velonym_in_flight_bytes and velonym_idle_bytes together.", func() float64 { return float64(s.mem.limit) }),
		gauge("velonym_idle_bytes", "Buffers kept for reuse.", func() float64 { return float64(s.mem.idle.Load()) }),
		gauge("velonym_key_memory_unlocked_bytes", "Memory for keys that the system refused to lock.", func() float64 { return float64(keys.MemoryUnlocked()) }),
		gauge("velonym_connections", "Open connections.", func() float64 { return float64(s.conns.Load()) }),
		gauge("velonym_keystore_clock_refused", "1 while the keystore refuses this machine's clock: no token is answered.", func() float64 {
			if f := s.keysFault.Load(); f != nil && *f == clockRefused {
				return 1
			}
			return 0
		}),
		gauge("velonym_ready", "1 when the server is ready.", func() float64 {
			if s.Ready() != nil {
				return 0
			}
			return 1
		}),
		buildInfo(s.cfg))
	m.reg.MustRegister(tokenStats(s.cfg.Verifier)...)
	for _, f := range keystoreFigures(s) {
		m.reg.MustRegister(f.collector())
	}
	m.reg.MustRegister(runtimeStats()...)
	return m
}

// collector is the figure as the registry takes it.
func (f figure) collector() prometheus.Collector {
	labels := prometheus.Labels{}
	if name, value, ok := strings.Cut(f.labels, "="); ok {
		labels[name] = strings.Trim(value, `"`)
	}
	if f.counter {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: f.name, Help: f.help, ConstLabels: labels}, f.value)
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: f.name, Help: f.help, ConstLabels: labels}, f.value)
}

// buildInfo is the metric that says what runs.
func buildInfo(c Config) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "velonym_build_info", Help: "1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": c.Version, "commit": c.Commit, "go": runtime.Version(), "kernel": c.Kernel}},
		func() float64 { return 1 })
}

// tokenStats are the verifier's own counts, where it has some.
func tokenStats(v Verifier) []prometheus.Collector {
	src, ok := v.(interface{ Stats() token.Stats })
	if !ok {
		return nil
	}
	counter := func(name, help string, f func(token.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(f(src.Stats())) })
	}
	return []prometheus.Collector{
		counter("velonym_token_cache_hits_total", "Tokens found verified in the cache.", func(s token.Stats) uint64 { return s.Hits }),
		counter("velonym_token_cache_misses_total", "Tokens that were verified in full.", func(s token.Stats) uint64 { return s.Misses }),
		counter("velonym_token_negative_hits_total", "Tokens refused again from the negative cache.", func(s token.Stats) uint64 { return s.Negative }),
		counter("velonym_token_refusals_total", "Refusals of the verifier.", func(s token.Stats) uint64 { return s.Refused }),
		counter("velonym_token_number_walks_total", "Tokens seen to walk through consecutive numbers.", func(s token.Stats) uint64 { return s.Enumerations }),
	}
}

// runtimeStats are the figures of the Go runtime and the process.
func runtimeStats() []prometheus.Collector {
	return []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
}

func (m *metrics) requests(r route, c code) { m.byCode[r][c].Inc() }

// served counts a request of one of the two endpoints.
func (m *metrics) served(r route, c code, took time.Duration, values int64) {
	m.byCode[r][c].Inc()
	m.latency[r].Observe(took.Seconds())
	if values > 0 {
		m.batch[r].Observe(float64(values))
	}
	if c == codeOK {
		m.values[r].Add(float64(values))
	}
}

// budget counts what is left of a token's budget.
func (m *metrics) budget(left, of int64) {
	share := float64(left) / float64(max(of, 1))
	for i, c := range budgetClasses {
		if share >= c.from {
			m.budgets[i].Inc()
			return
		}
	}
	m.budgets[len(m.budgets)-1].Inc()
}

// text writes all figures in the Prometheus text format.
func (m *metrics) text() ([]byte, error) {
	families, err := m.reg.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
