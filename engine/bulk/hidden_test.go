//go:build unix

package bulk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/panics"
)

// hiddenNames are the files that a run keeps beside out.csv.
var hiddenNames = []string{".out.csv.velonym-part", ".out.csv.velonym-journal", ".out.csv.velonym-journal-new", "out.csv.velonym.json-new"}

// TestPlantedFiles puts links, pipes, folders and foreign files at the names of hidden files.
// A run neither writes through them, nor waits for them, nor gives them the output's name.
func TestPlantedFiles(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	in := register(20_000, false)
	planted := map[string]func(path, elsewhere string) error{
		"open file": func(path, _ string) error { // another user's reader keeps it open
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				return err
			}
			return os.Chmod(path, 0o666)
		},
		"hard link": func(path, elsewhere string) error { return os.Link(elsewhere, path) },
		"link":      func(path, elsewhere string) error { return os.Symlink(elsewhere, path) },
		"pipe":      func(path, _ string) error { return syscall.Mkfifo(path, 0o666) },
	}
	for what, plant := range planted {
		for _, name := range hiddenNames {
			for _, resume := range []bool{false, true} {
				dir := t.TempDir()
				at := func(name string) string { return filepath.Join(dir, name) }
				for name, b := range map[string][]byte{"in.csv": in, "elsewhere": []byte("precious")} {
					if err := os.WriteFile(at(name), b, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := plant(at(name), at("elsewhere")); err != nil {
					t.Fatal(err)
				}
				var open *os.File
				if what == "open file" {
					var err error
					if open, err = os.Open(at(name)); err != nil {
						t.Fatal(err)
					}
					defer open.Close()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := Run(ctx, Job{Inputs: []string{at("in.csv")}, Output: at("out.csv"), Manifest: true, Resume: resume,
					checkpointEvery: time.Nanosecond, Columns: []Column{{Name: "id", Plan: p}}})
				switch {
				case ctx.Err() != nil:
					t.Fatalf("%s at %s: the run hangs", what, name)
				case err == nil:
				case resume && errors.Is(err, errNotOwn):
					if _, err := os.Stat(at("out.csv")); err == nil {
						t.Errorf("%s at %s: refused, and there is an output", what, name)
					}
				default:
					t.Errorf("%s at %s, resume %v: %v", what, name, resume, err)
				}
				if b, err := os.ReadFile(at("elsewhere")); err != nil || string(b) != "precious" {
					t.Errorf("%s at %s: wrote through it", what, name)
				}
				if open != nil {
					if st, err := open.Stat(); err != nil || st.Size() != 3 {
						t.Errorf("%s at %s: whoever had it open can read what was written", what, name)
					}
				}
				if err == nil {
					st, err := os.Lstat(at("out.csv"))
					if err != nil || !st.Mode().IsRegular() || st.Mode().Perm() != 0o600 || st.Sys().(*syscall.Stat_t).Nlink != 1 {
						t.Errorf("%s at %s: output %v, %v", what, name, st, err)
					}
				}
			}
		}
	}
}

// TestResumeRefusesForeignPart checks that a run does not resume from a part or a journal
// that somebody else could have changed.
func TestResumeRefusesForeignPart(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	change := map[string]func(path string) error{
		"mode": func(path string) error { return os.Chmod(path, 0o660) },
		"link": func(path string) error { return os.Link(path, path+"2") },
	}
	if os.Geteuid() == 0 {
		change["owner"] = func(path string) error { return os.Chown(path, 65534, -1) }
	}
	for what, change := range change {
		for _, name := range hiddenNames[:2] {
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			job := interrupted(t, dir, p)
			if err := change(at(name)); err != nil {
				t.Fatal(err)
			}
			job.Resume = true
			if _, err := Run(t.Context(), job); !errors.Is(err, errNotOwn) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s of %s: %v", what, name, err)
			}
			if _, err := os.Stat(at("out.csv")); err == nil {
				t.Errorf("%s of %s: there is an output", what, name)
			}
		}
	}
}

// endOfToken is a refusal of Spend that the run with another token may resume after.
type endOfToken struct{ resumable bool }

func (endOfToken) Error() string     { return "the token has ended" }
func (e endOfToken) Resumable() bool { return e.resumable }

// interrupted makes a job in dir and runs it until its token ends. It leaves a journal.
func interrupted(t *testing.T, dir string, p *suite.Plan) Job {
	t.Helper()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, register(20_000, false), 0o600); err != nil {
		t.Fatal(err)
	}
	job := Job{Inputs: []string{in}, Output: out, Workers: 1, chunk: 4 << 10, checkpointEvery: time.Nanosecond,
		Columns: []Column{{Name: "id", Plan: p, Describe: map[string]string{"token": "first"}}}}
	job.Columns[0].Spend = spendUntil(10_000, endOfToken{true})
	_, err := Run(t.Context(), job)
	if !errors.As(err, &endOfToken{}) || !canResume(err) {
		t.Fatalf("got %v, want the token's end and how to go on", err)
	}
	for _, name := range hiddenNames[:2] {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	job.Columns[0].Spend = nil
	return job
}

// spendUntil returns a Column.Spend that accepts n values in all and then returns end.
func spendUntil(n int, end error) func(context.Context, int) error {
	return func(_ context.Context, values int) error {
		if n -= values; n < 0 {
			return end
		}
		return nil
	}
}

// TestResumeWithAnotherToken checks that a run whose token expired resumes with another token
// for the same work, and that a run whose token was revoked leaves nothing.
func TestResumeWithAnotherToken(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	job := interrupted(t, dir, p)
	job.Resume = true
	job.Columns[0].Describe = map[string]string{"token": "second"}
	spent := 0
	job.Columns[0].Spend = func(_ context.Context, n int) error { spent += n; return nil }
	sum, err := Run(t.Context(), job)
	if err != nil || !sum.Resumed || sum.Values != 20_000 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if spent == 0 || spent > 11_000 {
		t.Errorf("the second token paid for %d values of 20,000", spent)
	}
	whole := job
	whole.Output, whole.Resume = filepath.Join(dir, "whole.csv"), false
	if _, err := Run(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(job.Output)
	want, _ := os.ReadFile(whole.Output)
	if string(got) != string(want) {
		t.Error("the resumed output differs from that of one run")
	}
	for _, end := range []error{endOfToken{false}, errors.New("revoked")} {
		dir := t.TempDir()
		job := interrupted(t, dir, p)
		job.Columns[0].Spend = spendUntil(10_000, end)
		if _, err := Run(t.Context(), job); !errors.Is(err, end) {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left %v", left)
		}
	}
}

// TestPanicLeavesNothing checks that a panic within a run, in a worker or in the caller's
// functions, becomes an error without a value, and that the output is removed.
func TestPanicLeavesNothing(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, what := range []string{"worker", "progress", "write"} {
		for _, workers := range []int{1, 2} {
			dir := t.TempDir()
			in := filepath.Join(dir, "in.csv")
			if err := os.WriteFile(in, register(20_000, false), 0o600); err != nil {
				t.Fatal(err)
			}
			n := 0
			fail := func() {
				if n++; n == 5 {
					panic("identifier 100200")
				}
			}
			job := Job{Inputs: []string{in}, Output: filepath.Join(dir, "out.csv"), Workers: workers, chunk: 4 << 10,
				checkpointEvery: time.Nanosecond, Columns: []Column{{Name: "id", Plan: p}}}
			switch what {
			case "worker":
				job.Workers = 1
				job.Columns[0].Spend = func(context.Context, int) error { fail(); return nil }
			case "progress":
				job.Progress = func(Progress) { n = 4; fail() }
			case "write":
				job.wrapOut = func(f outFile) outFile { return panickingFile{f, fail} }
			}
			_, err := Run(t.Context(), job)
			var broken *panics.Error
			if !errors.As(err, &broken) || strings.Contains(err.Error(), "100200") {
				t.Errorf("%s: %v", what, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("%s: left %v", what, left)
			}
		}
	}
}

// panickingFile is an output that calls fail before each write.
type panickingFile struct {
	outFile
	fail func()
}

func (p panickingFile) WriteAt(b []byte, off int64) (int, error) {
	p.fail()
	return p.outFile.WriteAt(b, off)
}

// TestAllInputsCheckedBeforeWork checks that a fault in the last of several inputs, or in its
// output's name, is reported before any value of the first is transformed.
func TestAllInputsCheckedBeforeWork(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	wrong := map[string]func(in, out string) error{
		"no such file": func(in, _ string) error { return os.Remove(in) },
		"no column":    func(in, _ string) error { return os.WriteFile(in, []byte("name\nx\n"), 0o600) },
		"exists":       func(_, out string) error { return os.WriteFile(out, []byte("old"), 0o600) },
		"a folder":     func(_, out string) error { return os.Mkdir(out, 0o700) },
		"is an input":  func(in, out string) error { return os.Symlink(in, out) },
	}
	for says, spoil := range wrong {
		dir := t.TempDir()
		out := filepath.Join(dir, "out")
		if err := os.Mkdir(out, 0o700); err != nil {
			t.Fatal(err)
		}
		var ins []string
		for _, name := range []string{"a.csv", "b.csv", "c.csv"} {
			ins = append(ins, filepath.Join(dir, name))
			if err := os.WriteFile(ins[len(ins)-1], register(5_000, false), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := spoil(ins[2], filepath.Join(out, "c.csv")); err != nil {
			t.Fatal(err)
		}
		spent := 0
		job := Job{Inputs: ins, Output: out, Workers: 1, Columns: []Column{{Name: "id", Plan: p,
			Spend: func(_ context.Context, n int) error { spent += n; return nil }}}}
		sum, err := Run(t.Context(), job)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
		if spent != 0 || sum.Rows != 0 {
			t.Errorf("%s: %d values were charged before the error, want none", says, spent)
		}
		left, _ := os.ReadDir(out)
		for _, e := range left {
			if e.Name() != "c.csv" {
				t.Errorf("%s: left %s", says, e.Name())
			}
		}
	}
}
