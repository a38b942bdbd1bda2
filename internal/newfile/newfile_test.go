package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// TestCommitAndDiscard checks that a file has its name only after Commit, with mode 0600, and that
// Discard leaves nothing.
func TestCommitAndDiscard(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("one")
	if _, err := os.Lstat(path); err == nil {
		t.Fatal("a file has its name before Commit")
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Discard() // without effect
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 || len(names(t, dir)) != 1 {
		t.Fatal(err, st.Mode(), names(t, dir))
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Fatal("Create over a file:", err)
	}
	g, err := Create(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	g.Discard()
	if n := names(t, dir); len(n) != 1 {
		t.Fatal("Discard left files:", n)
	}
}

// TestNameTakenMeanwhile checks that Commit does not overwrite a file that was created since.
func TestNameTakenMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "theirs" || len(names(t, dir)) != 1 {
		t.Fatalf("the file holds %q in a folder with %v, want it unchanged and alone", b, names(t, dir))
	}
}

// TestNameless checks that an unfinished file is not in the folder if the system supports files
// without a name.
func TestNameless(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Discard()
	if !f.nameless {
		t.Skip("this file system has no files without a name")
	}
	if n := names(t, dir); len(n) != 0 {
		t.Error(n)
	}
}
