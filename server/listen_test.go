package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestUnixSocket listens on Unix sockets: on a new path, in use, left behind by a crash,
// and on a path that is another file.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v, want 0660", fi.Mode(), err)
	}
	if _, err := Listen("unix:" + path); err == nil {
		t.Error("Listen replaced a socket in use")
	}
	go r.srv.Serve(ln)
	h := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	res, err := h.Get("http://x/healthz")
	if err != nil || res.StatusCode != 200 {
		t.Fatal(err)
	}
	res.Body.Close()
	h.CloseIdleConnections()
	// A socket left behind by a crashed process is replaced; another kind of file is not.
	dead := filepath.Join(t.TempDir(), "dead")
	old, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()
	ln, err = Listen("unix:" + dead)
	if err != nil {
		t.Fatal("a socket left behind: ", err)
	}
	ln.Close()
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Listen("unix:" + file); err == nil {
		t.Error("Listen replaced a file that is no socket")
	}
}

// TestSocketActivation starts this test program again as systemd starts a service with
// sockets.
func TestSocketActivation(t *testing.T) {
	if os.Getenv("VELONYM_TEST_ACTIVATED") != "" {
		os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid())) // what systemd does between fork and exec
		if _, err := Listen("systemd:other"); err == nil {
			t.Fatal("Listen returned a socket for a name that was not passed")
		}
		ln, err := Listen("systemd:web")
		if err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "activated\n")
		c.Close()
		return
	}
	if runtime.GOOS == "windows" {
		return
	}
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSocketActivation$")
	cmd.Env = append(os.Environ(), "VELONYM_TEST_ACTIVATED=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=admin:web")
	for _, ln := range []net.Listener{first, second} {
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", second.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(awaitLimit))
	line, _ := bufio.NewReader(c).ReadString('\n')
	if err := cmd.Wait(); err != nil || line != "activated\n" {
		t.Errorf("%q, %v\n%s", line, err, out.String())
	}
	if _, err := Listen("systemd"); err == nil {
		t.Error("Listen(systemd) returned no error without LISTEN_FDS")
	}
}

// TestNotify sends states to a socket as systemd provides, and to none.
func TestNotify(t *testing.T) {
	if err := Notify("READY=1"); os.Getenv("NOTIFY_SOCKET") == "" && err != nil {
		t.Error("without systemd: ", err)
	}
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Notify("STOPPING=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(awaitLimit))
	n, err := c.Read(b)
	if string(b[:n]) != "STOPPING=1" {
		t.Errorf("systemd received %q, %v, want STOPPING=1", b[:n], err)
	}
}
