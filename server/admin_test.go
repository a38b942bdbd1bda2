package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestAdminPages checks that the admin listener serves the pages for operators and no
// calls, that metrics are absent from the other listener unless configured, and that
// profiles need Config.Pprof.
func TestAdminPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Metrics = false })
	if a := r.send("GET", "/metrics", nil); a.status != 404 {
		t.Errorf("GET /metrics on the listener for calls: status %d, want 404", a.status)
	}
	admin := httptest.NewServer(r.srv.Admin())
	defer admin.Close()
	get := func(path string) (int, string) {
		res, err := http.Get(admin.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/openapi.json": 200, "/.well-known/jwks.json": 200, "/debug/pprof/": 404, forwardPath: 404} {
		if status, _ := get(path); status != want {
			t.Errorf("GET %s: status %d, want %d", path, status, want)
		}
	}
	p := newRig(t, func(c *Config) { c.Pprof = true })
	profiled := httptest.NewServer(p.srv.Admin())
	defer profiled.Close()
	res, err := http.Get(profiled.URL + "/debug/pprof/cmdline")
	if err != nil || res.StatusCode != 200 {
		t.Errorf("GET /debug/pprof/cmdline with Pprof set: %v, want status 200", err)
	}
	res.Body.Close()
}

func TestNewRefusesInvalidConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no verifier":     func(c *Config) { c.Verifier = nil },
		"body too large":  func(c *Config) { c.MaxBody = 2 << 30 },
		"body below zero": func(c *Config) { c.MaxBody = -1 },
		"no memory":       func(c *Config) { c.MaxInFlight = 10 },
		"no connections":  func(c *Config) { c.MaxConns = -1 },
		"no time":         func(c *Config) { c.IdleTimeout = -1 },
	} {
		c := Config{Verifier: unavailableVerifier{}}
		change(&c)
		if s, err := New(c); err == nil {
			s.Shutdown(context.Background())
			t.Errorf("%s: New returned no error", name)
		}
	}
}
