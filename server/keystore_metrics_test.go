package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// metric returns the value of a metric; name includes its labels.
func (r *rig) metric(name string) string {
	r.t.Helper()
	for line := range strings.Lines(string(r.srv.metrics.text())) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	r.t.Fatalf("the server has no metric %s", name)
	return ""
}

// wantMetrics compares metrics with the values in want.
func (r *rig) wantMetrics(want map[string]string) {
	r.t.Helper()
	for name, w := range want {
		if got := r.metric(name); got != w {
			r.t.Errorf("%s is %s, want %s", name, got, w)
		}
	}
}

// TestProjectMetrics checks the metrics about the ends of projects that are still to come.
func TestProjectMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	day := 24 * time.Hour
	now := r.now.Now()
	for name, end := range map[string]time.Duration{"soon": 3 * day, "later": 20 * day, "far": 400 * day, "over": time.Hour} {
		r.project(name, func(p *keys.Project) { p.Retention, p.Grace = now.Add(end), 2*day })
	}
	r.project("cut", nil)
	if _, err := r.ks.Sever(context.Background(), "cut"); err != nil {
		t.Fatal(err)
	}
	r.now.move(2 * time.Hour)
	if _, err := r.ks.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	swept := r.now.Now()
	if err := r.srv.refreshOutlook(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.wantMetrics(map[string]string{
		`velonym_projects{state="active"}`: "4", `velonym_projects{state="ended"}`: "1", `velonym_projects{state="severed"}`: "1",
		`velonym_master_key_info{fingerprint="` + r.ks.MasterKeyFingerprint() + `"}`: "1",
		`velonym_projects_ending{within="7d"}`:                                       "1", `velonym_projects_ending{within="30d"}`: "2",
	})
	for name, want := range map[string]time.Time{"velonym_next_end_timestamp_seconds": now.Add(3 * day), "velonym_next_destruction_timestamp_seconds": swept.Add(2 * day)} {
		got, err := strconv.ParseFloat(r.metric(name), 64)
		if off := time.Unix(int64(got), 0).Sub(want); err != nil || off > awaitLimit || off < -awaitLimit {
			t.Errorf("%s is off by %v", name, off)
		}
	}
}

// TestSweepMetrics checks the metrics after a failed sweep and after the next good one.
func TestSweepMetrics(t *testing.T) {
	t.Parallel()
	sweeps := &Sweeps{}
	r := newRig(t, func(c *Config) { c.Sweeps = sweeps })
	sweeps.Report(keys.Swept{Held: []string{"a", "b"}}, fmt.Errorf("%w: %w", keys.ErrTraces, errors.New("disk full")))
	r.wantMetrics(map[string]string{"velonym_sweep_failures_total": "1", "velonym_traces_pending": "1", "velonym_sweep_held_projects": "2", "velonym_sweep_last_success_timestamp_seconds": "0"})
	sweeps.Report(keys.Swept{}, nil)
	r.wantMetrics(map[string]string{"velonym_sweep_failures_total": "1", "velonym_traces_pending": "0", "velonym_sweep_held_projects": "0"})
	if r.metric("velonym_sweep_last_success_timestamp_seconds") == "0" {
		t.Error("velonym_sweep_last_success_timestamp_seconds is 0 after a good sweep")
	}
}

// TestReadinessMetrics checks that each condition of readiness has a metric.
func TestReadinessMetrics(t *testing.T) {
	t.Parallel()
	disk, store := &fillableDisk{}, &brokenStore{}
	r := newRig(t, func(c *Config) { c.Audit, c.Keystore = disk, store })
	probeAndWant := func(want map[string]string) {
		t.Helper()
		r.srv.probe(context.Background())
		r.wantMetrics(want)
	}
	probeAndWant(map[string]string{"velonym_audit_unwritable": "0", "velonym_keystore_unreadable": "0", "velonym_ready": "1"})
	disk.full.Store(true)
	probeAndWant(map[string]string{"velonym_audit_unwritable": "1", "velonym_keystore_unreadable": "0", "velonym_ready": "0"})
	disk.full.Store(false)
	store.broken.Store(true)
	probeAndWant(map[string]string{"velonym_audit_unwritable": "0", "velonym_keystore_unreadable": "1", "velonym_ready": "0"})
}

// TestLeaseMetrics checks the counts of budget leases, and of those that got too little.
func TestLeaseMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tok := r.token("pseudonymise", func(q *token.Request) { q.Limits.Max = 3 })
	r.wantMetrics(map[string]string{"velonym_budget_leases_total": "0"})
	r.post(forwardPath, tok, csvType, "a,b").strings(t)
	if r.metric("velonym_budget_leases_total") == "0" {
		t.Error("velonym_budget_leases_total is 0 after a lease")
	}
	r.wantMetrics(map[string]string{"velonym_budget_leases_short_total": "0", "velonym_budget_lease_failures_total": "0"})
	other, err := token.NewVerifier(token.Config{Keystore: r.ks, Issuer: r.issuer, Now: r.now.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	g, err := other.Verify(context.Background(), []byte(tok), token.OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	if err := g.Spend(context.Background(), 3); err == nil || other.Stats().LeasesShort != 1 {
		t.Errorf("spending more than another process left: error %v and %+v, want an error and one short lease", err, other.Stats())
	}
}

// TestAlertRules checks that the alert rules are well formed, have summaries, and use only
// metrics and label values that the server has.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, nil)
	have := r.srv.metrics.text()
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, rule := range g.Rules {
			if rule.Alert == "" || seen[rule.Alert] || rule.Annotations["summary"] == "" {
				t.Errorf("rule %q: no name, the name of another rule, or no summary", rule.Alert)
			}
			seen[rule.Alert] = true
			if s := rule.Labels["severity"]; s != "critical" && s != "warning" && s != "info" {
				t.Errorf("%s: severity %q, want critical, warning or info", rule.Alert, s)
			}
			if strings.Count(rule.Expr, "(") != strings.Count(rule.Expr, ")") {
				t.Errorf("%s: unbalanced parentheses in %s", rule.Alert, rule.Expr)
			}
			if rule.For != "" {
				if _, err := time.ParseDuration(rule.For); err != nil {
					t.Errorf("%s: %v", rule.Alert, err)
				}
			}
			for _, m := range regexp.MustCompile(`(velonym_[a-z0-9_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(rule.Expr, -1) {
				name, labels := m[1], m[2]
				if !strings.Contains(string(have), "\n"+name+" ") && !strings.Contains(string(have), "\n"+name+"{") {
					t.Errorf("%s: the server has no metric %s", rule.Alert, name)
				}
				for _, l := range regexp.MustCompile(`([a-z]+)=~?"([^"]*)"`).FindAllStringSubmatch(labels, -1) {
					for _, v := range strings.Split(l[2], "|") {
						if !regexp.MustCompile(`\n` + name + `\{[^}]*` + l[1] + `="` + v + `"`).Match(have) {
							t.Errorf("%s: %s has no %s=%q", rule.Alert, name, l[1], v)
						}
					}
				}
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d rules, want at least 20", len(seen))
	}
}
