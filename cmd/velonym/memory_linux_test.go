package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/server"
)

// TestServeKeepsToItsMemory checks the memory bound that README, help and deploy state.
// It measures the peak resident memory of a server, built as for users, under more large
// bodies than fit, with a value of --max-in-flight-bytes and without GOMEMLIMIT. make soak
// tries four values.
func TestServeKeepsToItsMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector does not apply to a separately built program")
	}
	dir := t.TempDir()
	bin := builtProgram(t)
	env := append(os.Environ(), "VELONYM_DIR="+filepath.Join(dir, "keys"), "GOMEMLIMIT=", "GOGC=")
	velonym := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(bin, args...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	velonym("init")
	velonym("project", "create", "demo", "--retention", "5y")
	auth := "Bearer " + velonym("token", "create", "--project", "demo", "--op", "pseudonymise")
	const conns = 64
	settings := []int64{64 << 20}
	if longForm {
		settings = []int64{32 << 20, 64 << 20, 128 << 20, 256 << 20}
	}
	for i, inFlight := range settings {
		sock := filepath.Join(dir, fmt.Sprint(i, ".sock"))
		serve := exec.Command(bin, "serve", "--listen", "unix:"+sock, "--max-in-flight-bytes", fmt.Sprint(inFlight), "--max-connections", fmt.Sprint(conns))
		serve.Env = env
		var log bytes.Buffer
		serve.Stderr = &log
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		answers := largeBodies(t, sock, auth, int(inFlight), 16)
		peak := peakResident(t, serve.Process.Pid)
		if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := serve.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		bound := server.Config{MaxInFlight: inFlight, MaxConns: conns}.MemoryBound()
		t.Logf("%d MiB in flight, %d connections: peak %d MiB resident, bound %d MiB; answers %v", inFlight>>20, conns, peak>>20, bound>>20, answers)
		if peak > bound {
			t.Errorf("%d MiB in flight: %d MiB resident, more than the documented bound of %d MiB", inFlight>>20, peak>>20, bound>>20)
		}
		if answers[http.StatusOK] < 20 || answers[http.StatusServiceUnavailable] == 0 {
			t.Errorf("%d MiB in flight: answers %v, want at least 20 of status 200 and some 503", inFlight>>20, answers)
		}
	}
}

// largeBodies sends JSON and CSV bodies of several sizes from concurrent clients, more
// than fit into inFlight bytes together. It returns the number of answers by status.
func largeBodies(t *testing.T, sock, auth string, inFlight, clients int) map[int]int {
	t.Helper()
	c := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", sock)
		}}}
	defer c.CloseIdleConnections()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := c.Get("http://server/readyz")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the server did not get ready: ", err)
		}
	}
	line := []byte("1973080520045\n")
	body := bytes.Repeat(line, inFlight/6/len(line))
	bodyJSON := append([]byte(`{"data":["0"`), bytes.Repeat([]byte(`,"19730805200"`), inFlight/6/len(line))...)
	var mu sync.Mutex
	answers := map[int]int{}
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for k := range 3 {
				// Every client has bodies of different sizes.
				size := len(body) / (1 + (i+5*k)%8) / len(line) * len(line)
				send, kind := body[:size], "text/csv"
				if i%3 == 0 {
					send, kind = append(bytes.Clone(bodyJSON[:len(`{"data":["0"`)+size]), "]}"...), "application/json"
				}
				for try := 0; try < 30; try++ {
					req, err := http.NewRequest(http.MethodPost, "http://server/api/request-psn", bytes.NewReader(send))
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Authorization", auth)
					req.Header.Set("Content-Type", kind)
					if k%2 == 1 {
						req.Header.Set("Accept-Encoding", "gzip")
					}
					resp, err := c.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					answers[resp.StatusCode]++
					mu.Unlock()
					if resp.StatusCode == http.StatusOK {
						break
					}
					time.Sleep(200 * time.Millisecond) // earlier than Retry-After says
				}
			}
		})
	}
	all.Wait()
	return answers
}

// peakResident returns the peak resident memory of a process in bytes.
func peakResident(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		t.Fatal("/proc/PID/status has no VmHWM")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
