package bench

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// HTTPSoak loads the server for the given length with calls of all kinds, and compares
// its memory at the end with its memory after a tenth of the time. rate is in calls a
// second; 0 means 200.
func HTTPSoak(ctx context.Context, o Options, length time.Duration, rate float64) (*Section, error) {
	if length < time.Second || length > 24*time.Hour {
		return nil, errors.New("bench: http: a soak takes between a second and a day")
	}
	if rate <= 0 {
		rate = 200
	}
	server, err := startChild(ctx, "velonym", 0)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	client, err := startChild(ctx, "client", 1)
	if err != nil {
		return nil, err
	}
	defer client.stop()
	if err := server.check(100); err != nil {
		return nil, fmt.Errorf("bench: http: %w", err)
	}
	line, err := json.Marshal(job{Addr: server.hello.Addr, Token: server.hello.Forward, Reverse: server.hello.Reverse,
		Conns: 16, Millis: int(length.Milliseconds()), Rate: rate, Mixed: true})
	if err != nil {
		return nil, err
	}
	type answer struct {
		res result
		err error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		a.err = client.ask(string(line), &a.res)
		done <- a
	}()
	var (
		begin = time.Now()
		tick  = time.NewTicker(length / 200)
		at    []time.Duration
		bytes []float64
	)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
			var u usage
			if err := server.ask("usage", &u); err != nil {
				return nil, err
			}
			at, bytes = append(at, time.Since(begin)), append(bytes, float64(u.Resident))
			if len(at)%20 == 0 {
				o.logf("http: soak: %s, %.1f MiB", at[len(at)-1].Round(time.Second), float64(u.Resident)/(1<<20))
			}
		case a := <-done:
			if a.err == nil && a.res.Error != "" {
				a.err = errors.New(a.res.Error)
			}
			if a.err != nil {
				return nil, fmt.Errorf("bench: http: soak: %w", a.err)
			}
			return soakSection(length, at, bytes, a.res)
		}
	}
}

// soakSection compares the resident memory late in a soak with that after a tenth of it.
// bytes holds the measurements and at their times since the start.
func soakSection(length time.Duration, at []time.Duration, bytes []float64, res result) (*Section, error) {
	if len(bytes) == 0 {
		return nil, errors.New("bench: http: soak: too short to measure")
	}
	window := func(name string, from, to float64) Stat {
		var in []float64
		for i, t := range at {
			if x := float64(t) / float64(length); x >= from && x < to {
				in = append(in, bytes[i])
			}
		}
		if len(in) == 0 {
			in = bytes[len(bytes)-1:]
		}
		return statOf(name, in)
	}
	early, late := window("memory after a tenth", 0.08, 0.12), window("memory at the end", 0.95, 2)
	row := Row{Name: late.Name, Unit: "MiB", Median: late.Median / (1 << 20), Min: late.Min / (1 << 20), Max: late.Max / (1 << 20),
		Against: early.Name, Ratio: late.Median / early.Median, Note: "at most 1.1 is wanted"}
	refused := ""
	if len(res.Refused) > 0 {
		refused = fmt.Sprintf(" Answered 503: %v.", res.Refused)
	}
	return &Section{Name: "http-soak", Title: "Memory of the server under a mixed load", Command: "velonym bench http --soak " + length.String(),
		Notes: []string{fmt.Sprintf("%d calls in %s: 1 to 100,000 values, JSON, CSV and gzip, both ways, refused tokens, broken and cut-off bodies, new connections. Resident memory, medians of a twentieth of the time.%s", res.Calls, length, refused)},
		Rows:  []Row{row, Plain(early, "MiB", 1<<20)}}, nil
}

// soakCall is a kind of call in a soak.
type soakCall struct {
	req    []byte
	status string // expected
	drop   bool   // send half of the request and close the connection
	weight int    // relative frequency
}

// soakCalls returns the kinds of calls of a soak.
func soakCalls(j job) ([]soakCall, error) {
	forward := func(values int) []byte { return requestOf(j.Addr, forwardPath, j.Token, httpBody(values)) }
	with := func(path, tok, header string, body []byte) []byte {
		return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s", path, j.Addr, tok, header, len(body), body)
	}
	const asJSON = "Content-Type: application/json\r\n"
	psn, err := callOnce(j.Addr, forwardPath, j.Token, httpBody(1000))
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(httpBody(5000)); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	csv := bytes.Repeat([]byte("1893120105732,\"a, b\"\n"), 500)
	return []soakCall{
		{forward(1), "200", false, 300},
		{forward(100), "200", false, 300},
		{forward(10_000), "200", false, 60},
		{forward(100_000), "200", false, 6},
		{with(forwardPath, j.Token, "Content-Type: text/csv\r\nAccept: text/csv\r\n", csv), "200", false, 60},
		{with(forwardPath, j.Token, asJSON+"Content-Encoding: gzip\r\nAccept-Encoding: gzip\r\n", packed.Bytes()), "200", false, 20},
		{with(forwardPath, j.Token, asJSON+"Accept-Encoding: zstd\r\n", httpBody(2000)), "200", false, 20},
		{with(forwardPath+"-rev", j.Reverse, asJSON, psn), "200", false, 40},
		{with(forwardPath+"-rev", j.Reverse, asJSON, httpBody(10)), "422", false, 10},
		{with(forwardPath, j.Token[:len(j.Token)-8]+"AAAAAAAA", asJSON, httpBody(1)), "401", false, 20},
		{with(forwardPath, j.Token, asJSON, []byte(`{"data":["a",}`)), "400", false, 10},
		{forward(50_000), "", true, 5},
	}, nil
}

// soak makes calls of all kinds at a constant rate.
func soak(j job) (result, error) {
	kinds, err := soakCalls(j)
	if err != nil {
		return result{}, err
	}
	s := soakState{job: j, kinds: kinds, begin: time.Now()}
	s.end = s.begin.Add(time.Duration(j.Millis) * time.Millisecond)
	for i, k := range kinds {
		for range k.weight {
			s.order = append(s.order, i)
		}
	}
	var clients sync.WaitGroup
	for range j.Conns {
		clients.Go(s.client)
	}
	clients.Wait()
	s.res.Calls = s.calls.Load()
	return s.res, s.err
}

// soakState is the state that the clients of a soak share.
type soakState struct {
	job
	kinds      []soakCall
	order      []int // indices of kinds, each as often as its weight
	begin, end time.Time
	next       atomic.Int64 // number of the last call that was assigned
	calls      atomic.Int64

	mu  sync.Mutex
	res result
	err error // first error of a client
}

func (s *soakState) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *soakState) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// client makes calls when they are due, until the soak ends or fails. It opens a new
// connection after every fiftieth call and after every dropped one.
func (s *soakState) client() {
	var c *conn
	hangUp := func() {
		if c != nil {
			c.conn.Close()
			c = nil
		}
	}
	defer hangUp()
	for !s.failed() {
		n := s.next.Add(1)
		due := s.begin.Add(time.Duration(float64(n) / s.Rate * float64(time.Second)))
		if due.After(s.end) {
			return
		}
		time.Sleep(time.Until(due))
		if c == nil {
			var err error
			if c, err = dial(s.Addr); err != nil {
				s.fail(err)
				return
			}
		}
		// The prime step visits the kinds in an irregular order.
		k := s.kinds[s.order[int(n*7919)%len(s.order)]]
		if k.drop {
			_, _ = c.conn.Write(k.req[:len(k.req)/2])
			hangUp()
			continue
		}
		if err := s.call(c, k); err != nil {
			s.fail(err)
			return
		}
		s.calls.Add(1)
		if n%50 == 0 || c.ended {
			hangUp()
		}
	}
}

// call makes a call of kind k. It counts an answer 503, which reports a shortage on the
// machine, and does not treat it as an error.
func (s *soakState) call(c *conn, k soakCall) error {
	status, err := c.status(k.req)
	switch {
	case err != nil:
		return err
	case status == "503":
		var p struct{ Code string }
		_ = json.Unmarshal(c.body, &p)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.res.Refused == nil {
			s.res.Refused = map[string]int64{}
		}
		s.res.Refused[p.Code]++
	case status != k.status:
		return fmt.Errorf("answer %s instead of %s", status, k.status)
	}
	return nil
}

// status makes a call, reads the body into c.body and returns the answer's status.
func (c *conn) status(req []byte) (string, error) {
	if _, err := c.conn.Write(req); err != nil {
		return "", err
	}
	status, length := "", 0
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			break
		}
		if status == "" {
			if len(text) < 12 {
				return "", bufio.ErrBufferFull
			}
			status = text[9:12]
			continue
		}
		name, value, _ := strings.Cut(text, ": ")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(value); err != nil {
				return "", errors.New("an answer without its length")
			}
		case strings.EqualFold(name, "Connection") && value == "close":
			c.ended = true
		}
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	_, err := io.ReadFull(c.br, c.body)
	return status, err
}
