package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/velonym/velonym/engine/token"
)

// client returns a client for the server at a socket in the script's folder. Every call
// uses a new connection.
func client(ts *testscript.TestScript, sock string) *http.Client {
	tr := transport(ts, sock)
	tr.DisableKeepAlives = true
	return &http.Client{Timeout: time.Minute, Transport: tr}
}

func transport(ts *testscript.TestScript, sock string) *http.Transport {
	path := ts.MkAbs(sock)
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}
}

// call makes one call and returns "STATUS BODY". The token file "-" means no token.
func call(ts *testscript.TestScript, args []string) (string, error) {
	sock, path, tokenFile, contentType, body := args[0], args[1], args[2], args[3], args[4]
	req, err := http.NewRequest(http.MethodPost, "http://server"+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", contentType)
	if tokenFile != "-" {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(ts.ReadFile(tokenFile)))
	}
	resp, err := client(ts, sock).Do(req)
	if err != nil {
		return "", err
	}
	answer, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(answer))), nil
}

// cmdPost makes one call: post SOCK PATH TOKENFILE TYPE BODY. It sets stdout to status,
// space and body.
func cmdPost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: post SOCK PATH TOKENFILE TYPE BODY")
	}
	answer, err := call(ts, args)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), answer)
}

// cmdWithin repeats a call until its answer matches a pattern, for a minute at most:
// within SOCK PATH TOKENFILE TYPE BODY PATTERN. It waits for effects in another process.
func cmdWithin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 6 {
		ts.Fatalf("usage: within SOCK PATH TOKENFILE TYPE BODY PATTERN")
	}
	want := regexp.MustCompile(args[5])
	answer := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var err error
		answer, err = call(ts, args[:5])
		ts.Check(err)
		if want.MatchString(answer) {
			return
		}
	}
	ts.Fatalf("after 10 s the answer is %s, want one that matches %s", answer, args[5])
}

// cmdWithinFile waits until a file matches a pattern: within-file FILE PATTERN.
func cmdWithinFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: within-file FILE PATTERN")
	}
	want := regexp.MustCompile(args[1])
	var b []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		b, _ = os.ReadFile(ts.MkAbs(args[0]))
		if want.Match(b) {
			return
		}
	}
	ts.Fatalf("after 10 s %s does not match %s: %s", args[0], args[1], b)
}

// cmdReady waits until a server is ready: ready SOCK.
func cmdReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready SOCK")
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		resp, err := client(ts, args[0]).Get("http://server/readyz")
		if err != nil {
			continue
		}
		ts.Check(resp.Body.Close())
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	ts.Fatalf("the server is not ready after 30 s")
}

// cmdTermUnderLoad sends SIGTERM to the background process, a server, while clients call
// it over keep-alive connections: term-under-load SOCK TOKENFILE. The clients go on until
// nobody listens. Every accepted request must get a complete answer; their number is
// $ANSWERED in the following lines.
func cmdTermUnderLoad(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || len(ts.BackgroundCmds()) != 1 {
		ts.Fatalf("usage: term-under-load SOCK TOKENFILE, with one process in the background")
	}
	const clients, before = 8, 200
	auth := "Bearer " + strings.TrimSpace(ts.ReadFile(args[1]))
	tr := transport(ts, args[0])
	tr.MaxIdleConnsPerHost = clients
	defer tr.CloseIdleConnections()
	c := &http.Client{Timeout: time.Minute, Transport: tr}
	var answered atomic.Int64
	errs := make(chan error)
	for i := range clients {
		go func() {
			values := 1 + 100*i
			body := strings.Repeat("1999010112345\n", values)
			for {
				req, err := http.NewRequest(http.MethodPost, "http://server/api/request-psn", strings.NewReader(body))
				if err != nil {
					errs <- err
					return
				}
				req.Header.Set("Content-Type", "text/csv")
				req.Header.Set("Authorization", auth)
				resp, err := c.Do(req)
				var op *net.OpError
				if errors.As(err, &op) && op.Op == "dial" { // nobody listens: the request was not accepted
					errs <- nil
					return
				}
				if err != nil {
					errs <- fmt.Errorf("lost: %w", err)
					return
				}
				var v struct{ Data []string }
				err = json.NewDecoder(resp.Body).Decode(&v)
				if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || len(v.Data) != values {
					errs <- fmt.Errorf("%d of %d values, status %d, %v", len(v.Data), values, resp.StatusCode, err)
					return
				}
				if answered.Add(1) == before {
					if err := ts.BackgroundCmds()[0].Process.Signal(syscall.SIGTERM); err != nil {
						errs <- err
						return
					}
				}
			}
		}()
	}
	var all error
	for range clients {
		all = errors.Join(all, <-errs)
	}
	ts.Check(all)
	ts.Setenv("ANSWERED", strconv.FormatInt(answered.Load(), 10))
}

// cmdJTI runs a token verb with the jti of a token: jti TOKENFILE VERB.
func cmdJTI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: jti TOKENFILE VERB")
	}
	d, err := token.Decode([]byte(strings.TrimSpace(ts.ReadFile(args[0]))))
	ts.Check(err)
	ts.Check(ts.Exec("velonym", "token", args[1], d.Read.ID))
}

// cmdSameValue fails unless the JSON answer in the first file has as its only value the
// content of the second: same-value ANSWER FILE.
func cmdSameValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: same-value ANSWER FILE")
	}
	want := `200 {"data":["` + strings.TrimSpace(ts.ReadFile(args[1])) + `"]}`
	if got := strings.TrimSpace(ts.ReadFile(args[0])); got != want {
		ts.Fatalf("the answer %s is not the value of %s", got, args[1])
	}
}

// cmdTokenEnv sets an environment variable to a token: token-env TOKENFILE NAME.
func cmdTokenEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: token-env TOKENFILE NAME")
	}
	ts.Setenv(args[1], strings.TrimSpace(ts.ReadFile(args[0])))
}
