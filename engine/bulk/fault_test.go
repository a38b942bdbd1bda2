package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// register makes a CSV of n rows with quotes, line ends in quotes and, every
// thousandth row, a value that cannot be transformed.
func register(n int, faults bool) []byte { return registerOf(n, 1_000_003, faults) }

// registerOf is register with the given number of different identifiers.
func registerOf(n, different int, faults bool) []byte {
	var b bytes.Buffer
	b.WriteString("id,note\n")
	for i := range n {
		id := fmt.Sprintf("%013d", i*7919%different)
		if faults && i%1000 == 999 {
			id = "\x00"
		}
		fmt.Fprintf(&b, "%s,\"a \"\"note\"\",\nof %d\"\n", id, i)
	}
	return b.Bytes()
}

// hookedFile is an output that calls write, with the length, before each write.
type hookedFile struct {
	outFile
	write func(n int) error
}

func (f hookedFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.write(len(b)); err != nil {
		return 0, err
	}
	return f.outFile.WriteAt(b, off)
}

func (f hookedFile) Write(b []byte) (int, error) {
	if err := f.write(len(b)); err != nil {
		return 0, err
	}
	return f.outFile.Write(b)
}

// resumeUntilDone runs a job with Resume until it is done. It stops the job at most `most`
// times, at one of its first writes, by cancelling it or by an error of the disk. It returns
// how often the job was stopped and how often it resumed. It fails the test if a journal
// holds text that matches values.
func resumeUntilDone(t *testing.T, job Job, round int, rng *rand.Rand, most, first int, values *regexp.Regexp) (sum Summary, stops, resumed int) {
	t.Helper()
	for {
		ctx, cancel := context.WithCancel(t.Context())
		var writes atomic.Int64
		stop := int64(2 + rng.IntN(first))
		cause := []error{nil, syscall.ENOSPC, syscall.EIO}[rng.IntN(3)]
		job.wrapOut = func(f outFile) outFile {
			return hookedFile{f, func(int) error {
				if writes.Add(1) >= stop && stops < most {
					if cause != nil {
						return cause
					}
					cancel()
				}
				return nil
			}}
		}
		sum, err := Run(ctx, job)
		cancel()
		if sum.Resumed {
			resumed++
		}
		if err == nil {
			return sum, stops, resumed
		}
		stops++
		if want := cause; want == nil && !errors.Is(err, ErrInterrupted) || want != nil && !errors.Is(err, want) {
			t.Fatalf("round %d: stopped by %v, want %v", round, err, want)
		}
		if _, err := os.Stat(job.Output); err == nil {
			t.Fatalf("round %d: an incomplete output has its final name", round)
		}
		if b, err := os.ReadFile(journalName(job.Output)); err == nil && values.Match(b) {
			t.Fatalf("round %d: the journal holds values: %s", round, b)
		}
	}
}

// TestResume interrupts runs at random writes, by cancelling and by errors of the disk,
// resumes them, several times over, and compares with an uninterrupted run.
func TestResume(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	in := register(4000, true)
	step := 2 // even rounds meet every pair of compressions too
	switch {
	case longForm:
		step = 1
	case simdtest.Race():
		step = 7
	}
	for i := 0; i < 54; i += step {
		if i >= 36 && i < 36+step { // policy document: a resumed run must count again
			p = plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.PerDocument, Form: spec.Hex})
			in = registerOf(4000, 97, true)
		}
		rng := rand.New(rand.NewPCG(uint64(i), 4))
		dir := t.TempDir()
		name := "in.csv"
		data := in
		if kind := []Compression{None, Gzip, Zstd}[i%3]; kind != None {
			data = pack(t, kind, in[:len(in)/2], in[len(in)/2:])
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		suffix := []string{"", ".gz", ".zst"}[i/3%3]
		job := Job{Inputs: []string{path}, Output: filepath.Join(dir, "whole.csv"+suffix), Rejects: filepath.Join(dir, "rejects-whole"),
			OnError: Keep, Columns: []Column{{Name: "id", Plan: p}}, Workers: 1 + rng.IntN(3), chunk: 3000, Fingerprint: "jti"}
		whole, err := Run(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		job.Output, job.Rejects = filepath.Join(dir, "out.csv"+suffix), filepath.Join(dir, "rejects")
		job.checkpointEvery, job.Resume = time.Nanosecond, true
		sum, stops, resumed := resumeUntilDone(t, job, i, rng, 4, 15, regexp.MustCompile(`0{6}\d{7}`))
		if stops == 0 || resumed == 0 {
			t.Fatalf("round %d: stopped %d times, resumed %d times: resuming was not tested", i, stops, resumed)
		}
		for _, f := range [][2]string{{"whole.csv" + suffix, "out.csv" + suffix}, {"rejects-whole", "rejects"}} {
			a, err1 := os.ReadFile(filepath.Join(dir, f[0]))
			b, err2 := os.ReadFile(filepath.Join(dir, f[1]))
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Fatalf("round %d (%s): %s differs after %d stops: %d and %d bytes, %v, %v", i, name, f[1], stops, len(a), len(b), err1, err2)
			}
		}
		if sum.Rows != whole.Rows || sum.Values != whole.Values || sum.Errors != whole.Errors || sum.Rejected != whole.Rejected {
			t.Fatalf("round %d: %+v, want the counts of %+v", i, sum, whole)
		}
		left, _ := os.ReadDir(dir)
		if len(left) != 5 {
			t.Fatalf("round %d: left %v", i, left)
		}
	}
}

// TestResumedDocumentPolicyChecksItsJournal checks that a resumed run of policy document
// fails if its journal contradicts what it counts again.
func TestResumedDocumentPolicyChecksItsJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(path, registerOf(2000, 97, false), 0o600); err != nil {
		t.Fatal(err)
	}
	p := plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.PerDocument, Form: spec.Hex})
	job := Job{Inputs: []string{path}, Output: filepath.Join(dir, "out.csv"), Columns: []Column{{Name: "id", Plan: p}},
		Workers: 2, chunk: 3000, checkpointEvery: time.Nanosecond, Resume: true}
	for _, change := range []int{1, -1, 1000} {
		var writes atomic.Int64
		job.wrapOut = func(f outFile) outFile {
			return hookedFile{f, func(int) error {
				if writes.Add(1) > 9 {
					return syscall.EIO
				}
				return nil
			}}
		}
		job.Resume = false
		if _, err := Run(t.Context(), job); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		name := journalName(job.Output)
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var state journalState
		if err := json.Unmarshal(b, &state); err != nil {
			t.Fatal(err)
		}
		state.Mark.Chunk += change
		if b, err = json.Marshal(state); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		job.wrapOut, job.Resume = nil, true
		if _, err := Run(t.Context(), job); !errors.Is(err, errJournal) {
			t.Fatalf("a journal whose chunk number is changed by %+d: %v, want errJournal", change, err)
		}
		if _, err := os.Stat(job.Output); err == nil {
			t.Fatal("a run with a damaged journal has made its output")
		}
	}
}

// interruptAtWrite runs a job and cancels it at its n-th write, after which it can be resumed.
func interruptAtWrite(t *testing.T, job Job, n int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	writes := atomic.Int64{}
	job.wrapOut = func(f outFile) outFile {
		return hookedFile{f, func(int) error {
			if writes.Add(1) == n {
				cancel()
			}
			return nil
		}}
	}
	_, err := Run(ctx, job)
	if !errors.Is(err, ErrInterrupted) || !canResume(err) {
		t.Fatal(err)
	}
}

// TestResumeRefusesAnotherJob checks that a run does not resume with another input, token,
// column or version, nor on a damaged output.
func TestResumeRefusesAnotherJob(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	data := register(3000, false)
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	base := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, chunk: 3000, checkpointEvery: time.Nanosecond, Fingerprint: "a", Version: "1", Workers: 2}
	stop := func() {
		t.Helper()
		interruptAtWrite(t, base, 10)
	}
	stop()
	for name, change := range map[string]func(*Job){
		"token":   func(j *Job) { j.Fingerprint = "b" },
		"version": func(j *Job) { j.Version = "2" },
		"column":  func(j *Job) { j.Columns = []Column{{Number: 2, Plan: p}} },
		"options": func(j *Job) { j.Ragged = true },
		"key": func(j *Job) {
			j.Columns = []Column{{Name: "id", Plan: plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Hex})}}
		},
	} {
		job := base
		job.Resume = true
		change(&job)
		if _, err := Run(t.Context(), job); !errors.Is(err, ErrUsage) {
			t.Errorf("resumed with another %s: %v", name, err)
		}
	}
	temp := tempName(out)
	b, err := os.ReadFile(temp)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(temp, b[:len(b)/2+1], 0o600); err != nil {
		t.Fatal(err)
	}
	job := base
	job.Resume = true
	if _, err := Run(t.Context(), job); err == nil {
		t.Error("resumed on a damaged output")
	}
	stop()
	data[100] ^= 1
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), job); !errors.Is(err, ErrChanged) {
		t.Errorf("resumed on a changed input: %v", err)
	}
	// Without Resume the leftover files are replaced.
	job.Resume = false
	if _, err := Run(t.Context(), job); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left %v", left)
	}
}

// TestChangingInputIsAnError checks that an input that grows, shrinks or is written to while
// it is read ends the run, which leaves nothing.
func TestChangingInputIsAnError(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for name, change := range map[string]func(string) error{
		"shrinks": func(in string) error { return os.Truncate(in, 20_000) },
		"grows": func(in string) error {
			f, err := os.OpenFile(in, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x,y\n")
				f.Close()
			}
			return err
		},
		"is touched": func(in string) error { return os.Chtimes(in, time.Now(), time.Now().Add(time.Hour)) },
	} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
		if err := os.WriteFile(in, register(3000, false), 0o600); err != nil {
			t.Fatal(err)
		}
		var once atomic.Bool
		job := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, chunk: 3000, Workers: 2}
		job.wrapOut = func(f outFile) outFile {
			return hookedFile{f, func(int) error {
				if once.CompareAndSwap(false, true) {
					return change(in)
				}
				return nil
			}}
		}
		if _, err := Run(t.Context(), job); !errors.Is(err, ErrChanged) {
			t.Errorf("an input that %s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("an input that %s: left %v", name, left)
		}
	}
}

// TestFullDisk checks that a full disk gives an error that names the output, and that the
// run can be resumed.
func TestFullDisk(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, register(3000, false), 0o600); err != nil {
		t.Fatal(err)
	}
	job := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, chunk: 3000, Workers: 2, checkpointEvery: time.Hour}
	room := atomic.Int64{}
	room.Store(50_000)
	job.wrapOut = func(f outFile) outFile {
		return hookedFile{f, func(n int) error {
			if room.Add(int64(-n)) < 0 {
				return &os.PathError{Op: "write", Path: "temporary name", Err: syscall.ENOSPC}
			}
			return nil
		}}
	}
	_, err := Run(t.Context(), job)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "cannot write "+out) {
		t.Fatal(err)
	}
	// The written part is kept: the journal was saved when the run ended.
	job.wrapOut, job.Resume = nil, true
	sum, err := Run(t.Context(), job)
	if err != nil || !sum.Resumed {
		t.Fatal(sum, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Fatalf("left %v", left)
	}
}

// TestClosedPipe checks that the run ends with an error if the reader of its output closes
// the pipe.
func TestClosedPipe(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		io.CopyN(io.Discard, r, 10_000)
		r.Close()
	}()
	_, err = Run(t.Context(), Job{Stdin: bytes.NewReader(register(20_000, false)), Stdout: w, Columns: []Column{{Name: "id", Plan: p}}, chunk: 3000})
	w.Close()
	if !errors.Is(err, syscall.EPIPE) || !strings.Contains(err.Error(), "cannot write standard output") {
		t.Fatal(err)
	}
}

// TestCancelWhileWaiting checks that a run that waits for input from a pipe ends when its
// context does, and that rows are written before the pipe has more.
func TestCancelWhileWaiting(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	if _, err := w.WriteString("id\na\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string, 10)
	done := make(chan error)
	go func() {
		_, err := Run(ctx, Job{Stdin: r, Stdout: writerFunc(func(b []byte) { got <- string(b) }), Columns: []Column{{Name: "id", Plan: p}}})
		done <- err
	}()
	// The rows read so far are written although the pipe stays open.
	if s := <-got + <-got; s != "id\n"+transformOne(p, "a")+"\n" {
		t.Fatalf("wrote %q, want the rows that were read", s)
	}
	cancel()
	if err := <-done; !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }
