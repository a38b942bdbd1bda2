package server

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDeployedMetrics checks that the dashboard and the alert rules use only metrics and
// codes that the server has.
func TestDeployedMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	have := string(r.srv.metrics.text())
	name := regexp.MustCompile(`\b(velonym|process)_[a-z_]+`)
	for _, file := range []string{"../deploy/grafana-dashboard.json", "../deploy/alerts.yml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := name.FindAllString(string(b), -1)
		if len(names) < 5 {
			t.Errorf("%s: only %d metrics found, want at least 5", file, len(names))
		}
		for _, n := range names {
			if !strings.Contains(have, "\n"+n+"{") && !strings.Contains(have, "\n"+n+" ") {
				t.Errorf("%s: there is no metric %s", file, n)
			}
		}
		for _, label := range regexp.MustCompile(`code=~?\\?"([A-Z_|]+)`).FindAllStringSubmatch(string(b), -1) {
			for _, c := range strings.Split(label[1], "|") {
				if !strings.Contains(have, `code="`+c+`"`) {
					t.Errorf("%s: there is no code %s", file, c)
				}
			}
		}
	}
	b, err := os.ReadFile("../deploy/grafana-dashboard.json")
	if err != nil || !json.Valid(b) {
		t.Errorf("the dashboard is not JSON: %v", err)
	}
}
