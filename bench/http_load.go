package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"
)

// Load describes a load on a running server of the HTTP contract, this one or another.
type Load struct {
	URL      string // https://host:port, http://host:port or unix:PATH; a path other than / is used as it is
	Token    []byte
	CA       string        // PEM file of authorities to trust besides the system's; "": none
	Values   int           // a call; 0: 100
	Conns    int           // concurrent calls; 0: 16
	Duration time.Duration // 0: 10 s
	Calls    int64         // number of calls at most; 0: only Duration limits them
	Rate     float64       // calls a second, open loop; 0: the next call follows the answer
}

// LoadResult is the result of a load.
type LoadResult struct {
	Calls, Values int64 // answered with 200
	Took          time.Duration
	P50, P99, Max time.Duration    // of all answers, from when a call was due
	Outcomes      map[string]int64 // number of calls by status and problem code, or by failure of the connection
}

// Limits of a load, so that a typing error does not become an attack.
const (
	maxLoadTime   = time.Hour
	maxLoadConns  = 4096
	maxLoadValues = 1_000_000
)

// request returns a request with the given body, and an empty response for it.
func (l Load) request(target string, body []byte) (*fasthttp.Request, *fasthttp.Response) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	req.SetRequestURI(target)
	req.Header.SetMethod("POST")
	req.Header.SetContentType("application/json")
	req.Header.Set("Authorization", "Bearer "+string(l.Token))
	req.SetBodyRaw(body)
	return req, resp
}

// Run loads the server with pseudonymising calls of 13-digit values until the duration or
// the number of calls is reached, or ctx ends. Before timing it verifies one whole answer;
// of the others it checks status and length. Errors and result never contain the token.
func (l Load) Run(ctx context.Context) (LoadResult, error) {
	res := LoadResult{Outcomes: map[string]int64{}}
	client, target, err := l.prepare()
	if err != nil {
		return res, err
	}
	body := httpBody(l.Values)
	req, resp := l.request(target, body)
	if err := client.DoTimeout(req, resp, loadTimeout); err != nil {
		return res, fmt.Errorf("bench: http: the server does not answer: %w", err)
	}
	if err := checkAnswer(resp, l.Values); err != nil {
		return res, err
	}
	expect := len(resp.Body())

	ctx, cancel := context.WithTimeout(ctx, l.Duration)
	defer cancel()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		next  atomic.Int64
		hist  = hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3)
		begin = time.Now()
	)
	for range l.Conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			req, resp := l.request(target, body)
			for {
				n := next.Add(1)
				if l.Calls > 0 && n > l.Calls || ctx.Err() != nil {
					return
				}
				due := time.Now()
				if l.Rate > 0 {
					due = begin.Add(time.Duration(float64(n) / l.Rate * float64(time.Second)))
					select {
					case <-time.After(time.Until(due)):
					case <-ctx.Done():
						return
					}
				}
				err := client.DoTimeout(req, resp, loadTimeout)
				took := time.Since(due)
				what := outcome(resp, err)
				mu.Lock()
				res.Outcomes[what]++
				if err == nil {
					_ = hist.RecordValue(max(1, took.Microseconds()))
				}
				if what == "200" {
					res.Calls++
					res.Values += int64(l.Values)
					// Pseudonyms of some forms vary slightly in length.
					if got := len(resp.Body()); got < expect/2 || got > 2*expect {
						res.Outcomes["200, of another length than the first"]++
					}
				}
				mu.Unlock()
				if err != nil { // a refused connection fails at once: do not retry in a busy loop
					select {
					case <-time.After(10 * time.Millisecond):
					case <-ctx.Done():
						return
					}
				}
			}
		}()
	}
	wg.Wait()
	res.Took = time.Since(begin)
	of := func(q float64) time.Duration { return time.Duration(hist.ValueAtQuantile(q)) * time.Microsecond }
	res.P50, res.P99, res.Max = of(50), of(99), of(100)
	return res, nil
}

// loadTimeout limits the duration of one call.
const loadTimeout = 30 * time.Second

// prepare sets defaults, checks the limits, and returns the client and the target URL.
func (l *Load) prepare() (*fasthttp.Client, string, error) {
	if l.Values == 0 {
		l.Values = 100
	}
	if l.Conns == 0 {
		l.Conns = 16
	}
	if l.Duration == 0 {
		l.Duration = 10 * time.Second
	}
	switch {
	case l.Values < 1 || l.Values > maxLoadValues:
		return nil, "", fmt.Errorf("bench: http: between 1 and %d values a call", maxLoadValues)
	case l.Conns < 1 || l.Conns > maxLoadConns:
		return nil, "", fmt.Errorf("bench: http: between 1 and %d connections", maxLoadConns)
	case l.Duration < 0 || l.Duration > maxLoadTime:
		return nil, "", fmt.Errorf("bench: http: a load takes at most %s", maxLoadTime)
	case l.Calls < 0 || l.Rate < 0:
		return nil, "", errors.New("bench: http: calls and rate must not be negative")
	case len(l.Token) == 0 || bytes.ContainsAny(l.Token, " \r\n\x00"):
		return nil, "", errors.New("bench: http: a token is one line without spaces")
	}
	c := &fasthttp.Client{MaxConnsPerHost: l.Conns + 1, ReadTimeout: loadTimeout, WriteTimeout: loadTimeout, ReadBufferSize: 16 << 10,
		MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true, DisablePathNormalizing: true}
	if path, ok := strings.CutPrefix(l.URL, "unix:"); ok {
		c.Dial = func(string) (net.Conn, error) { return net.Dial("unix", path) }
		return c, "http://localhost" + forwardPath, nil
	}
	u, err := url.Parse(l.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", errors.New("bench: http: --url: write https://host:port")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = forwardPath
	}
	c.Dial = func(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, 10*time.Second) }
	if u.Scheme == "https" {
		c.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if l.CA != "" {
			pem, err := os.ReadFile(l.CA)
			if err != nil {
				return nil, "", fmt.Errorf("bench: http: %w", err)
			}
			c.TLSConfig.RootCAs, err = x509.SystemCertPool()
			if err != nil {
				c.TLSConfig.RootCAs = x509.NewCertPool()
			}
			if !c.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
				return nil, "", fmt.Errorf("bench: http: %s holds no certificate", l.CA)
			}
		}
	}
	return c, u.String(), nil
}

// checkAnswer verifies a whole answer. Of its content, errors contain the problem code
// only.
func checkAnswer(resp *fasthttp.Response, values int) error {
	if what := outcome(resp, nil); what != "200" {
		return fmt.Errorf("bench: http: the server refuses the call: %s", what)
	}
	var got struct{ Data []*string }
	if err := json.Unmarshal(resp.Body(), &got); err != nil {
		return errors.New(`bench: http: the answer is not {"data": […]}`)
	}
	if len(got.Data) != values {
		return fmt.Errorf("bench: http: %d values were answered with %d", values, len(got.Data))
	}
	return nil
}

// outcome classifies a call by its status and problem code, or by how the connection
// failed. Whatever a server sends, the number of different outcomes is small.
func outcome(resp *fasthttp.Response, err error) string {
	var timeout net.Error
	switch {
	case err == nil:
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return "timed out"
	case errors.Is(err, fasthttp.ErrConnectionClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	default:
		return "connection failed"
	}
	status := fmt.Sprint(resp.StatusCode())
	if status == "200" {
		return status
	}
	var p struct{ Code string }
	if json.Unmarshal(resp.Body(), &p) == nil && p.Code != "" && len(p.Code) <= 40 && strings.Trim(p.Code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "" {
		status += " " + p.Code
	}
	return status
}

// Print writes the result as text for people.
func (r LoadResult) Print(w io.Writer) error {
	seconds := max(r.Took.Seconds(), 1e-9)
	var b strings.Builder
	fmt.Fprintf(&b, "calls     %12d  %14.1f a second\n", r.Calls, float64(r.Calls)/seconds)
	fmt.Fprintf(&b, "values    %12d  %14.1f a second\n", r.Values, float64(r.Values)/seconds)
	fmt.Fprintf(&b, "p50       %12d  µs\n", r.P50.Microseconds())
	fmt.Fprintf(&b, "p99       %12d  µs\n", r.P99.Microseconds())
	fmt.Fprintf(&b, "max       %12d  µs\n", r.Max.Microseconds())
	names := make([]string, 0, len(r.Outcomes))
	for n := range r.Outcomes {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "answers   %12d  %s\n", r.Outcomes[n], n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
