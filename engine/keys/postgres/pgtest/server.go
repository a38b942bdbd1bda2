// Package pgtest provides a PostgreSQL server for tests: the one that
// VELONYM_TEST_POSTGRES names, or a private one on a socket in a temporary folder.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// shared is the server of all tests of a process. The first test starts it.
var shared struct {
	once sync.Once
	url  string // address of a database from which others can be created
	data string // data folder; "" for a server that VELONYM_TEST_POSTGRES names
	stop func()
	err  error
}

// Server returns the address of the server. If there is none it skips the test, or fails
// it if VELONYM_TEST_REQUIRE names postgres. Call [Stop] at the end of the process.
func Server(t testing.TB) (address string) {
	t.Helper()
	shared.once.Do(func() {
		if shared.url = os.Getenv("VELONYM_TEST_POSTGRES"); shared.url == "" {
			shared.url, shared.data, shared.stop, shared.err = startServer(0, "")
		}
	})
	if errors.Is(shared.err, errNoServer) && !strings.Contains(os.Getenv("VELONYM_TEST_REQUIRE"), "postgres") {
		t.Skipf("NOT TESTED: %v; install PostgreSQL or set VELONYM_TEST_POSTGRES", shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.url
}

// Data returns the data folder of a private server, "" for another one.
func Data() string { return shared.data }

// Stop stops the private server if it was started.
func Stop() {
	if shared.stop != nil {
		shared.stop()
	}
}

var databases atomic.Int64

// Database creates a database for one test and returns its address. options are appended
// to CREATE DATABASE.
func Database(t testing.TB, options string) (address string) {
	t.Helper()
	base := Server(t)
	c, err := pgx.Connect(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	name := fmt.Sprintf("velonym_test_%d_%d", os.Getpid(), databases.Add(1))
	if _, err := c.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0 "+options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c, err := pgx.Connect(context.Background(), base)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close(context.Background())
		if _, err := c.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

var errNoServer = errors.New("no initdb and postgres found in PATH or /usr/lib/postgresql")

// binaries finds the folder with the server's programs, that in PATH or else the newest
// of Debian's, which are not in PATH.
func binaries() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.Sort(dirs)
	slices.Reverse(dirs)
	if p, err := exec.LookPath("initdb"); err == nil {
		dirs = append([]string{filepath.Dir(p)}, dirs...)
	}
	for _, d := range dirs {
		_, a := os.Stat(filepath.Join(d, "initdb"))
		_, b := os.Stat(filepath.Join(d, "postgres"))
		if a == nil && b == nil {
			return d, nil
		}
	}
	return "", errNoServer
}

// OnLoopback starts a server of its own for one test, which accepts the user velonym with
// a password on 127.0.0.1. It returns the address of its socket, where no password is
// needed, its data folder, and its port.
func OnLoopback(t testing.TB, password string) (address, data string, port int) {
	t.Helper()
	for try := 0; ; try++ {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		l.Close()
		address, data, stop, err := startServer(port, password)
		switch {
		case errors.Is(err, errNoServer) && !strings.Contains(os.Getenv("VELONYM_TEST_REQUIRE"), "postgres"):
			t.Skipf("NOT TESTED: %v", err)
		case err != nil && try < 5:
			continue // another process has taken the port
		case err != nil:
			t.Fatal(err)
		}
		t.Cleanup(stop)
		return address, data, port
	}
}

// Program returns the path of a program of PostgreSQL, such as pg_dump, of the server's
// version if it is installed with it. It skips the test if there is none.
func Program(t testing.TB, name string) string {
	t.Helper()
	if dir, err := binaries(); err == nil {
		initdb, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb"))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{dir, filepath.Dir(initdb)} {
			if _, err := os.Stat(filepath.Join(d, name)); err == nil {
				return filepath.Join(d, name)
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT TESTED: there is no %s", name)
	}
	return path
}

// startServer starts a private server that listens on a socket in a new folder and, with a
// port, on 127.0.0.1, where users need a password. stop stops it; it stops by itself when
// this process ends.
func startServer(port int, password string) (address, data string, stop func(), err error) {
	bin, err := binaries()
	if err != nil {
		return "", "", nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "velonym-pg-") // the length of a socket's path is limited
	if err != nil {
		return "", "", nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	data = filepath.Join(dir, "data")
	as, err := otherUser(dir)
	if err != nil {
		return "", "", nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "velonym", "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	listen := "listen_addresses="
	if port != 0 {
		listen = "listen_addresses=127.0.0.1"
		file := filepath.Join(dir, "password")
		if err := os.WriteFile(file, []byte(password), 0o644); err != nil {
			return "", "", nil, err
		}
		initdb.Args = append(initdb.Args, "--pwfile="+file)
	} else {
		port = 5432 // a part of the socket's name
	}
	initdb.SysProcAttr = as
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", "", nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", "", nil, err
	}
	defer log.Close()
	// The shell stops the server and removes its folder when its standard input, a
	// pipe from this process, ends.
	srv := exec.Command("/bin/sh", "-c", `"$0" -D "$1" -k "$2" -c "$3" -p "$4" -c fsync=off -c max_connections=90 </dev/null & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid; rm -rf "$2"`,
		filepath.Join(bin, "postgres"), data, dir, listen, strconv.Itoa(port))
	srv.SysProcAttr = as
	srv.Dir = dir
	srv.Stdout, srv.Stderr = log, log
	hold, err := srv.StdinPipe()
	if err != nil {
		return "", "", nil, err
	}
	if err := srv.Start(); err != nil {
		return "", "", nil, err
	}
	stop = func() {
		hold.Close()
		srv.Wait()
		remove()
	}
	u := url.URL{Scheme: "postgres", User: url.User("velonym"), Path: "/postgres", RawQuery: url.Values{"host": {dir}, "port": {strconv.Itoa(port)}}.Encode()}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, u.String())
		if err == nil {
			c.Close(ctx)
			return u.String(), data, stop, nil
		}
		if ctx.Err() != nil {
			said, _ := os.ReadFile(log.Name())
			stop()
			return "", "", nil, fmt.Errorf("the server does not answer: %w: %s", err, said)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
