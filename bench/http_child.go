package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/server"
)

// Child runs this process as a server or client of the HTTP benchmark when it
// was started as one, and says so. A program that offers [HTTP] calls it first
// in main and ends when it returns true.
func Child() bool {
	role := os.Getenv(childEnv)
	if role == "" {
		return false
	}
	out := json.NewEncoder(os.Stdout)
	h, run, end, err := roleOf(role)
	h.Role = role
	if err != nil {
		h.Error = err.Error()
	}
	if out.Encode(h) != nil || err != nil {
		return true
	}
	defer end()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if out.Encode(run(in.Text())) != nil {
			return true
		}
	}
	return true
}

// roleOf starts what a child is to be. run answers a line; end cleans up.
func roleOf(role string) (h hello, run func(line string) any, end func(), err error) {
	run = func(string) any { return usage{cpuTime(), resident()} }
	end = func() {}
	if role == "client" {
		return h, runJob, end, nil
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return h, nil, nil, err
	}
	h.Addr = ln.Addr().String()
	switch role {
	case "echo":
		h.Forward = strings.Repeat("t", 700)
		go serveFast(ln, func(x *fasthttp.RequestCtx) {
			x.SetContentType("application/json")
			x.SetBody(x.PostBody())
		})
	case "plain", "plain-jwt":
		p, err := newPlain(role == "plain-jwt")
		if err != nil {
			return h, nil, nil, err
		}
		if h.Forward, err = p.token(); err != nil {
			return h, nil, nil, err
		}
		go serveFast(ln, p.handle)
	case "velonym":
		ln.Close()
		return startVelonym()
	default:
		return h, nil, nil, errors.New("unknown role")
	}
	return h, run, end, nil
}

func serveFast(ln net.Listener, f fasthttp.RequestHandler) {
	s := &fasthttp.Server{Handler: f, MaxRequestBodySize: 1 << 30}
	if err := s.Serve(ln); err != nil {
		fmt.Fprintln(os.Stderr, "bench: http:", err)
	}
}

// plain is the service one would write first: the standard library's JSON, a
// padded AES block a value, hex. It knows one token by heart, or with verify
// checks the token with golang-jwt at every call, under HS256, the cheapest
// algorithm there is.
type plain struct {
	verify bool
	known  string
	secret []byte
	parser *jwt.Parser
	block  cipher.Block
}

func newPlain(verify bool) (*plain, error) {
	b, err := aes.NewCipher(make([]byte, 32))
	return &plain{verify, "", make([]byte, 32), jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired()), b}, err
}

// token makes a token with the registered claims alone.
func (p *plain) token() (s string, err error) {
	now := time.Now()
	p.known, err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Issuer: "velonym", Audience: jwt.ClaimStrings{"velonym"}, ID: "bench",
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour))}).SignedString(p.secret)
	return p.known, err
}

func (p *plain) handle(x *fasthttp.RequestCtx) {
	tok, ok := strings.CutPrefix(string(x.Request.Header.Peek("Authorization")), "Bearer ")
	if !p.verify {
		ok = ok && tok == p.known
	} else if ok {
		var claims jwt.RegisteredClaims
		_, err := p.parser.ParseWithClaims(tok, &claims, func(*jwt.Token) (any, error) { return p.secret, nil })
		ok = err == nil
	}
	if !ok {
		x.Error("token", fasthttp.StatusUnauthorized)
		return
	}
	var v struct {
		Data []string `json:"data"`
	}
	if err := json.Unmarshal(x.PostBody(), &v); err != nil {
		x.Error(err.Error(), fasthttp.StatusBadRequest)
		return
	}
	for i, s := range v.Data {
		var b [16]byte
		n := copy(b[:15], s)
		for j := n; j < 16; j++ {
			b[j] = byte(16 - n)
		}
		p.block.Encrypt(b[:], b[:])
		v.Data[i] = hex.EncodeToString(b[:])
	}
	out, err := json.Marshal(v)
	if err != nil {
		x.Error(err.Error(), fasthttp.StatusInternalServerError)
		return
	}
	x.SetContentType("application/json")
	x.SetBody(out)
}

// startVelonym starts the server as it is shipped, on keys of its own.
func startVelonym() (h hello, run func(string) any, end func(), err error) {
	dir, err := os.MkdirTemp("", "velonym-bench-")
	if err != nil {
		return h, nil, nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	ctx := context.Background()
	master := filepath.Join(dir, "master.key")
	if err = keys.NewMasterKeyFile(master); err != nil {
		return h, nil, nil, err
	}
	mk, err := keys.LoadMasterKey(ctx, master)
	if err != nil {
		return h, nil, nil, err
	}
	store, err := sqlite.Create(filepath.Join(dir, "keystore.db"))
	if err != nil {
		return h, nil, nil, err
	}
	ks, err := keys.New(ctx, store, mk)
	if err != nil {
		return h, nil, nil, err
	}
	if err = ks.CreateProject(ctx, keys.Project{Name: "bench", Method: "reversible", Policy: "same", Format: "pair62",
		Orgs: []string{""}, Retention: time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)}, nil); err != nil {
		return h, nil, nil, err
	}
	seed, err := ks.IssuerSeed(ctx)
	if err != nil {
		return h, nil, nil, err
	}
	issuer, err := token.NewIssuer(seed, "velonym", "velonym")
	if err != nil {
		return h, nil, nil, err
	}
	if h.Forward, _, err = issuer.Create(ctx, ks, token.Request{Project: "bench", TTL: time.Hour}); err != nil {
		return h, nil, nil, err
	}
	if h.Reverse, _, err = issuer.Create(ctx, ks, token.Request{Project: "bench", Op: "reverse", TTL: time.Hour}); err != nil {
		return h, nil, nil, err
	}
	verifier, err := token.NewVerifier(token.Config{Keystore: ks, Issuer: issuer})
	if err != nil {
		return h, nil, nil, err
	}
	log, err := audit.Open(filepath.Join(dir, "audit.jsonl"), audit.Options{Delay: 50 * time.Millisecond})
	if err != nil {
		return h, nil, nil, err
	}
	s, err := server.New(server.Config{Verifier: verifier, Keystore: ks, Audit: log, DrainDelay: -1})
	if err != nil {
		return h, nil, nil, err
	}
	ln, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return h, nil, nil, err
	}
	h.Addr = ln.Addr().String()
	go func() {
		if err := s.Serve(ln); err != nil {
			fmt.Fprintln(os.Stderr, "bench: http:", err)
		}
	}()
	stopProfile := profiled()
	run = func(string) any { return usage{cpuTime(), resident()} }
	end = func() {
		stopProfile()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		verifier.Close()
		log.Close()
		ks.Close()
		os.RemoveAll(dir)
	}
	return h, run, end, nil
}

// callOnce makes one call on a connection of its own.
func callOnce(addr, path, tok string, body []byte) ([]byte, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	if err := c.call(requestOf(addr, path, tok, body)); err != nil {
		return nil, err
	}
	return c.body, nil
}

// requestOf is a whole request.
func requestOf(addr, path, tok string, body []byte) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, tok, len(body), body)
}

// conn is a keep-alive connection of the client.
type conn struct {
	conn  net.Conn
	br    *bufio.Reader
	body  []byte
	ended bool // the server closes it
}

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{conn: c, br: bufio.NewReaderSize(c, 64<<10)}, nil
}

// call sends a request and reads the answer, with as little work as it takes.
func (c *conn) call(req []byte) error {
	if _, err := c.conn.Write(req); err != nil {
		return err
	}
	c.body = c.body[:0]
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		c.body = append(c.body, line...)
	}
	n, err := lengthOf(c.body)
	if err != nil {
		return err
	}
	c.body = slices.Grow(c.body[:0], n)[:n]
	_, err = io.ReadFull(c.br, c.body)
	return err
}

// spinner is a connection that is never waited for: its client looks at it again
// and again, so that the server need not wake anybody and is charged for its
// own work alone.
type spinner struct {
	c     net.Conn
	rc    syscall.RawConn
	out   []byte // of the request, not sent yet
	head  []byte // of the answer, until it is whole
	left  int    // bytes of the answer's body to come; -1: in its head
	calls int64
}

// step moves the connection on as far as it goes without waiting, and starts
// the next call when one is answered, unless the time is over.
func (s *spinner) step(req, buf []byte, over bool) (busy bool, err error) {
	if len(s.out) > 0 {
		e := s.rc.Write(func(fd uintptr) bool {
			var n int
			if n, err = unix.Write(int(fd), s.out); n > 0 {
				s.out = s.out[n:]
			}
			return true
		})
		if err = waitless(err); err == nil {
			err = e
		}
		if err != nil {
			return false, err
		}
	}
	n := 0
	e := s.rc.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), buf)
		return true
	})
	if n == 0 && err == nil && e == nil {
		return false, io.ErrUnexpectedEOF
	}
	if err = waitless(err); err == nil {
		err = e
	}
	if err != nil || n <= 0 {
		return true, err
	}
	in := buf[:n]
	if s.left < 0 {
		s.head = append(s.head, in...)
		i := bytes.Index(s.head, []byte("\r\n\r\n"))
		if i < 0 {
			return true, nil
		}
		if s.left, err = lengthOf(s.head[:i+2]); err != nil {
			return false, err
		}
		in = s.head[i+4:]
	}
	if s.left -= len(in); s.left > 0 {
		return true, nil
	}
	s.calls++
	s.head, s.left = s.head[:0], -1
	if over {
		return false, nil
	}
	s.out = req
	return true, nil
}

// waitless takes the error of a call that would have had to wait for none.
func waitless(err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// lengthOf reads the status and the length of an answer's head.
func lengthOf(head []byte) (int, error) {
	if len(head) < 12 || string(head[9:12]) != "200" {
		return 0, fmt.Errorf("answer %.40q", head)
	}
	const name = "\r\nContent-Length: "
	i := bytes.Index(head, []byte(name))
	if i < 0 {
		return 0, errors.New("an answer without its length")
	}
	n := 0
	for _, d := range head[i+len(name):] {
		if d < '0' || d > '9' {
			break
		}
		n = 10*n + int(d-'0')
	}
	return n, nil
}

// spinners opens the connections of a job.
func spinners(j job) (all []*spinner, err error) {
	for range j.Conns {
		c, err := net.Dial("tcp", j.Addr)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		s := &spinner{c: c, left: -1}
		all = append(all, s)
		if s.rc, err = c.(syscall.Conn).SyscallConn(); err != nil {
			closeAll(all)
			return nil, err
		}
	}
	return all, nil
}

func closeAll(all []*spinner) {
	for _, s := range all {
		s.c.Close()
	}
}

// spin calls as fast as answers come, on all connections at once.
func spin(j job, req []byte) (res result, err error) {
	all, err := spinners(j)
	if err != nil {
		return res, err
	}
	defer closeAll(all)
	for _, s := range all {
		s.out = req
	}
	buf := make([]byte, 1<<20)
	end := time.Now().Add(time.Duration(j.Millis) * time.Millisecond)
	for busy := true; busy; {
		busy = false
		over := time.Now().After(end)
		for _, s := range all {
			if s.calls < 0 {
				continue
			}
			b, err := s.step(req, buf, over)
			if err != nil {
				return res, err
			}
			if over && !b {
				res.Calls += s.calls
				s.calls = -1 // done
			}
			busy = busy || s.calls >= 0
		}
	}
	return res, nil
}

// runJob is the client's work.
func runJob(line string) any {
	var j job
	if err := json.Unmarshal([]byte(line), &j); err != nil {
		return result{Error: err.Error()}
	}
	var (
		res result
		err error
	)
	switch {
	case j.Mixed:
		res, err = soak(j)
	case j.Rate > 0:
		res, err = openLoop(j, requestOf(j.Addr, j.Path, j.Token, httpBody(j.Values)))
	default:
		res, err = spin(j, requestOf(j.Addr, j.Path, j.Token, httpBody(j.Values)))
	}
	if err != nil {
		res.Error = err.Error()
	}
	return res
}

// openLoop makes calls at a constant rate and measures each from the moment it
// was due, whatever became of those before it. Like spin it never sleeps: a sleep
// is a thousand times as long as the answer to a small call.
func openLoop(j job, req []byte) (res result, err error) {
	all, err := spinners(j)
	if err != nil {
		return res, err
	}
	defer closeAll(all)
	buf := make([]byte, 1<<20)
	hist := hdrhistogram.New(1, 60_000_000, 3) // in units of 100 ns
	due := make([]time.Duration, len(all))     // of the call that a connection is busy with; 0: none
	gap := time.Duration(float64(time.Second) / j.Rate)
	begin, next, length := time.Now(), gap, time.Duration(j.Millis)*time.Millisecond
	for busy := true; busy || next < length; {
		busy = false
		for i, s := range all {
			if due[i] == 0 {
				if next >= length || next > time.Since(begin) {
					continue
				}
				due[i], s.out = next, req
				next += gap
			}
			more, err := s.step(req, buf, true)
			if err != nil {
				return res, err
			}
			if !more {
				_ = hist.RecordValue(max(1, int64((time.Since(begin)-due[i])/100)))
				res.Calls++
				due[i] = 0
				continue
			}
			busy = true
		}
	}
	res.P50, res.P99 = float64(hist.ValueAtQuantile(50))/10, float64(hist.ValueAtQuantile(99))/10
	return res, nil
}
