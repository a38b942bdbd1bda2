package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestTornAnywhere cuts the last record at every byte, as a crash might, and appends. The torn
// bytes stay, and a record accounts for them.
func TestTornAnywhere(t *testing.T) {
	simdtest.Alone(t)
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b", "c")
	l.Close()
	full := read(t, path)
	last := bytes.LastIndexByte(full[:len(full)-1], '\n') + 1
	first := bytes.IndexByte(full, '\n') + 1
	test := func(content []byte, torn []byte, before ...string) {
		t.Helper()
		path := newPath(t)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(bytes.NewReader(content)); err == nil {
			t.Fatal("the report does not count the torn line")
		}
		l := open(t, path, Options{})
		add(t, l, "d")
		l.Close()
		if r := whole(t, path); r.Torn != 1 || r.Records != int64(len(before)+2) {
			t.Fatalf("%+v, want one torn record of %d", r, len(before)+2)
		}
		same(t, path, append(before, "(torn)", "recovered", "d")...)
		if b := read(t, path); !bytes.HasPrefix(b, append(bytes.Clone(content), '\n')) {
			t.Fatal("the torn bytes were removed")
		}
		// The chain holds the digest of the torn bytes, which can therefore be neither changed
		// nor removed.
		b := read(t, path)
		at := len(content) - len(torn)
		if _, err := Verify(bytes.NewReader(slices.Concat(b[:at], b[len(content)+1:]))); err == nil {
			t.Fatal("a removed torn line does not show")
		}
		b[at] ^= 1
		if _, err := Verify(bytes.NewReader(b)); err == nil {
			t.Fatal("a changed torn line does not show")
		}
	}
	for cut := last + 1; cut < len(full); cut++ {
		c := full[:cut]
		if cut == len(full)-1 {
			continue // see TestTornLineEndOnly
		}
		test(c, c[last:], "a", "b")
	}
	for _, cut := range []int{1, 3, 7, 20, first - 2} {
		test(full[:cut], full[:cut])
	}
	// After a crash a file system may return zeros for bytes that it did not write.
	zeros := slices.Concat(full[:last+40], make([]byte, 20000))
	test(zeros, zeros[last:], "a", "b")
}

// TestTornLineEndOnly checks that a record of which only the line end is missing remains valid.
func TestTornLineEndOnly(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b")
	// Another process was killed while this one has the log open.
	if err := os.Truncate(path, int64(len(read(t, path))-1)); err != nil {
		t.Fatal(err)
	}
	add(t, l, "c")
	// The record itself is complete and remains valid.
	if r := whole(t, path); r.Torn != 0 || r.Records != 3 {
		t.Errorf("%+v, want 3 records, none of them torn", r)
	}
	same(t, path, "a", "b", "c")
}

// TestOpenRefusesOtherFiles checks that Open returns ErrBroken with a remedy for files that do
// not end as a log does, and leaves them unchanged.
func TestOpenRefusesOtherFiles(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{})
	add(t, l, "a", "b")
	l.Close()
	good := read(t, path)
	lines := bytes.SplitAfter(good, []byte("\n"))
	changed := bytes.Clone(good)
	changed[len(changed)-150] ^= 1
	for what, content := range map[string][]byte{
		"text":                []byte("national number,name\n1980010112345,Müller\n"),
		"text without end":    []byte("1980010112345"),
		"other JSON":          []byte(`{"data":["1980010112345"]}` + "\n"),
		"other JSON, no end":  []byte(`{"data":["1980010112345"]}`),
		"changed last record": changed,
		"garbage after":       slices.Concat(good, []byte("x\n")),
		"empty line after":    slices.Concat(good, []byte("\n")),
		"megabytes after":     slices.Concat(good, bytes.Repeat([]byte("x"), 3<<20)),
		"megabytes":           bytes.Repeat([]byte("x"), 3<<20),
		"line cut in front":   slices.Concat(lines[0], lines[1][3:]),
	} {
		p := newPath(t)
		if err := os.WriteFile(p, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(p, Options{})
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "move it to another folder") || strings.Contains(err.Error(), "1980") {
			t.Errorf("%s: got %v", what, err)
		}
		if !bytes.Equal(read(t, p), content) {
			t.Errorf("%s: the file was changed", what)
		}
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("opened a folder")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "no", "log"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
