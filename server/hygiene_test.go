package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// TestNoValueLeaks sends a value that can be recognised through every kind of
// failure, and then searches everything the server has said.
func TestNoValueLeaks(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AccessLog, c.MaxBody, c.LingerTimeout = true, 1<<20, 200*time.Millisecond })
	r.project("numbers", func(p *keys.Project) { p.Format = "digits" })
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	item := r.token("reverse", func(q *token.Request) { q.Err = "item" })
	digits := r.token("pseudonymise", func(q *token.Request) { q.Project = "numbers" })
	limited := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Req: 1} })
	walker := r.token("pseudonymise", nil)
	var said bytes.Buffer
	for _, c := range []struct{ path, tok, ct, body string }{
		{forwardPath, fwd, jsonType, jsonOf(canary)},
		{forwardPath, fwd, csvType, canary + "," + canary},
		{reversePath, rev, jsonType, jsonOf(canary)},
		{reversePath, item, jsonType, jsonOf(canary)},
		{forwardPath, digits, jsonType, jsonOf(canary)},
		{forwardPath, fwd, jsonType, jsonOf(canary + "\n")},
		{forwardPath, fwd, jsonType, jsonOf(strings.Repeat(canary, 5000))},
		{forwardPath, fwd, jsonType, jsonOf(strings.Repeat(canary, 100_000))},
		{forwardPath, fwd, jsonType, `{"data":["` + canary + `",]}`},
		{forwardPath, fwd, jsonType, `{"data":["` + canary},
		{forwardPath, fwd, jsonType, `{"` + canary + `":1}`},
		{forwardPath, fwd, jsonType, `{"data":"` + canary + `"}`},
		{forwardPath, fwd, jsonType, "{\"data\":[\"" + canary + "\xff\"]}"},
		{forwardPath, fwd, csvType, `"` + canary},
		{forwardPath, fwd, csvType, canary + `"` + canary},
		{forwardPath, limited, csvType, canary + "," + canary},
		{forwardPath, canary, csvType, canary},
		{forwardPath, canary + "." + canary + "." + canary, csvType, canary},
		{forwardPath, rev, csvType, canary},
		{forwardPath, "", csvType, canary},
		{forwardPath, fwd, canary, canary},
		{"/" + canary, fwd, csvType, canary},
		{forwardPath + "?" + canary + "=" + canary, fwd, csvType, canary},
	} {
		a := r.post(c.path, c.tok, c.ct, c.body)
		said.Write(a.body)
		for k, v := range a.header {
			fmt.Fprintln(&said, k, v)
		}
	}
	a := r.post(forwardPath, fwd, csvType, canary, "Content-Encoding", canary)
	said.Write(a.body)
	w := r.raw()
	w.write(canary + " " + canary + "\r\n" + canary + "\r\n\r\n")
	said.Write(w.read().body)
	var numbers strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&numbers, "%d\n", 731900000000+i)
	}
	r.post(forwardPath, walker, csvType, numbers.String()).strings(t)
	if !strings.Contains(r.log.String(), "consecutive numbers") {
		t.Error("nobody was told of a token that walks through numbers")
	}
	r.settled()
	admin := httptest.NewServer(r.srv.Admin())
	defer admin.Close()
	res, err := http.Get(admin.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	figures, _ := io.ReadAll(res.Body)
	res.Body.Close()
	for where, text := range map[string]string{"an answer": said.String(), "the log": r.log.String(), "the audit log": r.records(), "the metrics": string(figures)} {
		for _, secret := range []string{canary, strings.ToLower(canary), "7319000", fwd, strings.Split(fwd, ".")[2], strings.Split(fwd, ".")[1]} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s holds what was sent: …%q…", where, text[max(0, i-60):min(len(text), i+60)])
			}
		}
		if len(text) == 0 {
			t.Errorf("%s is empty", where)
		}
	}
	for _, want := range []string{`velonym_requests_total{code="OK",endpoint="request-psn"}`, `velonym_requests_total{code="BAD_REQUEST",endpoint="request-psn"}`,
		"velonym_values_total", "velonym_request_seconds_bucket", "velonym_request_values_bucket", "velonym_token_cache_hits_total",
		"velonym_in_flight_bytes 0", "velonym_key_memory_unlocked_bytes ", `velonym_build_info{commit="none"`, "velonym_ready 1", "velonym_token_number_walks_total 1"} {
		if !strings.Contains(string(figures), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestNoCrossTalk runs many clients with values of their own through shared
// buffers: nobody may get anything but theirs.
func TestNoCrossTalk(t *testing.T) {
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 30 {
				values := make([]string, 1+(k*37+i*101)%3000)
				for j := range values {
					values[j] = fmt.Sprintf("c%d-%d-%d", k, i, j)
				}
				psn := r.post(forwardPath, fwd, jsonType, jsonOf(values...)).strings(t)
				a := r.post(reversePath, rev, csvType, strings.Join(psn, "\n"), "Accept", "text/csv")
				if string(a.body) != strings.Join(values, "\n") {
					t.Errorf("client %d got other values", k)
					return
				}
			}
		}()
	}
	wg.Wait()
}

// TestAllocations holds the request path to a number of allocations that does
// not depend on the values.
func TestAllocations(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Workers = 1 })
	tok := r.token("pseudonymise", nil)
	count := func(values int) float64 {
		body := jsonOf(slices.Repeat([]string{"1893120105732"}, values)...)
		ctx := &fasthttp.RequestCtx{}
		one := func() {
			ctx.Init(&fasthttp.Request{}, nil, nil)
			ctx.Request.Header.SetMethod("POST")
			ctx.Request.SetRequestURI(forwardPath)
			ctx.Request.Header.SetContentType(jsonType)
			ctx.Request.Header.Set("Authorization", "Bearer "+tok)
			ctx.Request.SetBodyStream(strings.NewReader(body), len(body))
			r.srv.handle(ctx)
			if ctx.Response.StatusCode() != 200 {
				t.Fatal(ctx.Response.String())
			}
			ctx.Request.Reset()
			ctx.Response.Reset()
		}
		// The least of a few: what runs in the background allocates too.
		least := testing.AllocsPerRun(50, one)
		for range 9 {
			least = min(least, testing.AllocsPerRun(50, one))
		}
		return least
	}
	few, many := count(10), count(400)
	if many > few+4 { // a collection may empty a pool on the way
		t.Errorf("%v allocations for 10 values, %v for 400", few, many)
	}
	if few > 30 {
		t.Errorf("%v allocations a request", few)
	}
}

// authority signs certificates for the tests of TLS.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.pem, a.key = a.issue("authority", 1)
	block, _ := pem.Decode(a.pem)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	return a
}

func (a *authority) issue(name string, serial int64) ([]byte, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	parent, signer := a.cert, a.key
	if parent == nil {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

func (a *authority) files(dir, name string, serial int64) (cert, key string, pair tls.Certificate) {
	c, k := a.issue(name, serial)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	kp := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for f, b := range map[string][]byte{cert: c, key: kp} {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	if pair, err = tls.X509KeyPair(c, kp); err != nil {
		a.t.Fatal(err)
	}
	return cert, key, pair
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t)
	caFile := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(caFile, ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key, _ := ca.files(dir, "server", 2)
	_, _, clientPair := ca.files(dir, "client", 3)
	conf, err := LoadTLS(cert, key, caFile)
	if err != nil {
		t.Fatal(err)
	}
	reloaded := 0
	r := newRig(t, func(c *Config) {
		c.TLS, c.MaxBody = conf, 1<<20
		c.OnReload = []ReloadHook{{"other", func() error { reloaded++; return nil }}}
	})
	r.url = "https://" + r.addr
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.pem)
	client := func(c *tls.Config) *http.Client {
		c.RootCAs = pool
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableCompression: true}, Timeout: 10 * time.Second}
		t.Cleanup(h.CloseIdleConnections)
		return h
	}
	with := &tls.Config{Certificates: []tls.Certificate{clientPair}}
	r.client = client(with)
	tok := r.token("pseudonymise", nil)
	serial := func() int64 {
		c, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{clientPair}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	a := r.post(forwardPath, tok, csvType, strings.Repeat("12345678,", 50_000))
	if len(a.strings(t)) != 50_001 || a.header.Get("Strict-Transport-Security") == "" {
		t.Error("over TLS")
	}
	r.post(forwardPath, tok, csvType, strings.Repeat("1", 8<<20)).problem(t, 413, "TOO_LARGE")
	if _, err := client(&tls.Config{}).Get(r.url + "/healthz"); err == nil {
		t.Error("a client without a certificate is served")
	}
	if _, err := client(&tls.Config{Certificates: with.Certificates, MaxVersion: tls.VersionTLS11}).Get(r.url + "/healthz"); err == nil {
		t.Error("TLS 1.1 is served")
	}
	if serial() != 2 {
		t.Error("another certificate")
	}
	ca.files(dir, "server", 7)
	if err := r.srv.Reload(); err != nil || serial() != 7 || reloaded != 1 {
		t.Errorf("after reload: %v, certificate %d, %d hooks", err, serial(), reloaded)
	}
	if err := os.WriteFile(key, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.srv.Reload(); err == nil || serial() != 7 {
		t.Errorf("a broken key: %v, certificate %d", err, serial())
	}
	// Without being told, by the time of the file: first a half of a pair, which is
	// said once, then the whole.
	lookAgain := func(minutes int) {
		t.Helper()
		later := time.Now().Add(time.Duration(minutes) * time.Minute)
		if err := errors.Join(os.Chtimes(cert, later, later), os.Chtimes(key, later, later)); err != nil {
			t.Fatal(err)
		}
		conf.mu.Lock()
		conf.checked = time.Time{}
		conf.mu.Unlock()
	}
	const complaint = `"reload: failed, and the old one stays in use","what":"certificate"`
	before := strings.Count(r.log.String(), complaint)
	lookAgain(1)
	if serial() != 7 {
		t.Error("a broken key is taken")
	}
	conf.mu.Lock()
	conf.checked = time.Time{}
	conf.mu.Unlock()
	if serial() != 7 || strings.Count(r.log.String(), complaint) != before+1 {
		t.Errorf("a broken key is said %d times", strings.Count(r.log.String(), complaint)-before)
	}
	ca.files(dir, "server", 9)
	lookAgain(2)
	if serial() != 9 || !strings.Contains(r.log.String(), `"reload: done","what":"certificate"`) {
		t.Error("a changed file is not noticed")
	}
	// Nobody is answered before a handshake, and nobody blocks the others.
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	b, _ := io.ReadAll(c)
	if bytes.Contains(b, []byte("200")) {
		t.Errorf("in clear: %q", b)
	}
}

func TestUnixSocket(t *testing.T) {
	r := newRig(t, nil)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if _, err := Listen("unix:" + path); err == nil {
		t.Error("a socket in use is taken over")
	}
	go r.srv.Serve(ln)
	h := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	res, err := h.Get("http://x/healthz")
	if err != nil || res.StatusCode != 200 {
		t.Fatal(err)
	}
	res.Body.Close()
	h.CloseIdleConnections()
	// What a crashed process leaves behind is replaced; a file of another kind is not.
	dead := filepath.Join(t.TempDir(), "dead")
	old, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()
	ln, err = Listen("unix:" + dead)
	if err != nil {
		t.Fatal("left behind: ", err)
	}
	ln.Close()
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Listen("unix:" + file); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

// TestSocketActivation starts this program again as systemd would.
func TestSocketActivation(t *testing.T) {
	if os.Getenv("VELONYM_TEST_ACTIVATED") != "" {
		os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid())) // what systemd does between fork and exec
		if _, err := Listen("systemd:other"); err == nil {
			t.Fatal("a socket of another name")
		}
		ln, err := Listen("systemd:web")
		if err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "activated\n")
		c.Close()
		return
	}
	if runtime.GOOS == "windows" {
		return
	}
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSocketActivation$")
	cmd.Env = append(os.Environ(), "VELONYM_TEST_ACTIVATED=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=admin:web")
	for _, ln := range []net.Listener{first, second} {
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", second.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	line, _ := bufio.NewReader(c).ReadString('\n')
	if err := cmd.Wait(); err != nil || line != "activated\n" {
		t.Errorf("%q, %v\n%s", line, err, out.String())
	}
	if _, err := Listen("systemd"); err == nil {
		t.Error("a socket without systemd")
	}
}

func TestNotify(t *testing.T) {
	if err := Notify("READY=1"); os.Getenv("NOTIFY_SOCKET") == "" && err != nil {
		t.Error("without systemd: ", err)
	}
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Notify("STOPPING=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := c.Read(b)
	if string(b[:n]) != "STOPPING=1" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

func TestAdmin(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Metrics = false })
	if a := r.send("GET", "/metrics", nil); a.status != 404 {
		t.Errorf("metrics on the data listener: %d", a.status)
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
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/openapi.json": 200, "/debug/pprof/": 404, forwardPath: 404} {
		if status, _ := get(path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	p := newRig(t, func(c *Config) { c.Pprof = true })
	profiled := httptest.NewServer(p.srv.Admin())
	defer profiled.Close()
	res, err := http.Get(profiled.URL + "/debug/pprof/cmdline")
	if err != nil || res.StatusCode != 200 {
		t.Errorf("pprof: %v", err)
	}
	res.Body.Close()
}

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no verifier":     func(c *Config) { c.Verifier = nil },
		"body too large":  func(c *Config) { c.MaxBody = 2 << 30 },
		"body below zero": func(c *Config) { c.MaxBody = -1 },
		"no memory":       func(c *Config) { c.MaxInFlight = 10 },
		"no connections":  func(c *Config) { c.MaxConns = -1 },
		"no time":         func(c *Config) { c.IdleTimeout = -1 },
	} {
		c := Config{Verifier: outage{}}
		change(&c)
		if s, err := New(c); err == nil {
			s.Shutdown(context.Background())
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestPoolClasses(t *testing.T) {
	last := 0
	for n := 1; n < 1<<22; n += 1 + n/300 {
		i, size := class(n)
		if size < n || n > minClass && size > n+n/4 {
			t.Fatalf("%d bytes get a buffer of %d", n, size)
		}
		if j, again := class(size); j != i || again != size {
			t.Fatalf("size %d of class %d is in class %d of size %d", size, i, j, again)
		}
		if i < last || i > last+1 {
			t.Fatalf("class %d after %d", i, last)
		}
		last = i
	}
	if i, _ := class(1 << 34); i >= classes {
		t.Errorf("class %d of %d", i, classes)
	}
	m := newMemory(64 << 10)
	b, ok := m.bytes.get(30 << 10)
	if !ok {
		t.Fatal("no room")
	}
	if _, ok := m.bytes.get(60 << 10); ok {
		t.Error("more than the limit")
	}
	m.bytes.put(b)
	w, ok := m.words.get(15 << 10) // only fits when the idle buffer goes
	if !ok || m.used.Load()+m.idle.Load() > m.limit {
		t.Errorf("%d used, %d idle of %d", m.used.Load(), m.idle.Load(), m.limit)
	}
	m.words.put(w)
	if n := m.trim(); n != 0 {
		t.Errorf("%d bytes dropped that were used a moment ago", n)
	}
	if n := m.trim(); n != 64<<10 {
		t.Errorf("%d bytes dropped", n)
	}
	if m.used.Load() != 0 || m.idle.Load() != 0 {
		t.Errorf("%d used, %d idle after all", m.used.Load(), m.idle.Load())
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add([]byte("Bearer abc"), []byte("application/json; charset=utf-8"), []byte("text/csv;q=0.5, */*"), []byte("gzip, zstd;q=0"), []byte("id-1"))
	f.Add([]byte("bearer"), []byte(";"), []byte(",,;q=;"), []byte("*;q=2"), []byte(""))
	f.Fuzz(func(t *testing.T, auth, ct, accept, enc, id []byte) {
		if tok := bearer(auth); tok != nil {
			if len(auth) < 7 || !strings.EqualFold(string(auth[:6]), "bearer") || !bytes.HasSuffix(bytes.TrimRight(auth, " \t"), tok) {
				t.Errorf("token %q of %q", tok, auth)
			}
		}
		if m := mediaType(ct); m != formUnknown {
			want := map[form]string{formJSON: "application/json", formCSV: "text/csv"}[m]
			if !strings.Contains(strings.ToLower(string(ct)), want) {
				t.Errorf("%q is %v", ct, m)
			}
		}
		if wantsCSV(accept) && !strings.Contains(strings.ToLower(string(accept)), "text/csv") {
			t.Errorf("%q wants CSV", accept)
		}
		if c := acceptCoding(enc); c == codingZstd && !strings.Contains(strings.ToLower(string(enc)), "zstd") {
			t.Errorf("%q takes %v", enc, c)
		}
		if contentCoding(enc) == codingGzip && !strings.Contains(strings.ToLower(string(enc)), "gzip") {
			t.Errorf("%q is gzip", enc)
		}
		if saneRequestID(id) && (len(id) > maxRequestID || bytes.ContainsAny(id, "\r\n\"<> \x00")) {
			t.Errorf("%q is sane", id)
		}
	})
}

// FuzzRequest sends bodies through the whole of the request path.
func FuzzRequest(f *testing.F) {
	r := newRig(f, func(c *Config) { c.Audit, c.Keystore = nil, nil })
	tok := r.token("pseudonymise", func(q *token.Request) { q.Err = "item" })
	strict := r.token("pseudonymise", nil)
	f.Add([]byte(`{"data":["a","b\"",1,null,""]}`), byte(0))
	f.Add([]byte("a,\"b\"\"c\"\r\n\r\n,d"), byte(1))
	f.Add([]byte("\ufeff\"\"\n\"x\ny\",z\n"), byte(3))
	nobody, _ := net.Pipe()
	nobody.Close() // deadlines and lingering end at once
	f.Fuzz(func(t *testing.T, body []byte, how byte) {
		var ctx fasthttp.RequestCtx
		ctx.Init2(nobody, nil, false)
		q := &ctx.Request
		q.Header.SetMethod("POST")
		q.SetRequestURI(forwardPath)
		q.Header.SetContentType([]string{jsonType, csvType}[how&1])
		if how&2 != 0 {
			q.Header.Set("Accept", csvType)
		}
		q.Header.Set("Authorization", "Bearer "+[]string{tok, strict}[how>>2&1])
		if how&8 != 0 {
			q.Header.Set("Content-Encoding", []string{"gzip", "zstd"}[how>>4&1])
		}
		q.SetBodyStream(bytes.NewReader(body), len(body))
		r.srv.handle(&ctx)
		a := answerOf{ctx.Response.StatusCode(), http.Header{}, bytes.Clone(ctx.Response.Body())}
		switch a.status {
		case 200:
			if !bytes.HasPrefix(ctx.Response.Header.ContentType(), []byte("text/csv")) {
				a.data(t)
			}
		case 400, 413, 422:
		default:
			t.Errorf("status %d: %s", a.status, a.body)
		}
		ctx.Request.Reset()
		if used := r.srv.mem.used.Load(); used != 0 {
			t.Fatalf("%d bytes are not given back", used)
		}
	})
}
