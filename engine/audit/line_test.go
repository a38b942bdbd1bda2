package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// aloneFile is a file that counts the writers between ReadAt and Sync.
type aloneFile struct {
	file
	inside, met *atomic.Int64
}

func (f aloneFile) ReadAt(b []byte, off int64) (int, error) {
	if f.inside.Add(1) > 1 {
		f.met.Add(1)
	}
	runtime.Gosched()
	return f.file.ReadAt(b, off)
}

func (f aloneFile) Sync() error {
	runtime.Gosched()
	f.inside.Add(-1)
	return f.file.Sync()
}

// TestAppendLine checks that concurrent writers append whole lines one after the other, after
// a line that a crash left torn.
func TestAppendLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(path, []byte("{\"torn\":"), 0o600); err != nil {
		t.Fatal(err)
	}
	var inside, met atomic.Int64
	old := openFile
	openFile = func(path string, flag int) (file, error) {
		f, err := old(path, flag)
		if err != nil {
			return nil, err
		}
		return aloneFile{f, &inside, &met}, nil
	}
	t.Cleanup(func() { openFile = old })
	const writers, each = 8, 25
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				if err := AppendLine(path, fmt.Appendf(nil, `{"writer":%d,"line":%d}`, w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if n := met.Load(); n > 0 && runtime.GOOS != "windows" {
		t.Errorf("%d times two writers wrote at once, want never", n)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if len(lines) != 1+writers*each || string(lines[0]) != `{"torn":` {
		t.Fatalf("%d lines, the first is %q", len(lines), lines[0])
	}
	for _, line := range lines[1:] {
		if !bytes.HasPrefix(line, []byte(`{"writer":`)) || !bytes.HasSuffix(line, []byte("}")) {
			t.Errorf("%q, want a whole record", line)
		}
	}

	if err := AppendLine(filepath.Dir(path), []byte("{}")); err == nil {
		t.Error("a folder is accepted")
	}
	if runtime.GOOS == "linux" {
		if err := AppendLine("/dev/null", []byte("{}")); err == nil || !strings.Contains(err.Error(), "/dev/null is not a regular file") {
			t.Errorf("a device: %v", err)
		}
	}
}
