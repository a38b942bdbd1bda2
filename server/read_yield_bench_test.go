//go:build unix

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// yieldServerEnv makes TestReadYieldServer serve BenchmarkReadYield: "on" or "off".
const yieldServerEnv = "VELONYM_TEST_READ_YIELD"

// TestReadYieldServer is the server process of BenchmarkReadYield. It writes its address
// and a token, and then its CPU time for every line that it reads.
func TestReadYieldServer(t *testing.T) {
	mode := os.Getenv(yieldServerEnv)
	if mode == "" {
		t.Skip("not started by BenchmarkReadYield")
	}
	r := newRig(t, func(c *Config) { c.Log = nil })
	r.srv.readYield.off = mode == "off"
	fmt.Printf("\n@ %s %s\n", r.addr, r.token("pseudonymise", nil))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("@ %d\n", u.Utime.Nano()+u.Stime.Nano())
	}
}

// yieldServer is a server process.
type yieldServer struct {
	in    io.WriteCloser
	out   *bufio.Scanner
	addr  string
	token string
}

func startYieldServer(b *testing.B, mode string) *yieldServer {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestReadYieldServer$")
	cmd.Env = append(os.Environ(), yieldServerEnv+"="+mode, "GOMAXPROCS=1")
	s := &yieldServer{}
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		s.in.Close()
		_ = cmd.Wait()
	})
	if _, err := fmt.Sscan(s.line(b), &s.addr, &s.token); err != nil {
		b.Fatal(err)
	}
	return s
}

// line returns the next line that the server wrote for this process.
func (s *yieldServer) line(b *testing.B) string {
	b.Helper()
	for s.out.Scan() {
		if text, ok := strings.CutPrefix(s.out.Text(), "@ "); ok {
			return text
		}
	}
	b.Fatal("the server process has ended")
	return ""
}

// cpu returns the CPU time of the server process.
func (s *yieldServer) cpu(b *testing.B) (used time.Duration) {
	b.Helper()
	if _, err := io.WriteString(s.in, "cpu\n"); err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(s.line(b), (*int64)(&used)); err != nil {
		b.Fatal(err)
	}
	return used
}

// load makes calls on the connections for a while, each as soon as the one before is
// answered, and returns the number of calls per second of the server's CPU time.
func (s *yieldServer) load(b *testing.B, conns []net.Conn, request []byte, answer int, d time.Duration) float64 {
	b.Helper()
	before, calls := s.cpu(b), make(chan int)
	end := time.Now().Add(d)
	for _, c := range conns {
		go func() {
			n := 0
			defer func() { calls <- n }()
			buf := make([]byte, answer)
			for time.Now().Before(end) {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Error(err)
					return
				}
				n++
			}
		}()
	}
	sum := 0
	for range conns {
		sum += <-calls
	}
	return float64(sum) / (s.cpu(b) - before).Seconds()
}

// BenchmarkReadYield measures what the yield before a read saves: calls per second of the
// server's CPU time with and without it. The servers are processes of one core each, which
// are loaded in turn, on and off within a few tenths of a second; "on/off" is the median of
// the ratios of the pairs. Run it with -benchtime=100x for a hundred pairs.
func BenchmarkReadYield(b *testing.B) {
	for _, values := range []int{1, 100} {
		b.Run(fmt.Sprintf("values=%d", values), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the client has a core of its own
			var list []string
			for i := range values {
				list = append(list, fmt.Sprintf("%013d", 1_893_120_105_732+i))
			}
			body := jsonOf(list...)
			servers := map[string]*yieldServer{"on": startYieldServer(b, "on"), "off": startYieldServer(b, "off")}
			conns := map[string][]net.Conn{}
			requests := map[string][]byte{}
			length := 0 // of an answer, all of which are alike
			for mode, s := range servers {
				requests[mode] = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: r\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", forwardPath, s.token, len(body), body)
				for range 16 {
					c, err := net.Dial("tcp", s.addr)
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { c.Close() })
					conns[mode] = append(conns[mode], c)
					if _, err := c.Write(requests[mode]); err != nil {
						b.Fatal(err)
					}
					buf := make([]byte, 64<<10)
					n, err := c.Read(buf)
					if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") || !strings.HasSuffix(string(buf[:n]), "]}") || length > 0 && n != length {
						b.Fatalf("%v: %.100q", err, buf[:n])
					}
					length = n
				}
			}
			var ratios []float64
			for i := 0; b.Loop(); i++ {
				order := []string{"on", "off"}
				if i%2 == 1 {
					slices.Reverse(order)
				}
				rate := map[string]float64{}
				for _, mode := range order {
					rate[mode] = servers[mode].load(b, conns[mode], requests[mode], length, 200*time.Millisecond)
				}
				ratios = append(ratios, rate["on"]/rate["off"])
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "on/off")
			b.ReportMetric(ratios[len(ratios)/4], "on/off-quartile")
		})
	}
}
