package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/token"
)

// smallDisk mounts a file system of size bytes in memory and returns its folder.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file that leaves free bytes on the disk, and returns its path.
func fill(t *testing.T, dir string, free int64) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Truncate(max(0, n-free)); err != nil {
		t.Fatal(err)
	}
	return path
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestAuditDiskFills makes calls while the disk of the audit log fills up, with and
// without space that the log reserved. Every successful call must have its record, and
// once the server is not ready it must stay so until there is space.
func TestAuditDiskFills(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		size  int
		left  int64
	}{
		{50 * time.Millisecond, 1 << 20, 10000}, // too small for a reserve
		{50 * time.Millisecond, 3 << 20, 0},     // a reserve of 2 MiB
		{0, 1 << 20, 9000},
	} {
		t.Run(fmt.Sprintf("%v/%d/%d", c.delay, c.size, c.left), func(t *testing.T) {
			dir := smallDisk(t, c.size)
			path := filepath.Join(dir, "audit.jsonl")
			log, err := audit.Open(path, audit.Options{Delay: c.delay})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { log.Close() })
			r := newRig(t, func(f *Config) { f.Audit = log })
			tok := r.token("pseudonymise", nil)
			filler := fill(t, dir, c.left)
			down := false
			answered := map[string]bool{}
			for i, refused := 0, 0; refused < 150; i++ {
				if i > 20000 {
					t.Fatal("20000 records were written to a full disk")
				}
				// Records differ in length, since a short one may fit where a long one did not.
				id := fmt.Sprintf("call-%d-%s", i, strings.Repeat("x", i%7*9))
				a := r.post(forwardPath, tok, csvType, "a", "X-Request-Id", id)
				switch {
				case a.status == 200:
					answered[id] = true
				default:
					a.problem(t, 503, "UNAVAILABLE")
					refused++
				}
				if refused > 0 && i%10 == 0 {
					r.srv.probe(context.Background())
				}
				ready := r.send("GET", "/readyz", nil).status == 200
				if a.status != 200 && ready || down && (ready || a.status == 200) {
					t.Fatalf("call %d: status %d and ready %v on a full disk, after %d refusals", i, a.status, ready, refused)
				}
				down = down || a.status != 200
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			r.srv.probe(context.Background())
			if a := r.send("GET", "/readyz", nil); a.status != 200 {
				t.Errorf("not ready with space on the disk: %s", a.body)
			}
			r.post(forwardPath, tok, csvType, "a", "X-Request-Id", "after").strings(t)
			answered["after"] = true
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`"request":"([a-z0-9-]+)"`).FindAllSubmatch(b, -1) {
				delete(answered, string(m[1]))
			}
			for id := range answered {
				t.Errorf("the successful call %s has no record", id)
			}
			report, err := audit.VerifyFiles(path)
			if refused := int64(strings.Count(string(b), `"UNAVAILABLE"`)); err != nil || report.Lost+refused < 150 {
				t.Errorf("%d refusals are recorded and %d counted as lost, want 150 together; %v", refused, report.Lost, err)
			}
		})
	}
}

// TestAuditDownSpendsNothing checks that calls that cannot be recorded do not spend the
// budget of their token.
func TestAuditDownSpendsNothing(t *testing.T) {
	t.Parallel()
	disk := &fillableDisk{}
	r := newRig(t, func(c *Config) { c.Audit = disk })
	tok := r.token("pseudonymise", func(q *token.Request) { q.Limits.Max = 2 })
	disk.full.Store(true)
	for range 10 {
		r.post(forwardPath, tok, csvType, "a").problem(t, 503, "UNAVAILABLE")
	}
	disk.full.Store(false)
	r.srv.probe(context.Background())
	r.post(forwardPath, tok, csvType, "a").strings(t)
	r.post(forwardPath, tok, csvType, "a").problem(t, 429, "QUOTA_EXCEEDED")
}
