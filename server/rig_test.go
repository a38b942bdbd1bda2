package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

// awaitLimit is how long tests wait for an event, on a busy machine too.
const awaitLimit = time.Minute

// canary occurs in every value of the tests that search for leaks.
const canary = "CANARYvalue7319"

// rig is a complete service on a loopback listener: keystore, issuer, audit log, server
// and client.
type rig struct {
	t        testing.TB
	ks       *keys.Keystore
	issuer   *token.Issuer
	verifier *token.Verifier
	audit    *audit.Log
	auditAt  string
	log      *syncBuffer
	now      *clock
	srv      *Server
	addr     string
	url      string
	client   *http.Client

	rawMu    sync.Mutex
	rawConns []net.Conn
}

// clock is the clock of keystore and verifier: the real one, shifted.
type clock struct {
	mu    sync.Mutex
	shift time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.shift)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	c.shift += d
	c.mu.Unlock()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newRig starts a service; change may alter its configuration.
func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, log: &syncBuffer{}, now: &clock{}, auditAt: filepath.Join(dir, "audit.jsonl")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	must(keys.NewMasterKeyFile(filepath.Join(dir, "master.key")))
	mk, err := keys.LoadMasterKey(ctx, filepath.Join(dir, "master.key"))
	must(err)
	store, err := sqlite.Create(filepath.Join(dir, "keystore.db"))
	must(err)
	r.ks, err = keys.New(ctx, store, mk, keys.WithClock(r.now.Now))
	must(err)
	t.Cleanup(func() { r.ks.Close() })
	seed, err := r.ks.IssuerSeed(ctx)
	must(err)
	r.issuer, err = token.NewIssuer(seed, "velonym", "velonym")
	must(err)
	r.project("study", nil)
	r.verifier, err = token.NewVerifier(token.Config{Keystore: r.ks, Issuer: r.issuer, Now: r.now.Now})
	must(err)
	t.Cleanup(r.verifier.Close)
	r.audit, err = audit.Open(r.auditAt, audit.Options{Delay: 20 * time.Millisecond})
	must(err)
	t.Cleanup(func() { r.audit.Close() })
	cfg := Config{Verifier: r.verifier, Keystore: r.ks, Audit: r.audit,
		Log: slog.New(slog.NewJSONHandler(r.log, nil)), Metrics: true, DrainDelay: -1,
		Version: "test", Commit: "none", Kernel: "any"}
	if change != nil {
		change(&cfg)
	}
	r.srv, err = New(cfg)
	must(err)
	ln, err := Listen("127.0.0.1:0")
	must(err)
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(ln) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
		defer cancel()
		if err := r.srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error("Serve:", err)
		}
	})
	r.addr = ln.Addr().String()
	r.url = "http://" + r.addr
	r.client = &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: awaitLimit}
	return r
}

// project creates a project: reversible, policy same, form pair62, retention a year;
// change may alter it.
func (r *rig) project(name string, change func(*keys.Project)) {
	r.t.Helper()
	p := keys.Project{Name: name, Method: "reversible", Policy: "same", Form: "pair62", Orgs: []string{""},
		Retention: time.Now().Add(365 * 24 * time.Hour).UTC().Truncate(time.Second)}
	if change != nil {
		change(&p)
	}
	if err := r.ks.CreateProject(context.Background(), p, nil); err != nil {
		r.t.Fatal(err)
	}
}

// token creates a token for project study; change may alter the request.
func (r *rig) token(op spec.Op, change func(*token.Request)) string {
	r.t.Helper()
	q := token.Request{Project: "study", Op: op, TTL: time.Hour, Now: r.now.Now()}
	if change != nil {
		change(&q)
	}
	s, _, err := r.issuer.Create(context.Background(), r.ks, q)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// clientAnswer is an answer as its client received it.
type clientAnswer struct {
	status int
	header http.Header
	body   []byte
}

// data returns the items of a successful JSON answer; nil stands for null.
func (a clientAnswer) data(t testing.TB) []*string {
	t.Helper()
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var v struct {
		Data []*string `json:"data"`
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %.200q", err, a.body)
	}
	return v.Data
}

// strings returns the items of a successful JSON answer, none of which may be null.
func (a clientAnswer) strings(t testing.TB) []string {
	t.Helper()
	out := []string{}
	for _, s := range a.data(t) {
		if s == nil {
			t.Fatal("null among the results")
		}
		out = append(out, *s)
	}
	return out
}

// problemDocument is a decoded problem document.
type problemDocument struct {
	Type, Title, Code, Detail string
	Status                    int
	Errors                    []struct {
		Index  int
		Column string
		Code   string
	}
	ErrorCount int `json:"error_count"`
}

// problem checks that the answer is a problem document with the status and code, and
// returns it.
func (a clientAnswer) problem(t testing.TB, status int, code string) problemDocument {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type of a problem: %q", ct)
	}
	var p problemDocument
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if p.Code != code || p.Status != status || p.Type == "" || p.Title == "" {
		t.Fatalf("problem %s, want %d %s", a.body, status, code)
	}
	return p
}

// send sends a request with headers given as name, value pairs, and checks the answer with
// checkEveryAnswer.
func (r *rig) send(method, path string, body io.Reader, header ...string) clientAnswer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	checkEveryAnswer(r.t, req, res, b)
	return clientAnswer{res.StatusCode, res.Header, b}
}

// checkEveryAnswer checks the headers that every answer has, and compares the answer with
// the OpenAPI document.
func checkEveryAnswer(t testing.TB, req *http.Request, res *http.Response, body []byte) {
	t.Helper()
	h := res.Header
	if h.Get("X-Request-Id") == "" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers of every answer are missing: %v", h)
	}
	checkOpenAPI(t, req, res, body)
}

// post makes a call. An empty tok sends none.
func (r *rig) post(path, tok, contentType, body string, header ...string) clientAnswer {
	r.t.Helper()
	h := append([]string{"Content-Type", contentType}, header...)
	if tok != "" {
		h = append(h, "Authorization", "Bearer "+tok)
	}
	return r.send("POST", path, strings.NewReader(body), h...)
}

const (
	forwardPath = "/api/request-psn"
	reversePath = "/api/request-psn-rev"
	jsonType    = "application/json"
	csvType     = "text/csv"
)

func jsonOf(values ...string) string {
	b, _ := json.Marshal(map[string]any{"data": values})
	return string(b)
}

// records flushes the audit log and returns its content.
func (r *rig) records() string {
	r.t.Helper()
	if err := r.audit.Reopen(); err != nil {
		r.t.Fatal(err)
	}
	b, err := os.ReadFile(r.auditAt)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}
