package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// TestSeveredServer starts a server, built as for users, that answers calls of a project
// while another process severs it. Afterwards the server's memory must contain neither the
// secret, nor its wrapped form, nor a key derived from it. As a control, the search must
// find keys while the project is in use.
func TestSeveredServer(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector does not apply to a separately built program")
	}
	dir := t.TempDir()
	bin := builtProgram(t)
	home := filepath.Join(dir, "keys")
	velonym := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(bin, args...)
		cmd.Env = append(os.Environ(), "VELONYM_DIR="+home)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	secret := make([]byte, 32)
	secmem.Random(secret)
	imported := filepath.Join(dir, "secret")
	if err := os.WriteFile(imported, []byte(hex.EncodeToString(secret)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	velonym("init")
	velonym("project", "create", "scan", "--retention", "5y", "--import-secret", imported)
	auth := "Bearer " + velonym("token", "create", "--project", "scan", "--op", "pseudonymise")
	needles := severedNeedles(t, secret, filepath.Join(home, "keystore.db"))

	sock := filepath.Join(dir, "sock")
	serve := exec.Command(bin, "serve", "--listen", "unix:"+sock)
	serve.Env = append(os.Environ(), "VELONYM_DIR="+home, "VELONYM_ALLOW_DUMPS=1") // its parent may read its memory
	var log bytes.Buffer
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = serve.Process.Signal(syscall.SIGTERM)
		if err := serve.Wait(); err != nil {
			t.Errorf("%v\n%s", err, log.String())
		}
	}()
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", sock)
		}}}
	defer c.CloseIdleConnections()
	call := func(body string) (int, error) {
		req, err := http.NewRequest(http.MethodPost, "http://server/api/request-psn", strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", auth)
		req.Header.Set("Content-Type", "text/csv")
		resp, err := c.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if status, err := call("a"); err == nil && status == http.StatusOK {
			break
		} else if time.Now().After(end) {
			t.Fatal("the server does not answer: ", status, err)
		}
	}
	if found := searchMemory(t, serve.Process.Pid, needles); len(found) == 0 {
		t.Fatal("the search does not work: it finds no key while the project is in use")
	}

	// Each caller continues until it is refused.
	var callers sync.WaitGroup
	for i := range 4 {
		callers.Go(func() {
			for k := 0; ; k++ {
				switch status, err := call(fmt.Sprint(i, "-", k)); {
				case err != nil:
					t.Error(err)
					return
				case status == http.StatusForbidden:
					return
				case status != http.StatusOK:
					t.Errorf("status %d, want 200 or 403", status)
					return
				}
			}
		})
	}
	velonym("project", "sever", "scan", "--yes")
	callers.Wait()
	// A call in flight may end after another one was refused.
	var found []string
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if found = searchMemory(t, serve.Process.Pid, needles); len(found) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(found) > 0 {
		t.Errorf("after the severing, the server's memory contains %v", found)
	}
}

// severedNeedles returns the secret, the keys derived from it, and its wrapped form in the
// store, by name.
func severedNeedles(t *testing.T, secret []byte, store string) map[string][]byte {
	t.Helper()
	prk, err := hkdf.Extract(sha256.New, secret, []byte("velonym/a256-1"))
	if err != nil {
		t.Fatal(err)
	}
	needles := map[string][]byte{"the secret": secret, "the PRK": prk}
	lp := func(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }
	for _, purpose := range []string{"rev", "mac", "doc", "fpe"} {
		if needles["K_"+purpose], err = hkdf.Expand(sha256.New, prk, lp(purpose)+lp("scan")+lp(""), 32); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+store+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var wrapped []byte
	if err := db.QueryRow("SELECT wrapped FROM generation JOIN secret ON id = secret WHERE prj = 'scan'").Scan(&wrapped); err != nil {
		t.Fatal(err)
	}
	needles["the wrapped secret"] = wrapped[:24]
	return needles
}

// searchMemory returns names and addresses of the needles in the memory of a process.
func searchMemory(t *testing.T, pid int, needles map[string][]byte) (found []string) {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	const piece, lap = 1 << 20, 64
	buf := make([]byte, piece+lap)
	read := 0
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) < 2 || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		var from, to int64
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		for at := from; at < to; at += piece {
			n, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at) // what was unmapped meanwhile is gone
			read += n
			for name, needle := range needles {
				if i := bytes.Index(buf[:n], needle); i >= 0 {
					found = append(found, fmt.Sprintf("%s at %#x", name, at+int64(i)))
				}
			}
		}
	}
	if read < 1<<20 {
		t.Fatalf("only %d bytes of memory could be read", read)
	}
	return found
}
