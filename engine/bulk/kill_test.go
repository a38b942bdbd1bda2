package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// TestMain lets the test binary be the process that TestKilledRunsResume kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BULK_TEST_CHILD"); dir != "" {
		var s suite.Secret
		s.Active = true
		k, err := suite.NewKeys("cohort", "", []suite.Secret{s})
		if err != nil {
			panic(err)
		}
		active := reversible
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
		Columns: []Column{{Name: "id", Plan: p}}, Workers: 2, chunk: 20_000, checkpointEvery: time.Millisecond, Resume: true,
		wrapOut: func(f outFile) outFile {
			return hookedFile{f, func(int) error { time.Sleep(100 * time.Microsecond); return nil }}
		}}
}

// TestKilledRunsResume kills runs at random moments and resumes them until one is complete.
// At each moment the output is absent, or complete and correct.
func TestKilledRunsResume(t *testing.T) {
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
				// Every other time, not before there is a journal to resume from.
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
					t.Fatalf("the first output has %d lines, want %d", n, bytes.Count(in, lf))
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
		if left, _ := os.ReadDir(dir); len(left) > 3 { // a run killed between the renames may leave the journal
			t.Fatalf("left %v", left)
		}
	}
	if kills == 0 {
		t.Fatal("no run was killed: resuming was not tested")
	}
	t.Logf("%d runs killed, %d resumed", kills, resumed) // how many of them resume depends on the machine; TestResume always resumes
}

// TestMemoryIndependentOfInputSize checks that a run's memory does not grow with its input.
func TestMemoryIndependentOfInputSize(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	row := []byte(strings.Repeat("1973080520045,\"x, y\"\n", 1000))
	size := 400
	if testing.Short() {
		size = 50
	}
	r := io.MultiReader(strings.NewReader("id,x\n"), &repeat{row, size * 50})
	peak := uint64(0)
	job := Job{Stdin: r, Stdout: io.Discard, Columns: []Column{{Name: "id", Plan: p}}, Workers: 2,
		Progress: func(Progress) { peak = max(peak, heapInUse()) }}
	before := heapInUse()
	sum, err := Run(t.Context(), job)
	if err != nil || sum.Rows != int64(size*50*1000) {
		t.Fatal(sum, err)
	}
	if grown := int64(peak) - int64(before); grown > 32<<20 {
		t.Fatalf("the heap grew by %d MiB for %d MiB of input, want at most 32 MiB", grown>>20, sum.BytesIn>>20)
	}
}

// repeat is a reader of b, n times over.
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

// heapInUse returns the bytes of objects on the heap, those not yet collected included.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// canResume reports whether a run that ended with err can be resumed.
func canResume(err error) bool {
	_, ok := errors.AsType[*InterruptedError](err)
	return ok
}
