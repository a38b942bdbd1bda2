package server

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"runtime"
	rt "runtime/metrics"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// route is the endpoint label of a metric: one of four constants, so that no client can
// create labels.
type route uint8

const (
	routeForward route = iota
	routeReverse
	routeValidate
	routeOther
	numRoutes
)

var routeNames = [numRoutes]string{"request-psn", "request-psn-rev", "validate", "other"}

// metricSet is the server's metrics. Every counter is created at the start, so that a
// request costs a few atomic additions.
type metricSet struct {
	set           *metrics.Set
	help          map[string]string // by the name of a metric
	byCode        [numRoutes][numCodes]*metrics.Counter
	latency       [numRoutes]*metrics.PrometheusHistogram
	batch         [numRoutes]*metrics.PrometheusHistogram
	values        [numRoutes]*metrics.Counter
	budgets       [len(budgetClasses)]*metrics.Counter
	connsRefused  *metrics.Counter
	auditFailures *metrics.Counter
}

// counterHelp is the help text of the metrics that requests change, and of those of
// writeRuntime that the library does not write. The other metrics of the Go runtime and of
// the process have their usual names and meanings.
var counterHelp = map[string]string{
	"velonym_requests_total":             "Requests by endpoint and outcome, OK or a code of the error table.",
	"velonym_request_seconds":            "Time from the request's header to the answer being ready to send.",
	"velonym_request_values":             "Values of a request that could be read.",
	"velonym_values_total":               "Values of answered requests, empty ones included.",
	"velonym_budget_left_requests_total": "Requests of tokens with a budget, by what is left of it afterwards: at least half, a tenth, a hundredth, or less.",
	"velonym_connections_refused_total":  "Connections over the cap.",
	"velonym_audit_failures_total":       "Audit records that could not be written.",
	"go_gc_gogc_percent":                 "Heap growth that starts a collection, in percent.",
	"go_gc_gomemlimit_bytes":             "Memory limit of the Go runtime.",
	"go_sched_gomaxprocs_threads":        "Threads that run Go code at a time.",
}

var (
	latencyBuckets = []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	valuesBuckets  = []float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7}
)

// budgetClasses are the classes of the share of psn.lim.max that is left after a request.
var budgetClasses = [...]struct {
	name string
	from float64
}{{"half", 0.5}, {"tenth", 0.1}, {"hundredth", 0.01}, {"less", 0}}

func newMetricSet(s *Server) *metricSet {
	metrics.ExposeMetadata(true) // of all sets: # TYPE before each family
	m := &metricSet{set: metrics.NewSet(), help: maps.Clone(counterHelp)}
	m.connsRefused = m.set.NewCounter("velonym_connections_refused_total")
	m.auditFailures = m.set.NewCounter("velonym_audit_failures_total")
	for r := range numRoutes {
		for c := range numCodes {
			m.byCode[r][c] = m.set.NewCounter(fmt.Sprintf("velonym_requests_total{code=%q,endpoint=%q}", problems[c].name, routeNames[r]))
		}
		if r != routeOther {
			endpoint := fmt.Sprintf("{endpoint=%q}", routeNames[r])
			m.latency[r] = m.set.NewPrometheusHistogramExt("velonym_request_seconds"+endpoint, latencyBuckets)
			m.batch[r] = m.set.NewPrometheusHistogramExt("velonym_request_values"+endpoint, valuesBuckets)
			m.values[r] = m.set.NewCounter("velonym_values_total" + endpoint)
		}
	}
	for i, c := range budgetClasses {
		m.budgets[i] = m.set.NewCounter(fmt.Sprintf("velonym_budget_left_requests_total{left=%q}", c.name))
	}
	m.registerCallbacks(append(serverMetrics(s), keystoreMetrics(s)...))
	m.writeFingerprint(s)
	m.set.RegisterMetricsWriter(writeRuntime)
	m.help[issuerKeyInfo] = "1; the labels name the built-in issuer and the JWK thumbprint of its key."
	m.set.RegisterMetricsWriter(func(w io.Writer) { writeIssuerKey(w, s.cfg) })
	return m
}

// registerCallbacks registers metrics whose values are read on each scrape. Counters have
// no labels.
func (m *metricSet) registerCallbacks(list []callbackMetric) {
	var counters []callbackMetric
	for _, f := range list {
		m.help[f.name] = f.help
		switch {
		case f.counter:
			counters = append(counters, f)
		case f.labels != "":
			m.set.NewGauge(f.name+"{"+f.labels+"}", f.value)
		default:
			m.set.NewGauge(f.name, f.value)
		}
	}
	m.set.RegisterMetricsWriter(func(w io.Writer) {
		for _, f := range counters {
			metrics.WriteCounterFloat64(w, f.name, f.value())
		}
	})
}

// serverMetrics returns the metrics of the server's memory and state, and of the verifier.
func serverMetrics(s *Server) []callbackMetric {
	list := []callbackMetric{
		{name: "velonym_in_flight_bytes", help: "Memory held by requests.", value: func() float64 { return float64(s.mem.used.Load()) }},
		{name: "velonym_in_flight_limit_bytes", help: "Bound of velonym_in_flight_bytes and velonym_idle_bytes together.", value: func() float64 { return float64(s.mem.limit) }},
		{name: "velonym_idle_bytes", help: "Buffers kept for reuse.", value: func() float64 { return float64(s.mem.idle.Load()) }},
		{name: "velonym_key_memory_unlocked_bytes", help: "Memory for keys that the system refused to lock.", value: func() float64 { return float64(keys.MemoryUnlocked()) }},
		{name: "velonym_connections", help: "Open connections.", value: func() float64 { return float64(s.conns.Load()) }},
		{name: "velonym_keystore_clock_refused", help: "1 while the keystore refuses this machine's clock: no token is answered.",
			value: func() float64 {
				f := s.keysFault.Load()
				return oneIf(f != nil && *f == clockRefused)
			}},
		{name: "velonym_ready", help: "1 when the server is ready.", value: func() float64 { return oneIf(s.Ready() == nil) }},
		{name: "velonym_build_info", help: "1; the labels say what runs.",
			labels: fmt.Sprintf("commit=%q,go=%q,kernel=%q,version=%q", s.cfg.Commit, runtime.Version(), s.cfg.Kernel, s.cfg.Version),
			value:  func() float64 { return 1 }},
	}
	src, ok := s.cfg.Verifier.(interface{ Stats() token.Stats })
	if !ok {
		return list
	}
	for _, c := range []struct {
		name, help string
		of         func(token.Stats) uint64
	}{
		{"velonym_token_cache_hits_total", "Tokens found verified in the cache.", func(s token.Stats) uint64 { return s.Hits }},
		{"velonym_token_cache_misses_total", "Tokens that were verified in full.", func(s token.Stats) uint64 { return s.Misses }},
		{"velonym_token_negative_hits_total", "Tokens refused again from the negative cache.", func(s token.Stats) uint64 { return s.Negative }},
		{"velonym_token_refusals_total", "Refusals of the verifier.", func(s token.Stats) uint64 { return s.Refused }},
		{"velonym_token_number_walks_total", "Tokens seen to walk through consecutive numbers.", func(s token.Stats) uint64 { return s.Enumerations }},
	} {
		list = append(list, callbackMetric{name: c.name, help: c.help, counter: true, value: func() float64 { return float64(c.of(src.Stats())) }})
	}
	return list
}

// writeRuntime writes the metrics of the Go runtime and of the process: those of the
// library and the settings of the runtime.
func writeRuntime(w io.Writer) {
	settings := []rt.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}, {Name: "/sched/gomaxprocs:threads"}}
	rt.Read(settings)
	for i, name := range []string{"go_gc_gogc_percent", "go_gc_gomemlimit_bytes", "go_sched_gomaxprocs_threads"} {
		if v := settings[i].Value; v.Kind() == rt.KindUint64 {
			metrics.WriteGaugeUint64(w, name, v.Uint64())
		}
	}
	metrics.WriteGoMetrics(w)
	metrics.WriteProcMetrics(w)
	metrics.WriteFDMetrics(w)
}

const issuerKeyInfo = "velonym_issuer_key_info"

// writeIssuerKey writes the key of the built-in issuer, which may change while the server
// runs.
func writeIssuerKey(w io.Writer, c Config) {
	own, ok := c.Verifier.(issuerSource)
	if !ok {
		return
	}
	if info, ok := own.OwnIssuer(); ok {
		metrics.WriteGaugeUint64(w, fmt.Sprintf("%s{issuer=%q,kid=%q}", issuerKeyInfo, info.Name, token.KeyID(info.Public)), 1)
	}
}

func (m *metricSet) requests(r route, c code) { m.byCode[r][c].Inc() }

// served counts a request of one of the two endpoints.
func (m *metricSet) served(r route, c code, took time.Duration, values int64) {
	m.byCode[r][c].Inc()
	m.latency[r].Update(took.Seconds())
	if values > 0 {
		m.batch[r].Update(float64(values))
	}
	if c == codeOK {
		m.values[r].AddInt64(values)
	}
}

// budget counts a request by the share of the token's budget that is left.
func (m *metricSet) budget(left, of int64) {
	share := float64(left) / float64(max(of, 1))
	for i, c := range budgetClasses {
		if share >= c.from {
			m.budgets[i].Inc()
			return
		}
	}
	m.budgets[len(m.budgets)-1].Inc()
}

// text returns all metrics in the Prometheus text format.
func (m *metricSet) text() []byte {
	var b bytes.Buffer
	m.set.WritePrometheus(&b)
	const help = "# HELP "
	out := make([]byte, 0, b.Len()+8<<10)
	for line := range bytes.Lines(b.Bytes()) {
		name, isHelp := bytes.CutPrefix(line, []byte(help)) // the library writes names without texts
		if !isHelp {
			out = append(out, line...)
			continue
		}
		name = bytes.TrimSpace(name)
		if text := m.help[string(name)]; text != "" {
			out = fmt.Appendf(out, "%s%s %s\n", help, name, text)
		}
	}
	return out
}
