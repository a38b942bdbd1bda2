package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// httpGoal holds, for a number of values a call, the floor and the aim against each of
// the compared servers.
type httpGoal struct {
	values               int
	conns                int
	plain, checked, echo [2]float64
}

var httpGoals = []httpGoal{
	{1, 16, [2]float64{}, [2]float64{1.2, 1.4}, [2]float64{0.8, 0.95}},
	{100, 16, [2]float64{2.8, 3.8}, [2]float64{}, [2]float64{0.65, 0.85}},
	{10_000, 4, [2]float64{9, 16}, [2]float64{}, [2]float64{0.3, 0.5}},
	{100_000, 2, [2]float64{9, 16}, [2]float64{}, [2]float64{0.3, 0.5}},
}

// HTTP measures the server against a plain fasthttp service and a fasthttp echo of the
// same requests, in values per second of the server's CPU time. Server and client are
// separate processes, each pinned to one core if the system supports that. HTTP executes
// the running program again for both, so its main must call [Child] first.
func HTTP(ctx context.Context, o Options) (*Section, error) { return HTTPSizes(ctx, o, nil) }

// httpServers are the roles of the compared servers.
var httpServers = []string{"velonym", "plain", "plain-jwt", "echo"}

// httpSize measures one number of values a call. In each round the client loads every
// server for the given period.
func httpSize(ctx context.Context, o Options, g httpGoal, client *child, servers map[string]*child, period time.Duration) ([]Row, error) {
	o.logf("http: %d values a call", g.values)
	for _, n := range httpServers {
		if err := servers[n].check(g.values); err != nil {
			return nil, fmt.Errorf("bench: http: %s, %d values: %w", n, g.values, err)
		}
	}
	rates := map[string][]float64{}
	for r := -1; r < o.rounds(); r++ {
		for _, n := range httpServers {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rate, _, err := load(client, servers[n], job{Values: g.values, Conns: g.conns, Millis: int(period.Milliseconds())})
			if err != nil {
				return nil, fmt.Errorf("bench: http: %s, %d values: %w", n, g.values, err)
			}
			if r >= 0 {
				rates[n] = append(rates[n], rate)
			}
		}
	}
	of := func(n string) Stat { return statOf(fmt.Sprintf("%s, %d a call", n, g.values), rates[n]) }
	v, p, j, e := of("velonym"), of("plain"), of("plain-jwt"), of("echo")
	const unit, scale = "M values/CPU-s", 1e6
	return []Row{Against(v, p, unit, scale, g.plain[0], g.plain[1]), Against(v, e, unit, scale, g.echo[0], g.echo[1]),
		Against(v, j, unit, scale, g.checked[0], g.checked[1]), Plain(p, unit, scale), Plain(j, unit, scale), Plain(e, unit, scale)}, nil
}

// HTTPSizes is [HTTP] restricted to the given numbers of values a call out of 1, 100,
// 10,000 and 100,000. Empty sizes mean all of them.
func HTTPSizes(ctx context.Context, o Options, sizes []int) (*Section, error) {
	goals := httpGoals[:0:0]
	for _, g := range httpGoals {
		if len(sizes) == 0 || slices.Contains(sizes, g.values) {
			goals = append(goals, g)
		}
	}
	if len(goals) == 0 {
		return nil, errors.New("bench: http: sizes are 1, 100, 10000 and 100000 values a call")
	}
	s := &Section{Name: "http", Title: "Server on one core, client on another", Command: "velonym bench http"}
	servers := map[string]*child{}
	var client *child
	stop := func() {
		for _, c := range servers {
			c.stop()
		}
		if client != nil {
			client.stop()
		}
	}
	defer stop()
	for _, n := range httpServers {
		c, err := startChild(ctx, n, 0)
		if err != nil {
			return nil, err
		}
		servers[n] = c
	}
	var err error
	if client, err = startChild(ctx, "client", 1); err != nil {
		return nil, err
	}
	period := 300 * time.Millisecond
	if o.Quick {
		period = 60 * time.Millisecond
	}
	for _, g := range goals {
		rows, err := httpSize(ctx, o, g, client, servers, period)
		if err != nil {
			return nil, err
		}
		s.Rows = append(s.Rows, rows...)
	}
	if len(sizes) == 0 {
		rows, err := httpLatency(ctx, o, client, servers, period)
		if err != nil {
			return nil, err
		}
		s.Rows = append(s.Rows, rows...)
		if rows, err = httpYield(ctx, o, client, servers["velonym"], period); err != nil {
			return nil, err
		}
		s.Rows = append(s.Rows, rows...)
		if rows, err = httpColumns(ctx, o, client, servers["velonym"], period); err != nil {
			return nil, err
		}
		s.Rows = append(s.Rows, rows...)
		if rows, err = httpArrow(ctx, o, client, servers["velonym"], period); err != nil {
			return nil, err
		}
		s.Rows = append(s.Rows, rows...)
	}
	s.Notes = []string{
		"Rates are per second of the server's CPU time, user and system, as the kernel counts it; the client's is not counted, and it looks for answers without sleeping, so that the server does not pay for waking it. JSON, 13-digit values, keep-alive connections. " +
			"velonym runs as shipped: token from the cache, limits and timeouts, an audit record a request, metrics. " +
			"plain is the same contract written as one would: fasthttp, encoding/json, one AES call a value, hex; it compares the token with the one it knows and keeps no record. plain-jwt is the same with an HS256 token verified by golang-jwt at each call. With one value a call the check of the token is most of the work that a service adds, so there the floor holds against plain-jwt, and above against plain. echo returns the request's body. One column of a CSV is text/csv of 8 columns with ?column=id, and velonym run of the same bytes is bulk.Run from file to file in memory, in a process of its own on one core. Arrow is a stream of one batch with one column of strings, the same values as in JSON.",
	}
	if !canPin {
		s.Notes = append(s.Notes, "This system does not pin processes to cores: rates include moving between them.")
	}
	return s, nil
}

// httpLatency measures latencies at half of the highest rate of one core. It includes the
// echo, whose latency is the machine's share.
func httpLatency(ctx context.Context, o Options, client *child, servers map[string]*child, period time.Duration) (rows []Row, err error) {
	const values, conns = 100, 16
	names := []string{"velonym", "echo"}
	half := map[string]float64{}
	for _, n := range names {
		rate, _, err := load(client, servers[n], job{Values: values, Conns: conns, Millis: int(period.Milliseconds())})
		if err != nil {
			return nil, err
		}
		half[n] = rate / values / 2
	}
	p50, p99 := map[string][]float64{}, map[string][]float64{}
	for range o.rounds() {
		for _, n := range names {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			_, res, err := load(client, servers[n], job{Values: values, Conns: conns, Millis: int(4 * period.Milliseconds()), Rate: half[n]})
			if err != nil {
				return nil, err
			}
			p50[n], p99[n] = append(p50[n], res.P50), append(p99[n], res.P99)
		}
	}
	for _, n := range names {
		a, b := statOf(n+", p99 at half load, 100 a call", p99[n]), statOf(n+", p50 at half load, 100 a call", p50[n])
		top := Against(a, b, "µs", 1, 0, 0)
		top.Note = fmt.Sprintf("at most 3 is wanted; %.0f calls/s, from when a call was due", half[n])
		rows = append(rows, top, Plain(b, "µs", 1))
	}
	return rows, nil
}

// statOf returns the Stat of rates that were not measured by [Interleave].
func statOf(name string, rates []float64) Stat {
	sorted := append([]float64(nil), rates...)
	slices.Sort(sorted)
	return Stat{Name: name, Rates: rates, Median: median(sorted), Min: sorted[0], Max: sorted[len(sorted)-1]}
}

// job tells the client process what to do.
type job struct {
	Addr, Path, Token string
	Values, Conns     int
	CSV               int64 // bytes of a CSV that is sent with columns; 0: JSON
	Arrow             bool  // the values are sent in Arrow
	Coded             bool  // a tenth as many different ones, each ten times, in a dictionary
	Millis            int
	Rate              float64 // calls a second, open loop; 0: the next call follows the answer
	Mixed             bool    // make the calls of a soak
	Reverse           string  // token for the reversing calls of a soak
}

// result is what the client process reports of a job.
type result struct {
	Calls    int64
	P50, P99 float64          // microseconds
	Refused  map[string]int64 `json:",omitempty"` // number of 503 answers in a soak, by problem code
	Error    string
}

// load runs a job and returns the values per second of the server's CPU time.
func load(client, server *child, j job) (float64, result, error) {
	j.Addr, j.Path, j.Token = server.hello.Addr, cmp.Or(j.Path, forwardPath), server.hello.Forward
	var before, after usage
	var res result
	if err := server.ask("cpu", &before); err != nil {
		return 0, res, err
	}
	line, err := json.Marshal(j)
	if err != nil {
		return 0, res, err
	}
	if err := client.ask(string(line), &res); err != nil {
		return 0, res, err
	}
	if res.Error != "" {
		return 0, res, errors.New(res.Error)
	}
	if err := server.ask("cpu", &after); err != nil {
		return 0, res, err
	}
	used := after.CPU - before.CPU
	if res.Calls == 0 || used <= 0 {
		return 0, res, errors.New("no calls were answered")
	}
	return float64(res.Calls) * float64(j.Values) / (float64(used) / 1e9), res, nil
}

// hello is the first line that a child process writes.
type hello struct {
	Role, Addr       string
	Forward, Reverse string // tokens
	Error            string
}

// usage is the CPU time of a process in nanoseconds and its memory in bytes.
type usage struct{ CPU, Resident int64 }

// child is a child process of this benchmark, which answers each line on its standard
// input with a line of JSON.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	hello hello
}

// childEnv is the environment variable that holds the role of a child process.
const childEnv = "VELONYM_BENCH_CHILD"

// startChild executes this program again in the given role, pinned to a core.
func startChild(ctx context.Context, role string, core int) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: http: %w", err)
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+role, "GOMAXPROCS=1")
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("bench: http: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: http: %w", err)
	}
	c.out = bufio.NewReaderSize(out, 1<<20)
	if err := startOn(c.cmd, core%runtime.NumCPU()); err != nil {
		return nil, fmt.Errorf("bench: http: %w", err)
	}
	if err := c.read(&c.hello); err != nil || c.hello.Role != role {
		c.stop()
		return nil, fmt.Errorf("bench: http: the program does not start as its own %s: its main must call bench.Child first", role)
	}
	if c.hello.Error != "" {
		c.stop()
		return nil, fmt.Errorf("bench: http: %s: %s", role, c.hello.Error)
	}
	return c, nil
}

func (c *child) read(v any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("child process: %w", err)
	}
	return json.Unmarshal(line, v)
}

func (c *child) ask(line string, v any) error {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		return fmt.Errorf("child process: %w", err)
	}
	return c.read(v)
}

// stop ends the child by closing its standard input, and kills it after 10 seconds.
func (c *child) stop() {
	c.in.Close()
	done := make(chan struct{})
	go func() {
		_ = c.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = c.cmd.Process.Kill()
		<-done
	}
}

// check calls the server once and verifies the answer.
func (c *child) check(values int) error {
	body := httpBody(values)
	got, err := callOnce(c.hello.Addr, forwardPath, c.hello.Forward, body)
	if err != nil {
		return err
	}
	if c.hello.Role == "echo" {
		if string(got) != string(body) {
			return errors.New("the echo is another")
		}
		return nil
	}
	var sent, psn, back struct{ Data []string }
	if err := errors.Join(json.Unmarshal(body, &sent), json.Unmarshal(got, &psn)); err != nil {
		return err
	}
	if len(psn.Data) != values {
		return fmt.Errorf("%d values became %d", values, len(psn.Data))
	}
	seen := map[string]bool{}
	for i, p := range psn.Data {
		if len(p) != 32 || seen[p] || strings.Contains(p, sent.Data[i]) {
			return errors.New("an answer holds something that is no pseudonym")
		}
		seen[p] = true
	}
	if c.hello.Reverse == "" {
		return nil
	}
	if got, err = callOnce(c.hello.Addr, forwardPath+"-rev", c.hello.Reverse, got); err != nil {
		return err
	}
	if err := json.Unmarshal(got, &back); err != nil {
		return err
	}
	for i, v := range back.Data {
		if v != sent.Data[i] {
			return errors.New("a pseudonym is not reversed")
		}
	}
	return nil
}

// forwardPath is the path of the pseudonymising endpoint.
const forwardPath = "/api/request-psn"

// httpBody returns the body of a request with different 13-digit values.
func httpBody(values int) []byte {
	b := make([]byte, 0, 16*values+16)
	b = append(b, `{"data":[`...)
	for i := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), httpValue(i)...), '"')
	}
	return append(b, `]}`...)
}

// httpValue returns value i of a request.
func httpValue(i int) string {
	return fmt.Sprintf("%013d", (uint64(i)*2654435761+1_893_120_105_732)%10_000_000_000_000)
}
