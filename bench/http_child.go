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
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/server"
)

// Child returns false unless this process was started as a server or client of the HTTP
// benchmark. Otherwise it serves that role to its end and returns true. A program that
// offers [HTTP] calls it first in main, and ends if it returns true.
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

// roleOf starts the server or client of a role. run answers a line; end cleans up.
func roleOf(role string) (h hello, run func(line string) any, end func(), err error) {
	run = func(string) any { return usage{cpuTime(), resident()} }
	end = func() {}
	switch role {
	case "client":
		return h, runJob, end, nil
	case "run":
		return startRun()
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
	case "velonym", "velonym-no-yield":
		ln.Close()
		return startVelonym(server.Config{NoReadYield: role == "velonym-no-yield"})
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

// plain is a straightforward service: the standard library's JSON, a padded AES block for
// each value, hexadecimal output. It compares the token with a known one or, with verify,
// verifies it with golang-jwt in every call under HS256, the cheapest algorithm.
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

// token returns a new token with registered claims only.
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

// startVelonym starts the server with cfg, new keys and otherwise default settings. Each of
// its steps needs the result of the previous one, so it is a single function.
func startVelonym(cfg server.Config) (h hello, run func(string) any, end func(), err error) {
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
	if err = ks.CreateProject(ctx, keys.Project{Name: "bench", Method: "reversible", Policy: "same", Form: "pair62",
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
	cfg.Verifier, cfg.Keystore, cfg.Audit, cfg.DrainDelay = verifier, ks, log, -1
	s, err := server.New(cfg)
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

// callOnce makes one call on a new connection.
func callOnce(addr, path, tok string, body []byte) ([]byte, error) {
	return sendOnce(addr, requestOf(addr, path, tok, body))
}

// sendOnce sends a request on a connection of its own and returns the body of its answer.
func sendOnce(addr string, request []byte) ([]byte, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	if err := c.call(request); err != nil {
		return nil, err
	}
	return c.body, nil
}

// requestOf returns a complete request with a body of JSON.
func requestOf(addr, path, tok string, body []byte) []byte {
	return requestAs("application/json", addr, path, tok, body)
}

// requestAs returns a whole request of any media type.
func requestAs(mime, addr, path, tok string, body []byte) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		path, addr, tok, mime, len(body), body)
}

// conn is a keep-alive connection of the client.
type conn struct {
	conn  net.Conn
	br    *bufio.Reader
	body  []byte
	ended bool // the server announced that it closes the connection
}

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{conn: c, br: bufio.NewReaderSize(c, 64<<10)}, nil
}

// call sends a request and reads the answer into c.body. It fails unless the status is
// 200. It does as little work as possible.
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

// runJob runs a job, given in JSON, and returns its [result].
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
	case j.CSV > 0:
		var body []byte
		if body, err = Data("narrow", j.CSV, 1); err == nil {
			res, err = closedLoop(j, requestAs("text/csv", j.Addr, j.Path, j.Token, body))
		}
	case j.Arrow:
		var body []byte
		if body, err = arrowBody(j.Values, j.Coded); err == nil {
			res, err = closedLoop(j, requestAs(arrowType, j.Addr, j.Path, j.Token, body))
		}
	case j.Mixed:
		res, err = soak(j)
	case j.Rate > 0:
		res, err = openLoop(j, requestOf(j.Addr, j.Path, j.Token, httpBody(j.Values)))
	default:
		res, err = closedLoop(j, requestOf(j.Addr, j.Path, j.Token, httpBody(j.Values)))
	}
	if err != nil {
		res.Error = err.Error()
	}
	return res
}
