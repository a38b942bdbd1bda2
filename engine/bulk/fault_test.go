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
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// register makes a CSV of n rows with quotes, line ends in quotes and, every
// thousandth row, a value that cannot be transformed.
func register(n int, faults bool) []byte { return registerOf(n, 1_000_003, faults) }

// registerOf is register with so many different identifiers.
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

// faulty is an output that does something at each write.
type faulty struct {
	outFile
	write func(n int) error
}

func (f faulty) WriteAt(b []byte, off int64) (int, error) {
	if err := f.write(len(b)); err != nil {
		return 0, err
	}
	return f.outFile.WriteAt(b, off)
}

func (f faulty) Write(b []byte) (int, error) {
	if err := f.write(len(b)); err != nil {
		return 0, err
	}
	return f.outFile.Write(b)
}

// goOnUntilDone runs a job that resumes, stopped at most so many times, at one of its
// first writes, by cancelling and by errors of the disk. It says how often it was
// stopped and how often it resumed. No journal holds any of values.
func goOnUntilDone(t *testing.T, job Job, round int, rng *rand.Rand, most, first int, values *regexp.Regexp) (sum Summary, stops, resumed int) {
	t.Helper()
	for {
		ctx, cancel := context.WithCancel(t.Context())
		var writes atomic.Int64
		stop := int64(2 + rng.IntN(first))
		cause := []error{nil, syscall.ENOSPC, syscall.EIO}[rng.IntN(3)]
		job.wrapOut = func(f outFile) outFile {
			return faulty{f, func(int) error {
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
			t.Fatalf("round %d: an incomplete output has its name", round)
		}
		if b, err := os.ReadFile(journalName(job.Output)); err == nil && values.Match(b) {
			t.Fatalf("round %d: the journal holds values: %s", round, b)
		}
	}
}

// TestResume interrupts runs at random writes, by cancelling and by errors of the
// disk, resumes them, several times over, and compares with a run in one go.
func TestResume(t *testing.T) {
	p := plan(t, spec.Pseudonymise, plain)
	in := register(4000, true)
	for i := range 54 {
		if i == 36 { // counters that the runs have to share
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
		job.checkpoint, job.Resume = time.Nanosecond, true
		sum, stops, resumed := goOnUntilDone(t, job, i, rng, 4, 15, regexp.MustCompile(`0{6}\d{7}`))
		if stops == 0 || resumed == 0 {
			t.Fatalf("round %d: stopped %d times, resumed %d times: nothing was tried", i, stops, resumed)
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

// TestResumeCountsAgain: a run of policy document that is resumed finds out when its
// journal does not fit what it counts again.
func TestResumeCountsAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(path, registerOf(2000, 97, false), 0o600); err != nil {
		t.Fatal(err)
	}
	p := plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.PerDocument, Form: spec.Hex})
	job := Job{Inputs: []string{path}, Output: filepath.Join(dir, "out.csv"), Columns: []Column{{Name: "id", Plan: p}},
		Workers: 2, chunk: 3000, checkpoint: time.Nanosecond, Resume: true}
	for _, change := range []int{1, -1, 1000} {
		var writes atomic.Int64
		job.wrapOut = func(f outFile) outFile {
			return faulty{f, func(int) error {
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
			t.Fatalf("chunk %+d: %v", change, err)
		}
		if _, err := os.Stat(job.Output); err == nil {
			t.Fatal("a damaged run has made its output")
		}
	}
}

// TestResumeRefuses: another input, token, column or version, a damaged output.
func TestResumeRefuses(t *testing.T) {
	p := plan(t, spec.Pseudonymise, plain)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	data := register(3000, false)
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	base := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, chunk: 3000, checkpoint: time.Nanosecond, Fingerprint: "a", Version: "1", Workers: 2}
	stop := func() {
		t.Helper()
		job := base
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := atomic.Int64{}
		job.wrapOut = func(f outFile) outFile {
			return faulty{f, func(int) error {
				if n.Add(1) == 10 {
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
	// Without Resume the leftovers are no obstacle.
	job.Resume = false
	if _, err := Run(t.Context(), job); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left %v", left)
	}
}

// TestInputChanges: an input that grows, shrinks or is written to while it is read.
func TestInputChanges(t *testing.T) {
	p := plan(t, spec.Pseudonymise, plain)
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
			return faulty{f, func(int) error {
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

// TestFullDisk: without a journal yet nothing is left; errors name the output.
func TestFullDisk(t *testing.T) {
	p := plan(t, spec.Pseudonymise, plain)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, register(3000, false), 0o600); err != nil {
		t.Fatal(err)
	}
	job := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, chunk: 3000, Workers: 2, checkpoint: time.Hour}
	room := atomic.Int64{}
	room.Store(50_000)
	job.wrapOut = func(f outFile) outFile {
		return faulty{f, func(n int) error {
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
	// What was written is kept: the journal was saved as the run ended.
	job.wrapOut, job.Resume = nil, true
	sum, err := Run(t.Context(), job)
	if err != nil || !sum.Resumed {
		t.Fatal(sum, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Fatalf("left %v", left)
	}
}

// TestClosedPipe: a reader that goes away ends the run with an error.
func TestClosedPipe(t *testing.T) {
	p := plan(t, spec.Pseudonymise, plain)
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

// TestCancelWhileWaiting: a run that waits for its pipe ends at once when told to.
func TestCancelWhileWaiting(t *testing.T) {
	p := plan(t, spec.Pseudonymise, plain)
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
	// The rows that there are come out though the pipe stays open.
	if s := <-got + <-got; s != "id\n"+one(p, "a")+"\n" {
		t.Fatalf("first rows: %q", s)
	}
	cancel()
	if err := <-done; !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// TestMain lets the test binary be a run that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BULK_TEST_CHILD"); dir != "" {
		var s suite.Secret
		s.Active = true
		k, err := suite.NewKeys("cohort", "", []suite.Secret{s})
		if err != nil {
			panic(err)
		}
		active := plain
		active.Gen = -1
		p, err := suite.NewPlan(spec.Pseudonymise, active, k)
		if err != nil {
			panic(err)
		}
		sum, err := Run(context.Background(), childJob(dir, p))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if sum.Resumed {
			fmt.Println("resumed")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func childJob(dir string, p *suite.Plan) Job {
	return Job{Inputs: []string{filepath.Join(dir, "in.csv")}, Output: filepath.Join(dir, "out.csv"),
		Columns: []Column{{Name: "id", Plan: p}}, Workers: 2, chunk: 20_000, checkpoint: time.Millisecond, Resume: true,
		wrapOut: func(f outFile) outFile {
			return faulty{f, func(int) error { time.Sleep(100 * time.Microsecond); return nil }}
		}}
}

// TestKill kills runs at random moments and lets others go on, until one is done:
// the output is not there, or complete and right.
func TestKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	in := register(100_000, false)
	var want []byte
	kills, resumed := 0, 0
	for i := range rounds {
		rng := rand.New(rand.NewPCG(uint64(i), 5))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "in.csv"), in, 0o600); err != nil {
			t.Fatal(err)
		}
		for try := 0; ; try++ {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), "BULK_TEST_CHILD="+dir)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if try < 5 {
				// Every other time, not before there is a journal to go on from.
				for end := time.Now().Add(2 * time.Second); try%2 == 1 && time.Now().Before(end); time.Sleep(time.Millisecond) {
					if st, err := os.Stat(filepath.Join(dir, ".out.csv.velonym-journal")); err == nil && st.Size() > 0 {
						break
					}
					if _, err := os.Stat(filepath.Join(dir, "out.csv")); err == nil {
						break
					}
				}
				time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
				if cmd.Process.Kill() == nil {
					kills++
				}
			}
			err := cmd.Wait()
			if out.String() == "resumed\n" {
				resumed++
			}
			got, readErr := os.ReadFile(filepath.Join(dir, "out.csv"))
			if readErr == nil && want == nil {
				want = got
				if n := bytes.Count(got, lf); n != bytes.Count(in, lf) {
					t.Fatalf("the first output has %d lines", n)
				}
			}
			if readErr == nil && !bytes.Equal(got, want) {
				t.Fatalf("round %d, try %d: an output of %d bytes, want %d", i, try, len(got), len(want))
			}
			if readErr == nil {
				break
			}
			if err == nil || try >= 5 {
				t.Fatalf("round %d, try %d: no output: %v %s", i, try, err, errs.String())
			}
		}
		if left, _ := os.ReadDir(dir); len(left) > 3 { // killed between the renames, the journal may stay
			t.Fatalf("left %v", left)
		}
	}
	if kills == 0 {
		t.Fatal("no run was killed: nothing was tried")
	}
	t.Logf("%d runs killed, %d resumed", kills, resumed) // how many of them depends on the machine; TestResume is sure to
}

// TestMemory: a run's memory does not grow with its input.
func TestMemory(t *testing.T) {
	p := plan(t, spec.Pseudonymise, plain)
	row := []byte(strings.Repeat("1973080520045,\"x, y\"\n", 1000))
	size := 400
	if testing.Short() {
		size = 50
	}
	r := io.MultiReader(strings.NewReader("id,x\n"), &repeat{row, size * 50})
	peak := uint64(0)
	job := Job{Stdin: r, Stdout: io.Discard, Columns: []Column{{Name: "id", Plan: p}}, Workers: 2,
		Progress: func(Progress) { peak = max(peak, heap()) }}
	before := heap()
	sum, err := Run(t.Context(), job)
	if err != nil || sum.Rows != int64(size*50*1000) {
		t.Fatal(sum, err)
	}
	if grown := int64(peak) - int64(before); grown > 32<<20 {
		t.Fatalf("%d MiB in use for %d MiB of input", grown>>20, sum.BytesIn>>20)
	}
}

// repeat gives the same bytes n times.
type repeat struct {
	b []byte
	n int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	n := 0
	for r.n > 0 && len(p)-n >= len(r.b) {
		n += copy(p[n:], r.b)
		r.n--
	}
	if n == 0 {
		panic("a read smaller than the row")
	}
	return n, nil
}

// heap returns the bytes of live and not yet collected objects.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// canResume says whether a run that ended with err left what one with Job.Resume goes on from.
func canResume(err error) bool {
	_, ok := errors.AsType[*InterruptedError](err)
	return ok
}
