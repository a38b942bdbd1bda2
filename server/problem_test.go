package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

// TestErrorTable makes a call for every row of the table of errors.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxBody = 100_000; c.MaxInFlight = 8 << 20 })
	r.project("oneway", func(p *keys.Project) { p.Method = "irreversible"; p.Retention = time.Time{} })
	r.project("gone", nil)
	r.project("brief", func(p *keys.Project) { p.Retention = time.Now().Add(30 * time.Minute).UTC().Truncate(time.Second) })
	r.project("teams", func(p *keys.Project) { p.Orgs = []string{"north"} })
	r.project("numbers", func(p *keys.Project) { p.Form = "digits" })
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	brief := r.token("pseudonymise", func(q *token.Request) { q.Project = "brief" })
	gone := r.token("pseudonymise", func(q *token.Request) { q.Project = "gone" })
	if _, err := r.ks.Sever(context.Background(), "gone"); err != nil {
		t.Fatal(err)
	}
	revoked, claims, err := r.issuer.Create(context.Background(), r.ks, token.Request{Project: "study", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ks.Revoke(context.Background(), claims.ID, claims.Expires); err != nil {
		t.Fatal(err)
	}
	if err := r.verifier.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	bearerOf := func(code string) string {
		return fmt.Sprintf(`Bearer realm="velonym", error=%q`, code)
	}
	item := r.token("pseudonymise", func(q *token.Request) { q.Err = "item" })
	for _, c := range []struct {
		name, method, path, tok, contentType, body string
		status                                     int
		code                                       string
		challenge                                  string // prefix of WWW-Authenticate
		detail                                     string // part of detail
	}{
		{"malformed JSON", "POST", forwardPath, fwd, jsonType, `{"data":["a",}`, 400, "BAD_REQUEST", "", "byte 13"},
		{"malformed JSON, item mode", "POST", forwardPath, item, jsonType, `{"data":["a",}`, 400, "BAD_REQUEST", "", "byte 13"},
		{"empty JSON", "POST", forwardPath, fwd, jsonType, ``, 400, "BAD_REQUEST", "", "byte 0"},
		{"data twice", "POST", forwardPath, fwd, jsonType, `{"data":["a"],"data":["b"]}`, 400, "BAD_REQUEST", "", "twice"},
		{"no data", "POST", forwardPath, fwd, jsonType, `{"date":["a"]}`, 400, "BAD_REQUEST", "", "data"},
		{"invalid UTF-8", "POST", forwardPath, fwd, jsonType, "{\"data\":[\"\xff\"]}", 400, "BAD_REQUEST", "", "byte 10"},
		{"malformed CSV", "POST", forwardPath, fwd, csvType, "a,b\nc,d\"e\n", 400, "BAD_REQUEST", "", "line 2"},
		{"open quote", "POST", forwardPath, fwd, csvType, "a,b\n\"c", 400, "BAD_REQUEST", "", "line 2"},
		{"no token", "POST", forwardPath, "", jsonType, jsonOf("a"), 401, "MISSING_TOKEN", `Bearer realm="velonym"`, ""},
		{"no token at all", "POST", forwardPath, "junk", jsonType, jsonOf("a"), 401, "INVALID_TOKEN", bearerOf("invalid_token"), ""},
		{"a changed token", "POST", forwardPath, fwd[:len(fwd)-4] + "AAAA", jsonType, jsonOf("a"), 401, "INVALID_TOKEN", bearerOf("invalid_token"), ""},
		{"a huge token", "POST", forwardPath, strings.Repeat("a", 9000), jsonType, jsonOf("a"), 401, "INVALID_TOKEN", bearerOf("invalid_token"), ""},
		{"a revoked token", "POST", forwardPath, revoked, jsonType, jsonOf("a"), 401, "REVOKED_TOKEN", bearerOf("invalid_token"), ""},
		{"reverse token, forward call", "POST", forwardPath, rev, jsonType, jsonOf("a"), 403, "FORBIDDEN_OPERATION", bearerOf("insufficient_scope"), ""},
		{"forward token, reverse call", "POST", reversePath, fwd, jsonType, jsonOf("a"), 403, "FORBIDDEN_OPERATION", bearerOf("insufficient_scope"), ""},
		{"no such organisation", "POST", forwardPath, r.signUnchecked(t, "teams", "south", "pseudonymise", "reversible"), jsonType, jsonOf("a"), 403, "UNKNOWN_DOMAIN", bearerOf("insufficient_scope"), "that 'velonym project show' does not; have the token made for one that it does"},
		{"no such project", "POST", forwardPath, r.signUnchecked(t, "nowhere", "", "pseudonymise", "reversible"), jsonType, jsonOf("a"), 403, "UNKNOWN_DOMAIN", bearerOf("insufficient_scope"), "names one that was never created here, or the token is for another keystore; 'velonym project list' shows"},
		{"irreversible, reversed", "POST", reversePath, r.signUnchecked(t, "oneway", "", "reverse", "reversible"), jsonType, jsonOf("a"), 403, "FORBIDDEN_OPERATION", bearerOf("insufficient_scope"), ""},
		{"severed", "POST", forwardPath, gone, jsonType, jsonOf("a"), 403, "RETENTION_EXPIRED", bearerOf("insufficient_scope"), ""},
		{"no such path", "GET", "/api", "", jsonType, "", 404, "NOT_FOUND", "", ""},
		{"GET", "GET", forwardPath, fwd, "", "", 405, "METHOD_NOT_ALLOWED", "", "POST"},
		{"PUT", "PUT", reversePath, rev, jsonType, jsonOf("a"), 405, "METHOD_NOT_ALLOWED", "", "POST"},
		{"POST to health", "POST", "/healthz", "", "", "", 405, "METHOD_NOT_ALLOWED", "", "GET"},
		{"OPTIONS without CORS", "OPTIONS", forwardPath, "", "", "", 405, "METHOD_NOT_ALLOWED", "", ""},
		{"too large", "POST", forwardPath, fwd, jsonType, jsonOf(strings.Repeat("a", 100_001)), 413, "TOO_LARGE", "", "100000 bytes"},
		{"no content type", "POST", forwardPath, fwd, "", jsonOf("a"), 415, "UNSUPPORTED_MEDIA_TYPE", "", "application/json"},
		{"a form", "POST", forwardPath, fwd, "application/x-www-form-urlencoded", "a,b", 415, "UNSUPPORTED_MEDIA_TYPE", "", "text/csv"},
		{"a foreign pseudonym", "POST", reversePath, rev, jsonType, jsonOf("abc"), 422, "UNPROCESSABLE_VALUES", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := []string{}
			if c.contentType != "" {
				h = append(h, "Content-Type", c.contentType)
			}
			if c.tok != "" {
				h = append(h, "Authorization", "Bearer "+c.tok)
			}
			a := r.send(c.method, c.path, strings.NewReader(c.body), h...)
			p := a.problem(t, c.status, c.code)
			if !strings.Contains(p.Detail, c.detail) {
				t.Errorf("the detail %q does not contain %q", p.Detail, c.detail)
			}
			if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, c.challenge) || (got == "") != (c.challenge == "") || c.status == 401 && got == "" {
				t.Errorf("WWW-Authenticate: %q, want %q…", got, c.challenge)
			}
			if c.name == "no token" && strings.Contains(a.header.Get("WWW-Authenticate"), "error") {
				t.Error("the challenge to a request without a token has an error code")
			}
			if c.status == 405 && !strings.Contains(a.header.Get("Allow"), map[bool]string{true: "GET", false: "POST"}[strings.HasPrefix(c.path, "/h")]) {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
		})
	}
	t.Run("expired and over", func(t *testing.T) {
		r.now.move(2 * time.Hour)
		defer r.now.move(-2 * time.Hour)
		r.post(forwardPath, fwd, jsonType, jsonOf("a")).problem(t, 401, "EXPIRED_TOKEN")
		r.post(forwardPath, brief, jsonType, jsonOf("a")).problem(t, 401, "EXPIRED_TOKEN")
	})
	t.Run("retention over", func(t *testing.T) {
		r.project("ending", nil)
		tok := r.token("pseudonymise", func(q *token.Request) { q.Project = "ending" })
		if a := r.post(forwardPath, tok, jsonType, jsonOf("a")); a.status != 200 {
			t.Fatalf("before: %s", a.body)
		}
		if err := r.ks.Shorten(context.Background(), "ending", r.now.Now().Add(10*time.Minute)); err != nil {
			t.Fatal(err)
		}
		// The rig's clock was set back before this, so the verifier takes its last poll for a recent one.
		if err := r.verifier.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.now.move(15 * time.Minute)
		defer r.now.move(-15 * time.Minute)
		r.post(forwardPath, tok, jsonType, jsonOf("a")).problem(t, 403, "RETENTION_EXPIRED")
	})
	t.Run("value codes", func(t *testing.T) {
		digits := r.token("pseudonymise", func(q *token.Request) { q.Project = "numbers" })
		onlyDigits := r.token("pseudonymise", func(q *token.Request) { q.Norm = []string{"digits"} })
		for _, c := range []struct{ tok, path, body, code string }{
			{rev, reversePath, jsonOf("Ab"), "NOT_A_PSEUDONYM"},
			{fwd, forwardPath, jsonOf("a\nb"), "VALUE_NOT_TEXT"},
			{fwd, forwardPath, jsonOf(strings.Repeat("x", 65536)), "VALUE_TOO_LONG"},
			{digits, forwardPath, jsonOf("12345678901a"), "VALUE_NOT_IN_ALPHABET"},
			{digits, forwardPath, jsonOf("12"), "VALUE_LENGTH"},
			{onlyDigits, forwardPath, jsonOf("AB-CD"), "VALUE_EMPTY"},
			{onlyDigits, forwardPath, jsonOf("\u0663\u0664\u0665"), "VALUE_NOT_IN_ALPHABET"},
			{onlyDigits, forwardPath, jsonOf("12\uff13"), "VALUE_NOT_IN_ALPHABET"},
			{fwd, forwardPath, `{"data":[7]}`, "NOT_A_STRING"},
		} {
			p := r.post(c.path, c.tok, jsonType, c.body).problem(t, 422, "UNPROCESSABLE_VALUES")
			if len(p.Errors) != 1 || p.Errors[0].Index != 0 || p.Errors[0].Code != c.code || p.ErrorCount != 1 {
				t.Errorf("%+v, want one error %s of value 0", p, c.code)
			}
		}
	})
	t.Run("causes", func(t *testing.T) {
		// Spaces that a database added to a pseudonym are recognised, and the detail names the remedy.
		made := r.post(forwardPath, fwd, jsonType, jsonOf("12345")).strings(t)
		padded := jsonOf(made[0] + "   ")
		p := r.post(reversePath, rev, jsonType, padded).problem(t, 422, "UNPROCESSABLE_VALUES")
		if !strings.Contains(p.Detail, "norm step trim") || strings.Contains(p.Detail, made[0]) {
			t.Errorf("the detail %q does not name norm step trim, or contains the pseudonym", p.Detail)
		}
		p = r.post(reversePath, rev, jsonType, jsonOf("Ab")).problem(t, 422, "UNPROCESSABLE_VALUES")
		if strings.Contains(p.Detail, "cause") {
			t.Errorf("the detail has the cause of an earlier request: %q", p.Detail)
		}
		gone := []byte(made[0])
		gone[0] += 10 // the first character of generation 2
		p = r.post(reversePath, rev, jsonType, jsonOf(string(gone))).problem(t, 422, "UNPROCESSABLE_VALUES")
		if !strings.Contains(p.Detail, "generation 2 ") || p.Errors[0].Code != "NOT_A_PSEUDONYM" {
			t.Errorf("the detail %q does not name generation 2, or the code is not NOT_A_PSEUDONYM: %v", p.Detail, p.Errors)
		}
		trim := r.token("reverse", func(q *token.Request) { q.Norm = []string{"trim"} })
		if back := r.post(reversePath, trim, jsonType, padded).strings(t); back[0] != "12345" {
			t.Errorf("reversed to %q, want 12345", back[0])
		}
	})
	t.Run("normalisation", func(t *testing.T) {
		// A value that normalisation empties is refused. A value of white space alone is
		// missing and not counted.
		item := r.token("pseudonymise", func(q *token.Request) {
			q.Norm, q.Err, q.Limits = []string{"digits"}, token.ErrItem, token.Limits{Max: 4}
		})
		var got struct {
			Data   []*string
			Errors []struct {
				Index int
				Code  string
			}
		}
		a := r.post(forwardPath, item, jsonType, jsonOf("77.0", "AB-CD", " \u2003", "770", ""))
		if err := json.Unmarshal(a.body, &got); a.status != 200 || err != nil || len(got.Data) != 5 {
			t.Fatalf("%d, %v: %s", a.status, err, a.body)
		}
		d := got.Data
		if d[1] != nil || len(got.Errors) != 1 || got.Errors[0].Index != 1 || got.Errors[0].Code != "VALUE_EMPTY" {
			t.Errorf("a value of letters alone is not refused with VALUE_EMPTY: %s", a.body)
		}
		if d[2] == nil || *d[2] != "" || d[4] == nil || *d[4] != "" {
			t.Errorf("white space alone is not treated as missing: %s", a.body)
		}
		if d[0] == nil || d[3] == nil || *d[0] != *d[3] || *d[0] == "" {
			t.Errorf("77.0 and 770 have different pseudonyms: %s", a.body)
		}
		if left := a.header.Get("X-Values-Left"); left != "1" {
			t.Errorf("X-Values-Left: %q, want 1", left)
		}
		r.post(forwardPath, item, jsonType, jsonOf("1")).strings(t) // the fourth of four
		a = r.post(forwardPath, item, jsonType, jsonOf("1"))
		a.problem(t, 429, "QUOTA_EXCEEDED")
		if left := a.header.Get("X-Values-Left"); left != "0" {
			t.Errorf("X-Values-Left of a spent budget: %q, want 0", left)
		}
	})
	t.Run("quota", func(t *testing.T) {
		limited := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Req: 2} })
		if p := r.post(forwardPath, limited, jsonType, jsonOf("a", "b", "c")); p.header.Get("Retry-After") != "" {
			t.Error("a request that is too large for its token gets Retry-After, but waiting does not help")
		} else if p.header.Get("X-Values-Left") != "" {
			t.Error("a token without a budget gets X-Values-Left")
		} else if d := p.problem(t, 413, "TOO_LARGE").Detail; !strings.Contains(d, "the 2 that psn.lim.req allows") {
			t.Errorf("the detail %q does not contain the limit", d)
		}
		r.post(forwardPath, limited, jsonType, jsonOf("a", "", "c")).strings(t)
		rated := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Rate: 10} })
		r.post(forwardPath, rated, jsonType, jsonOf(slices.Repeat([]string{"v"}, 10)...)).strings(t)
		p := clientAnswer{status: 200}
		for i := 0; i < 100 && p.status == 200; i++ { // a slow machine may take a second for one
			p = r.post(forwardPath, rated, jsonType, jsonOf(slices.Repeat([]string{"v"}, 10)...))
		}
		p.problem(t, 429, "QUOTA_EXCEEDED")
		if n, err := strconv.Atoi(p.header.Get("Retry-After")); err != nil || n < 1 || n > 2 {
			t.Errorf("Retry-After: %q, want 1 or 2", p.header.Get("Retry-After"))
		}
	})
	t.Run("overloaded", func(t *testing.T) {
		r.client.CloseIdleConnections()
		r.waitMemoryReleased()
		if !r.srv.mem.reserve(r.srv.cfg.MaxInFlight) {
			t.Fatal("the memory cannot be filled")
		}
		a := r.post(forwardPath, fwd, jsonType, jsonOf("a"))
		r.srv.mem.release(r.srv.cfg.MaxInFlight)
		a.problem(t, 503, "OVERLOADED")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		r.post(forwardPath, fwd, jsonType, jsonOf("a")).strings(t)
	})
}

// signUnchecked signs claims without the checks of Issuer.Create, for domains and methods
// that the keystore does not have.
func (r *rig) signUnchecked(t testing.TB, prj, org string, op spec.Op, method spec.Method) string {
	t.Helper()
	now := r.now.Now().UTC().Truncate(time.Second)
	s, err := r.issuer.Issue(token.Claims{Issuer: "velonym", Audience: "velonym", ID: token.NewID(), IssuedAt: now, Expires: now.Add(time.Hour),
		PSN: token.PSN{V: 1, Op: op, Dom: token.Domain{Prj: prj, Org: org}, Method: method, Ret: now.Add(time.Hour).Unix()}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestItemMode checks that with psn.err = "item" bad values are null in JSON and empty in
// CSV, beside the results of the others.
func TestItemMode(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	rev := r.token("reverse", func(q *token.Request) { q.Err = "item" })
	psn := r.post(forwardPath, r.token("pseudonymise", nil), jsonType, jsonOf("a\"b", "c")).strings(t)
	body := fmt.Sprintf(`{"data":["nonsense",%q,17,"",%q,null]}`, psn[0], psn[1])
	a := r.post(reversePath, rev, jsonType, body)
	got := a.data(t)
	quote := func(s *string) string {
		if s == nil {
			return "null"
		}
		return strconv.Quote(*s)
	}
	var all []string
	for _, s := range got {
		all = append(all, quote(s))
	}
	if want := []string{"null", `"a\"b"`, "null", `""`, `"c"`, "null"}; !slices.Equal(all, want) {
		t.Errorf("items %v, want %v", all, want)
	}
	var e problemDocument
	if err := json.Unmarshal(a.body, &e); err != nil || e.ErrorCount != 3 || len(e.Errors) != 3 ||
		e.Errors[0].Index != 0 || e.Errors[1].Index != 2 || e.Errors[2].Index != 5 ||
		e.Errors[0].Code != "NOT_A_PSEUDONYM" || e.Errors[1].Code != "NOT_A_STRING" || e.Errors[2].Code != "NOT_A_STRING" {
		t.Errorf("want errors of items 0, 2 and 5: %s", a.body)
	}
	a = r.post(reversePath, rev, csvType, "nonsense,"+psn[1]+"\nx\n", "Accept", "text/csv")
	if string(a.body) != "\"\",c\n\"\"\n" || a.header.Get("X-Error-Count") != "2" {
		t.Errorf("CSV: %q, X-Error-Count %s, want 2", a.body, a.header.Get("X-Error-Count"))
	}
	r.post(reversePath, rev, jsonType, `{"data":["nonsense"`).problem(t, 400, "BAD_REQUEST")
}

// TestErrorListIsCutAt100 has bad values in several chunks. The answer lists the first 100
// in order and counts all.
func TestErrorListIsCutAt100(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Workers = 1 })
	values := make([]string, 3*chunkValues+5)
	for i := range values {
		values[i] = "ok"
		if i%1000 == 7 {
			values[i] = "not\ttext"
		}
	}
	want := (len(values) + 992) / 1000
	p := r.post(forwardPath, r.token("pseudonymise", nil), jsonType, jsonOf(values...)).problem(t, 422, "UNPROCESSABLE_VALUES")
	if p.ErrorCount != want || len(p.Errors) != min(want, 100) {
		t.Errorf("%d errors counted and %d listed, want %d and at most 100", p.ErrorCount, len(p.Errors), want)
	}
	for i, e := range p.Errors {
		if e.Index != 1000*i+7 {
			t.Fatalf("error %d names value %d, want %d", i, e.Index, 1000*i+7)
		}
	}
	data := r.post(forwardPath, r.token("pseudonymise", func(q *token.Request) { q.Err = "item" }), jsonType, jsonOf(values...)).data(t)
	if len(data) != len(values) {
		t.Fatalf("the answer to %d values has %d", len(values), len(data))
	}
	for i, d := range data {
		if (d == nil) != (i%1000 == 7) {
			t.Fatalf("item %d is null: %v, want %v", i, d == nil, i%1000 == 7)
		}
	}
}
