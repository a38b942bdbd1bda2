package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/engine/keys/storetest"
	"github.com/velonym/velonym/engine/token"
)

// benchKeystore is a keystore for benchmarks: its address, its folder and a handle.
type benchKeystore struct {
	keystore, dir string
	ks            *keys.Keystore
}

// env returns the environment of a command that uses the keystore with --dir dir.
func (p benchKeystore) env(dir string) []string {
	return append(os.Environ(), "VELONYM_KEYSTORE="+p.keystore, "VELONYM_MASTER_KEY="+filepath.Join(p.dir, "master.key"), "VELONYM_DIR="+dir)
}

// eachStore runs a benchmark on a new keystore in SQLite and on one in PostgreSQL.
func eachStore(b *testing.B, run func(b *testing.B, program string, p benchKeystore)) {
	path, err := program()
	if err != nil {
		b.Fatal(err)
	}
	for _, store := range []string{"sqlite", "postgres"} {
		b.Run(store, func(b *testing.B) {
			p := benchKeystore{dir: b.TempDir()}
			p.keystore = filepath.Join(p.dir, "keystore.db")
			if store == "postgres" {
				p.keystore = pgtest.Database(b, "ENCODING 'UTF8'")
			}
			cmd := exec.Command(path, "init")
			cmd.Env = append(os.Environ(), "VELONYM_KEYSTORE="+p.keystore, "VELONYM_DIR="+p.dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			s, err := openStore(b.Context(), p.keystore)
			if err != nil {
				b.Fatal(err)
			}
			mk, err := keys.LoadMasterKey(b.Context(), filepath.Join(p.dir, "master.key"))
			if err != nil {
				b.Fatal(err)
			}
			if p.ks, err = keys.New(b.Context(), s, mk); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { p.ks.Close() })
			run(b, path, p)
		})
	}
}

// BenchmarkKeyCommand runs key verbs as processes on a keystore with
// VELONYM_BENCH_PROJECTS projects.
func BenchmarkKeyCommand(b *testing.B) {
	eachStore(b, func(b *testing.B, program string, p benchKeystore) {
		n := storetest.BenchProjects(b)
		storetest.FillBench(b, p.ks, n)
		if err := p.ks.Close(); err != nil { // a command alone is what users run
			b.Fatal(err)
		}
		created, severed, rotated := n, 0, 0
		for _, verb := range []struct {
			name string
			args func() []string
		}{
			{"create", func() []string {
				created++
				return []string{"project", "create", storetest.BenchProject(created).Name, "--retention", "5y"}
			}},
			{"rotate", func() []string {
				rotated++
				return []string{"project", "rotate", storetest.BenchProject(n - rotated%n).Name}
			}},
			{"sever", func() []string {
				severed++
				return []string{"project", "sever", storetest.BenchProject(severed - 1).Name, "--yes"}
			}},
		} {
			b.Run(verb.name, func(b *testing.B) {
				var took storetest.Latencies
				for b.Loop() {
					cmd := exec.Command(program, verb.args()...)
					cmd.Env = p.env(p.dir)
					start := time.Now()
					if out, err := cmd.CombinedOutput(); err != nil {
						b.Fatalf("%v: %s", err, out)
					}
					took = append(took, time.Since(start))
				}
				took.Report(b)
			})
		}
	})
}

// BenchmarkVisibility measures how long after an act two servers still answer: half of
// the acts revoke a token, half sever a project. Every token is in use before. The longest
// time of 400 acts: -benchtime 400x.
func BenchmarkVisibility(b *testing.B) {
	eachStore(b, func(b *testing.B, program string, p benchKeystore) {
		ctx := b.Context()
		issuer, err := builtInIssuer(ctx, p.ks)
		if err != nil {
			b.Fatal(err)
		}
		defer issuer.Close()
		var servers []*http.Client
		for range 2 {
			servers = append(servers, startServer(b, program, p))
		}
		var took storetest.Latencies
		for i := 0; b.Loop(); i++ {
			name := fmt.Sprintf("p%d", i)
			if err := p.ks.CreateProject(ctx, keys.Project{Name: name, Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(24 * time.Hour)}, nil); err != nil {
				b.Fatal(err)
			}
			raw, claims, err := issuer.Create(ctx, p.ks, token.Request{Project: name})
			if err != nil {
				b.Fatal(err)
			}
			for _, c := range servers {
				if status, err := request(ctx, c, raw); err != nil || status != http.StatusOK {
					b.Fatalf("before the act: %d, %v", status, err)
				}
			}
			if i%2 == 0 {
				err = p.ks.Revoke(ctx, claims.ID, claims.Expires)
			} else {
				_, err = p.ks.Sever(ctx, name)
			}
			if err != nil && !errors.Is(err, keys.ErrTraces) {
				b.Fatal(err)
			}
			done := time.Now()
			var wg sync.WaitGroup
			for _, c := range servers {
				wg.Go(func() {
					for status := http.StatusOK; status == http.StatusOK; {
						var err error
						if status, err = request(ctx, c, raw); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			took = append(took, time.Since(done))
		}
		took.Report(b)
	})
}

// startServer starts a server with an audit log of its own and returns a client of it.
func startServer(b *testing.B, program string, p benchKeystore) *http.Client {
	dir := b.TempDir()
	digest := sha256.Sum256([]byte(dir))
	sock := filepath.Join(os.TempDir(), fmt.Sprintf("velonym-%x.sock", digest[:6])) // the length of a socket's path is limited
	cmd := exec.Command(program, "serve", "--listen", "unix:"+sock)
	cmd.Env = p.env(dir)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			b.Errorf("%v: %s", err, said.String())
		}
		os.Remove(sock)
	})
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", sock)
	}}}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := c.Get("http://server/readyz")
		if err == nil {
			err = resp.Body.Close()
		}
		if err == nil && resp.StatusCode == http.StatusOK {
			return c
		}
		if time.Now().After(end) {
			b.Fatalf("the server is not ready: %v", cmp.Or(err, errors.New("readyz refuses")))
		}
	}
}

// request makes one call and returns its status.
func request(ctx context.Context, c *http.Client, raw string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server/api/request-psn", strings.NewReader("a,b"))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "text/csv")
	req.Header.Set("Authorization", "Bearer "+raw)
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}
