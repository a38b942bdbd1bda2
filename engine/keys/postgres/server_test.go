package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

var errNoServer = errors.New("no initdb and postgres found in PATH or /usr/lib/postgresql")

// binaries finds the folder with the programs of a server, the newest if there
// are several. Debian keeps them out of PATH.
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

// startServer starts a private server that listens on a socket in a new folder
// only. It ends with stop, and by itself when this process is gone.
func startServer() (address, data string, stop func(), err error) {
	bin, err := binaries()
	if err != nil {
		return "", "", nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "velonym-pg-") // short: a socket's path has a limit
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
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "velonym", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
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
	// The shell ends the server, and removes what it had, when its standard
	// input ends, which is ours.
	srv := exec.Command("/bin/sh", "-c", `"$0" -D "$1" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=90 </dev/null & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid; rm -rf "$2"`,
		filepath.Join(bin, "postgres"), data, dir)
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
	u := url.URL{Scheme: "postgres", User: url.User("velonym"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
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
