package bulk

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
)

// TestOutputSymbolicLink checks that a symbolic link as output stays a link, and that the
// file it refers to is checked and replaced.
func TestOutputSymbolicLink(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("in.csv", "id\na\n")
	write("there.csv", "old")
	if err := os.Mkdir(at("elsewhere"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("elsewhere/target.csv", "old")
	if err := syscall.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": "there.csv", "far": "elsewhere/target.csv", "twice": "far", "dangling": "nothing", "null": os.DevNull, "pipe": "fifo", "self": "in.csv", "loop": "loop"} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(out string, force bool) error {
		_, err := Run(t.Context(), Job{Inputs: []string{at("in.csv")}, Output: at(out), Force: force, Manifest: force, Columns: []Column{{Name: "id", Plan: p}}})
		return err
	}
	want := "id\n" + transformOne(p, "a") + "\n"
	for name, says := range map[string]string{"dangling": "link to nothing", "loop": "link to nothing", "null": "no regular file", "pipe": "no regular file", "self": "is an input too"} {
		if err := run(name, true); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", name, err, says)
		}
	}
	if err := run("link", false); !errors.Is(err, os.ErrExist) {
		t.Errorf("a link to an existing file without Force: %v, want os.ErrExist", err)
	}
	if st, err := os.Stat(os.DevNull); err != nil || st.Mode().IsRegular() {
		t.Fatal("the null device is gone")
	}
	for link, target := range map[string]string{"link": "there.csv", "twice": "elsewhere/target.csv"} {
		if err := run(link, true); err != nil {
			t.Errorf("%s: %v", link, err)
		}
		if st, err := os.Lstat(at(link)); err != nil || st.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more", link)
		}
		if b, err := os.ReadFile(at(target)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", target, b, err)
		}
		if report, err := Check(t.Context(), ManifestName(at(link))); err != nil {
			t.Errorf("%s: %v %v", link, report, err)
		}
	}
	if left, _ := os.ReadDir(at("elsewhere")); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// TestOutputMode checks that the mode of the output is the input's without the umask, and that
// the temporary file is private.
func TestOutputMode(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, c := range []struct{ in, mask, want os.FileMode }{
		{0o644, 0o022, 0o644}, {0o666, 0o022, 0o644}, {0o644, 0o077, 0o600}, {0o400, 0o022, 0o400}, {0o440, 0o027, 0o440}, {0o755, 0o022, 0o644}, {0o600, 0, 0o600},
	} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
		if err := os.WriteFile(in, []byte("id\na\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(in, c.in); err != nil {
			t.Fatal(err)
		}
		before := syscall.Umask(int(c.mask))
		during := os.FileMode(0)
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}},
			wrapOut: func(f outFile) outFile {
				if st, err := os.Stat(tempName(out)); err == nil {
					during = st.Mode()
				}
				return f
			}})
		if after := syscall.Umask(before); after != int(c.mask) {
			t.Errorf("the umask was changed from %o to %o", c.mask, after)
		}
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(out)
		if err != nil || st.Mode() != c.want {
			t.Errorf("input %o, umask %o: output %o, want %o", c.in, c.mask, st.Mode(), c.want)
		}
		if during != 0o600 {
			t.Errorf("input %o, umask %o: %o while it was written", c.in, c.mask, during)
		}
	}
}

// TestDamagedCompressedInput checks that compressed input that is cut short or damaged gives
// an error that says so, and leaves nothing although a journal was written.
func TestDamagedCompressedInput(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	data := register(20_000, false)
	for _, c := range []struct {
		name   string
		kind   Compression
		damage func([]byte) []byte
		want   string
	}{
		{"cut", Gzip, func(b []byte) []byte { return b[:len(b)-20] }, "the gzip stream is cut short"},
		{"cut in the trailer", Gzip, func(b []byte) []byte { return b[:len(b)-1] }, "the gzip stream is cut short"},
		{"one byte of a second member", Gzip, func(b []byte) []byte { return append(b, 0x1f) }, "the gzip stream is cut short"},
		{"half a header of a second member", Gzip, func(b []byte) []byte { return append(b, 0x1f, 0x8b, 8) }, "the gzip stream is cut short"},
		{"text behind", Gzip, func(b []byte) []byte { return append(b, "id\n"...) }, "the gzip stream is complete, and other bytes stand behind its end"},
		{"a byte behind", Gzip, func(b []byte) []byte { return append(b, 7) }, "the gzip stream is complete, and other bytes stand behind its end"},
		{"a byte changed", Gzip, func(b []byte) []byte { b[len(b)-6] ^= 1; return b }, "the gzip stream is damaged"},
		{"cut", Zstd, func(b []byte) []byte { return b[:len(b)-20] }, "the zstd stream is cut short"},
		{"text behind", Zstd, func(b []byte) []byte { return append(b, "id,note\n"...) }, "the zstd stream is damaged"},
	} {
		dir := t.TempDir()
		in := filepath.Join(dir, "in.csv")
		if err := os.WriteFile(in, c.damage(pack(t, c.kind, data[:len(data)/2], data[len(data)/2:])), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out.csv"), Columns: []Column{{Name: "id", Plan: p}}, chunk: 3000, checkpointEvery: time.Nanosecond})
		if err == nil || !strings.Contains(err.Error(), in+": "+c.want) || canResume(err) {
			t.Errorf("%s %s: %v, want %s", c.kind, c.name, err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s %s: left %v", c.kind, c.name, left)
		}
	}
}

// TestManyCompressedMembers checks that members of any size, empty ones included, are read as
// one file.
func TestManyCompressedMembers(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	var in bytes.Buffer
	for _, part := range []string{"", "id\n", "a", "", "\nb\n", ""} {
		z := gzip.NewWriter(&in)
		z.Write([]byte(part))
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, _, err := runBytes(t, Job{Columns: []Column{{Name: "id", Plan: p}}}, in.Bytes(), true)
	if want := "id\n" + transformOne(p, "a") + "\n" + transformOne(p, "b") + "\n"; err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestCancelWhileOpening checks that a run that waits for the writer of a named pipe ends when
// its context does.
func TestCancelWhileOpening(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.csv")
	if err := syscall.Mkfifo(in, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := Run(ctx, Job{Inputs: []string{in}, Output: filepath.Join(dir, "out.csv"), Columns: []Column{{Name: "id", Plan: p}}})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Fatalf("left %v", left)
	}
	if f, err := os.OpenFile(in, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // ends the open call that still waits
		f.Close()
	}
}

// TestFailedFirstValueSparesOthers checks that a value that cannot be transformed does not
// affect the values after it.
func TestFailedFirstValueSparesOthers(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	rev := plan(t, spec.Reverse, reversible)
	a, b := transformOne(p, "1973080520045"), transformOne(p, "x")
	for _, c := range []struct {
		format  Format
		onError OnError
		in, out string
	}{
		{CSV, Null, "id,n\nbad,1\nA,2\nB,3\n", "id,n\n,1\n1973080520045,2\nx,3\n"},
		{CSV, Keep, "id,n\nbad,1\nA,2\nB,3\n", "id,n\n1973080520045,2\nx,3\n"},
		{CSV, Null, "id\nbad\nA\nB\nA\n", "id\n\"\"\n1973080520045\nx\n1973080520045\n"},
		{CSV, Keep, "id\nbad\nA\nB\nA\n", "id\n1973080520045\nx\n1973080520045\n"},
		{CSV, Null, "id\n\"bad\"\n\"A\"\nB\n", "id\n\"\"\n\"1973080520045\"\nx\n"},
		{NDJSON, Null, `{"id":"bad"}` + "\n" + `{"id":["A","bad","B"]}` + "\n", `{"id":null}` + "\n" + `{"id":["1973080520045",null,"x"]}` + "\n"},
		{NDJSON, Keep, `{"id":"bad"}` + "\n" + `{"id":["A","B"]}` + "\n" + `{"id":["A","bad"]}` + "\n", `{"id":["1973080520045","x"]}` + "\n"},
	} {
		for _, chunk := range []int{1, 20, 0} {
			for _, bad := range []string{"bad", a[:len(a)-1] + "!", b[1:], strings.Repeat("z", 80)} {
				in := strings.NewReplacer("bad", bad, "A", a, "B", b).Replace(c.in)
				got, sum, err := runBytes(t, Job{Format: c.format, OnError: c.onError, Columns: []Column{{Name: "id", Plan: rev}}, Workers: 2, chunk: chunk}, []byte(in), false)
				if err != nil || string(got) != c.out || sum.Errors != int64(strings.Count(c.in, "bad")) {
					t.Errorf("%s, %s, %q: %q, %v, %+v, want %q", c.format, c.onError, in, got, err, sum, c.out)
				}
			}
		}
	}
}

// TestKeepNeedsRejects checks that Keep without a rejects file is refused, so that no rows
// vanish.
func TestKeepNeedsRejects(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, job := range []Job{{OnError: Keep}, {OnError: Keep, Rejects: "-"}, {Rejects: "x"}} {
		job.Columns = []Column{{Name: "id", Plan: p}}
		job.Stdin, job.Stdout = strings.NewReader("id\n\x00\n"), &bytes.Buffer{}
		if _, err := Run(t.Context(), job); !errors.Is(err, ErrUsage) || !slices.ContainsFunc([]error{ErrKeepWithoutRejects, ErrSideFileOnStdout, ErrRejectsWithoutKeep}, func(e error) bool { return err == e }) {
			t.Errorf("%+v: %v", job, err)
		}
	}
}
