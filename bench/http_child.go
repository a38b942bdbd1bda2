package bench

import (
	"bufio"
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
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/server"
)

func sortFloats(v []float64) { sort.Float64s(v) }

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
	run = func(string) any { return usage{cpuTime()} }
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
	case "plain":
		h.Forward = strings.Repeat("t", 700)
		p, err := newPlain(h.Forward)
		if err != nil {
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
// padded AES block a value, hex, and tokens looked up in a map.
type plain struct {
	tokens map[string]bool
	block  cipher.Block
}

func newPlain(tok string) (*plain, error) {
	b, err := aes.NewCipher(make([]byte, 32))
	return &plain{map[string]bool{tok: true}, b}, err
}

func (p *plain) handle(x *fasthttp.RequestCtx) {
	tok, ok := strings.CutPrefix(string(x.Request.Header.Peek("Authorization")), "Bearer ")
	if !ok || !p.tokens[tok] {
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
	run = func(string) any { return usage{cpuTime()} }
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
	conn net.Conn
	br   *bufio.Reader
	body []byte
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
	length, first := -1, true
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first {
			if len(line) < 12 || string(line[9:12]) != "200" {
				return fmt.Errorf("answer %q", line)
			}
			first = false
		}
		if len(line) <= 2 {
			break
		}
		const name = "Content-Length: "
		if len(line) > len(name) && string(line[:len(name)]) == name {
			length = 0
			for _, d := range line[len(name) : len(line)-2] {
				length = 10*length + int(d-'0')
			}
		}
	}
	if length < 0 {
		return errors.New("an answer without its length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err := io.ReadFull(c.br, c.body)
	return err
}

// runJob is the client's work.
func runJob(line string) any {
	var j job
	if err := json.Unmarshal([]byte(line), &j); err != nil {
		return result{Error: err.Error()}
	}
	req := requestOf(j.Addr, j.Path, j.Token, httpBody(j.Values))
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		res   result
		next  atomic.Int64
		hist  = hdrhistogram.New(1, 60_000_000, 3)
		begin = time.Now()
		end   = begin.Add(time.Duration(j.Millis) * time.Millisecond)
	)
	fail := func(err error) {
		mu.Lock()
		res.Error = err.Error()
		mu.Unlock()
	}
	for range j.Conns {
		c, err := dial(j.Addr)
		if err != nil {
			fail(err)
			break
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer c.conn.Close()
			var calls int64
			for {
				due := time.Now()
				if j.Rate > 0 {
					// The n-th call is due at a time of its own, whatever became
					// of those before: waiting in the client counts too.
					due = begin.Add(time.Duration(float64(next.Add(1)) / j.Rate * float64(time.Second)))
					if d := time.Until(due); d > 0 {
						time.Sleep(d)
					}
				}
				if due.After(end) {
					break
				}
				if err := c.call(req); err != nil {
					fail(err)
					return
				}
				calls++
				if j.Rate > 0 {
					mu.Lock()
					_ = hist.RecordValue(max(1, time.Since(due).Microseconds()))
					mu.Unlock()
				}
			}
			mu.Lock()
			res.Calls += calls
			mu.Unlock()
		}()
	}
	wg.Wait()
	res.P50, res.P99 = float64(hist.ValueAtQuantile(50)), float64(hist.ValueAtQuantile(99))
	return res
}
