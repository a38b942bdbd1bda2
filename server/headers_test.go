package server

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestRequestID checks that a valid request ID is kept and any other replaced by a new
// one, and that answer, audit log and log contain it.
func TestRequestID(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tok := r.token("pseudonymise", nil)
	seen := map[string]bool{}
	for _, sent := range []string{"", "abc-123_X.y:z", "with space", strings.Repeat("a", 129), "<script>", "é"} {
		a := r.post(forwardPath, tok, csvType, "a", "X-Request-Id", sent)
		got := a.header.Get("X-Request-Id")
		if valid := sent == "abc-123_X.y:z"; (got == sent) != valid {
			t.Errorf("request ID %q sent, %q returned; want it returned: %v", sent, got, valid)
		}
		if seen[got] {
			t.Errorf("request ID %q was used before", got)
		}
		seen[got] = true
		if !strings.Contains(r.records(), strconv.Quote(got)) {
			t.Errorf("the audit log does not name request %q", got)
		}
	}
	a := r.send("GET", "/nowhere", nil, "X-Request-Id", "my-id")
	if a.header.Get("X-Request-Id") != "my-id" {
		t.Error("a 404 does not return the request ID")
	}
	r.post(forwardPath, "junk", csvType, "a", "X-Request-Id", "logged-id").problem(t, 401, "INVALID_TOKEN")
	if !strings.Contains(r.log.String(), `"request":"logged-id"`) || !strings.Contains(r.log.String(), `"code":"INVALID_TOKEN"`) {
		t.Errorf("the log lacks the request ID or the code: %s", r.log.String())
	}
}

// TestAuthorizationForms sends the token in every form that the header may and may not have.
func TestAuthorizationForms(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tok := r.token("pseudonymise", nil)
	for _, c := range []struct {
		value string
		want  int
	}{
		{"Bearer " + tok, 200}, {"bearer " + tok, 200}, {"BEARER   " + tok, 200},
		{"Basic " + tok, 401}, {tok, 401}, {"Bearer", 401}, {"Bearer ", 401}, {"Bearer" + tok, 401}, {"Bearer " + tok + " x", 401},
	} {
		if a := r.send("POST", forwardPath, strings.NewReader("a"), "Content-Type", csvType, "Authorization", c.value); a.status != c.want {
			t.Errorf("%.12q…: status %d, want %d", c.value, a.status, c.want)
		}
	}
	a := r.send("POST", forwardPath, strings.NewReader("a"), "Content-Type", csvType, "Authorization", "Bearer "+tok, "Authorization", "Bearer "+tok)
	a.problem(t, 400, "BAD_REQUEST")
}

// TestPages gets the pages for operators from the listener for calls.
func TestPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": "velonym_build_info{", "/openapi.json": `"openapi": "3.0.3"`,
		"/.well-known/jwks.json": `"keys":[{"kty":"OKP"`} {
		if a := r.send("GET", path, nil); a.status != 200 || !strings.Contains(string(a.body), want) {
			t.Errorf("GET %s: %d %.80s, want 200 and %s", path, a.status, a.body, want)
		}
		if a := r.send("HEAD", path, nil); a.status != 200 || len(a.body) != 0 {
			t.Errorf("HEAD %s: %d, %d bytes, want 200 and none", path, a.status, len(a.body))
		}
	}
}

// TestCORS checks that only configured origins are allowed, by default none.
func TestCORS(t *testing.T) {
	t.Parallel()
	off := newRig(t, nil)
	tok := off.token("pseudonymise", nil)
	if a := off.post(forwardPath, tok, csvType, "a", "Origin", "https://app.example"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("an origin is allowed by default")
	}
	r := newRig(t, func(c *Config) { c.CORS = []string{"https://app.example"} })
	tok = r.token("pseudonymise", nil)
	if a := r.post(forwardPath, tok, csvType, "a", "Origin", "https://app.example"); a.header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("a configured origin is refused: %v", a.header)
	}
	if a := r.post(forwardPath, tok, csvType, "a", "Origin", "https://evil.example"); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("an origin is allowed that is not configured")
	}
	a := r.send("OPTIONS", forwardPath, nil, "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: %d %v, want 204 that allows POST", a.status, a.header)
	}
}
