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
		t.Errorf("%+v", r)
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
		// Each is a chain that says what it follows.
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
	// In another order, or without one, they are no chain.
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
	// However small the size, a file holds a record besides its first.
	tiny := newPath(t)
	l = open(t, tiny, Options{MaxSize: 1})
	add(t, l, "a", "b", "c", "d", "e", "f")
	if r := whole(t, tiny); r.Files > 6 {
		t.Errorf("%+v", r)
	}
}

// TestRenamedByOthers is logrotate's way: the file is renamed, then the process
// is told, or not.
func TestRenamedByOthers(t *testing.T) {
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
		t.Error("the new file does not say yet what it follows")
	}
	add(t, a, "a2")
	add(t, b, "b2") // was not told
	rename("-20261123")
	add(t, b, "b3")
	add(t, a, "a3")
	same(t, path, "a1", "b1", "rotated", "a2", "b2", "rotated", "b3", "a3")
	if r := whole(t, path); r.Files != 3 || r.Records != 8 {
		t.Errorf("%+v", r)
	}
	// A process that starts while there is no file goes on too.
	rename(".2")
	c := open(t, path, Options{})
	add(t, c, "c4")
	add(t, a, "a4")
	// So it does from a file that was made and never begun.
	rename(".3")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, b, "b5")
	add(t, c, "c5")
	// One torn end, in a file that is renamed already.
	old := read(t, path)
	rename(".4")
	if err := os.Truncate(path+".4", int64(len(old)-9)); err != nil {
		t.Fatal(err)
	}
	add(t, a, "a6")
	if r := whole(t, path); r.Files != 6 || r.Torn != 1 {
		t.Errorf("%+v", r)
	}
	// Torn by another process, after this one's last record.
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
		t.Errorf("%+v", r)
	}
	// Taken out of the folder altogether, the chain goes on in memory.
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
