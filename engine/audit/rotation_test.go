package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRotationBySize checks the names and sizes of rotated files, that each is a chain that
// continues the one before, and that they verify only together and in order.
func TestRotationBySize(t *testing.T) {
	path := newPath(t)
	l := open(t, path, Options{MaxSize: 2000})
	var want []string
	for i := range 20 {
		id := fmt.Sprint(i)
		add(t, l, id)
		want = append(want, id)
	}
	r := whole(t, path)
	if r.Files < 4 || r.Records != int64(20+r.Files-1) {
		t.Errorf("%+v, want 4 files or more with 20 records and one for each rotation", r)
	}
	files, err := Files(path)
	if err != nil {
		t.Fatal(err)
	}
	var last Report
	for i, f := range files {
		st, err := os.Stat(f)
		if err != nil || st.Size() > 2000 || st.Mode() != 0o600 {
			t.Errorf("%s: %d bytes, mode %v, %v", f, st.Size(), st.Mode(), err)
		}
		// Each file is a chain that names the record that it follows.
		one, err := VerifyFiles(f)
		if err != nil || i > 0 && (one.First != last.Seq+1 || one.Prev != last.Head) {
			t.Errorf("%s: %+v, %v", f, one, err)
		}
		if i < len(files)-1 && !strings.HasSuffix(f, fmt.Sprintf(".%012d", one.Seq)) {
			t.Errorf("%s ends with record %d", f, one.Seq)
		}
		last = one
	}
	got := slices.DeleteFunc(ids(t, path), func(s string) bool { return s == "rotated" })
	if !slices.Equal(got, want) {
		t.Errorf("the log holds %q", got)
	}
	// In another order, or with one missing, they are not a chain.
	for what, list := range map[string][]string{
		"swapped": slices.Concat(files[1:2], files[:1], files[2:]),
		"missing": slices.Concat(files[:1], files[2:]),
		"twice":   slices.Concat(files[:1], files),
	} {
		var broken *BrokenError
		if _, err := VerifyFiles(list...); !errors.As(err, &broken) || broken.Line != 1 {
			t.Errorf("%s: got %v", what, err)
		}
	}
	// Even with the smallest MaxSize a file holds a record besides its first.
	tiny := newPath(t)
	l = open(t, tiny, Options{MaxSize: 1})
	add(t, l, "a", "b", "c", "d", "e", "f")
	if r := whole(t, tiny); r.Files > 6 {
		t.Errorf("%+v, want 6 files at most", r)
	}
}

// TestRenamedByOtherPrograms renames the file as logrotate does, with and without a call of
// Reopen, and checks that the chain continues. It is one sequence, since each step needs the
// files of the one before.
func TestRenamedByOtherPrograms(t *testing.T) {
	path := newPath(t)
	a, b := open(t, path, Options{}), open(t, path, Options{})
	add(t, a, "a1")
	add(t, b, "b1")
	rename := func(to string) {
		t.Helper()
		if err := os.Rename(path, path+to); err != nil {
			t.Fatal(err)
		}
	}
	rename(".1")
	if err := a.Reopen(); err != nil {
		t.Fatal(err)
	}
	if len(read(t, path)) == 0 {
		t.Error("Reopen has not written the record that continues the chain")
	}
	add(t, a, "a2")
	add(t, b, "b2") // without Reopen
	rename("-20261123")
	add(t, b, "b3")
	add(t, a, "a3")
	same(t, path, "a1", "b1", "rotated", "a2", "b2", "rotated", "b3", "a3")
	if r := whole(t, path); r.Files != 3 || r.Records != 8 {
		t.Errorf("%+v, want 3 files with 8 records", r)
	}
	// A process that starts while there is no file continues the chain.
	rename(".2")
	c := open(t, path, Options{})
	add(t, c, "c4")
	add(t, a, "a4")
	// It also does if the file exists and is empty.
	rename(".3")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, b, "b5")
	add(t, c, "c5")
	// The end of a renamed file is torn.
	old := read(t, path)
	rename(".4")
	if err := os.Truncate(path+".4", int64(len(old)-9)); err != nil {
		t.Fatal(err)
	}
	add(t, a, "a6")
	if r := whole(t, path); r.Files != 6 || r.Torn != 1 {
		t.Errorf("%+v, want 6 files and one torn record", r)
	}
	// Another process left a torn line after this one's last record.
	rename(".5")
	f, err := os.OpenFile(path+".5", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":99,"prev":"`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, open(t, path, Options{}), "d7")
	add(t, a, "a7")
	if r := whole(t, path); r.Files != 7 || r.Torn != 2 {
		t.Errorf("%+v, want 7 files and two torn records", r)
	}
	// If the file is moved out of the folder, this process continues the chain from memory.
	if err := os.Rename(path, filepath.Join(t.TempDir(), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	before, err := VerifyFiles(func() []string { f, _ := Files(path); return f }()...)
	if err != nil {
		t.Fatal(err)
	}
	add(t, a, "a8")
	one, err := VerifyFiles(path)
	if err != nil || one.First <= before.Seq {
		t.Errorf("%+v after %+v, %v", one, before, err)
	}
}
