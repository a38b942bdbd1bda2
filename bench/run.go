package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd"
)

// Run measures whole runs over files against the programs of baseline.go, in values per
// second, on one core unless a row says otherwise. Every contender reads a file and
// writes a file, on tmpfs if the system has it, so that the disk is not measured. All run
// in this process, with GOMAXPROCS set for each. Run checks the outputs before timing.
func Run(ctx context.Context, o Options) (*Section, error) {
	b := &runBench{ctx: ctx, o: o}
	defer b.close()
	if err := b.open(); err != nil {
		return nil, err
	}
	s := &Section{
		Name:    "run",
		Title:   "Whole files",
		Command: "velonym bench run",
		Notes: []string{"Files in the page cache (" + b.where + "), read whole and written to a new file, in this process with GOMAXPROCS 1 where not said otherwise. " +
			"`encoding/csv + AES + hex` reads and writes rows with the standard library and enciphers one block a value; " +
			"`chunked Go` cuts 1 MiB chunks at line feeds, so it is wrong on line feeds in quotes, and does the same; " +
			"`copy` copies as many bytes as a run reads. None of the three checks a value, and a run also estimates how many values differ. " +
			"`moved` reads what a run reads and writes as much as it writes, and nothing else: what the system takes for itself, " +
			"with two workers too, for it writes a file under one lock; of a file of one column that is most of a run, " +
			"so the floors of two workers, reverse and secondary are those of ten columns."},
	}
	for _, part := range []func(*Section) error{b.ids, b.table, b.ndjson, b.arrow, b.parquet, b.first} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := part(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// runBench holds the state that the parts of the benchmark share.
type runBench struct {
	ctx   context.Context
	o     Options
	dir   string
	where string
	plans []*suite.Plan
	keys  [2]*suite.Keys
}

var runSpec = suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}

func (b *runBench) open() (err error) {
	b.where = "tmpfs"
	if b.dir, err = os.MkdirTemp("/dev/shm", "velonym-bench-"); err != nil {
		b.where = "a folder for temporary files"
		if b.dir, err = os.MkdirTemp("", "velonym-bench-"); err != nil {
			return err
		}
	}
	for i := range b.keys {
		s := suite.Secret{Active: true}
		s.S[0] = byte(i)
		if b.keys[i], err = suite.NewKeys("bench", fmt.Sprint(i), []suite.Secret{s}); err != nil {
			return err
		}
	}
	return nil
}

func (b *runBench) close() {
	for _, p := range b.plans {
		p.Close()
	}
	for _, k := range b.keys {
		if k != nil {
			k.Release()
		}
	}
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// plan returns a plan that b.close closes.
func (b *runBench) plan(op spec.Op) (*suite.Plan, error) {
	var p *suite.Plan
	var err error
	if op == spec.Secondary {
		p, err = suite.NewSecondary(runSpec, b.keys[0], runSpec, b.keys[1])
	} else {
		p, err = suite.NewPlan(op, runSpec, b.keys[0])
	}
	if err == nil {
		b.plans = append(b.plans, p)
	}
	return p, err
}

// size returns the input size of a part in bytes.
func (b *runBench) size() int64 {
	switch {
	case b.o.Size > 0:
		return b.o.Size
	case b.o.Quick:
		return 1 << 20
	}
	return 64 << 20
}

// path returns the path of a file of the benchmark.
func (b *runBench) path(name string) string { return filepath.Join(b.dir, name) }

// removeOutput returns a function that removes a previous output, so that the next run
// does not pay for freeing its space.
func (b *runBench) removeOutput(out string) func() error {
	return func() error { return os.RemoveAll(b.path(out)) }
}

// withCores returns a function that calls f with GOMAXPROCS set to cores.
func withCores(cores int, f func() error) func() error {
	return func() error {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		return f()
	}
}

// job returns a run over one column of a file.
func (b *runBench) job(in, out, column string, p *suite.Plan, workers int) func() error {
	job := bulk.Job{Inputs: []string{b.path(in)}, Output: b.path(out), Force: true, Workers: workers,
		Columns: []bulk.Column{{Name: column, Plan: p}}}
	return withCores(workers, func() error {
		_, err := bulk.Run(b.ctx, job)
		return err
	})
}

// peer returns a contender that calls f on one core to read a file and write another.
func (b *runBench) peer(in, out string, f func(w io.Writer, r io.Reader) error) func() error {
	return withCores(1, func() error {
		r, err := os.Open(b.path(in))
		if err != nil {
			return err
		}
		defer r.Close()
		w, err := os.Create(b.path(out))
		if err != nil {
			return err
		}
		if err := f(w, r); err != nil {
			w.Close()
			return err
		}
		return w.Close()
	})
}

// copyFile copies r to w through a buffer: the least work that a run could do.
func copyFile(w io.Writer, r io.Reader) error {
	// The wrappers hide ReadFrom and WriteTo, which would copy within the kernel.
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	return err
}

// compare returns an error unless two files are equal.
func (b *runBench) compare(name, other string) error {
	x, err := os.ReadFile(b.path(name))
	if err != nil {
		return err
	}
	y, err := os.ReadFile(b.path(other))
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return fmt.Errorf("bench: run: %s and %s differ", name, other)
	}
	return nil
}

// checkLines returns an error unless a contender's output has as many lines as the input
// and differs from it.
func (b *runBench) checkLines(in, out string) error {
	x, err := os.ReadFile(b.path(in))
	if err != nil {
		return err
	}
	y, err := os.ReadFile(b.path(out))
	if err != nil {
		return err
	}
	if n, m := bytes.Count(x, []byte("\n")), bytes.Count(y, []byte("\n")); n != m || bytes.Equal(x, y) {
		return fmt.Errorf("bench: run: %s has %d lines for %d", out, m, n)
	}
	return nil
}

// move returns a contender that does only the input and output of a run: the workers read
// the file in, and write as many bytes to out as the file sizeOf has, in pieces and in
// any order.
func (b *runBench) move(in, sizeOf, out string, workers int) func() error {
	const piece = 64 << 10
	return withCores(workers, func() error {
		r, err := os.Open(b.path(in))
		if err != nil {
			return err
		}
		defer r.Close()
		from, err := r.Stat()
		if err != nil {
			return err
		}
		to, err := os.Stat(b.path(sizeOf))
		if err != nil {
			return err
		}
		w, err := os.Create(b.path(out))
		if err != nil {
			return err
		}
		pieces := max((from.Size()+piece-1)/piece, 1)
		size := (to.Size() + pieces - 1) / pieces
		var next atomic.Int64
		errs := make(chan error, workers)
		for range workers {
			go func() {
				buf, text := make([]byte, piece), bytes.Repeat([]byte{'x'}, int(size))
				for {
					i := next.Add(1) - 1
					if i >= pieces {
						errs <- nil
						return
					}
					if _, err := r.ReadAt(buf, i*piece); err != nil && err != io.EOF {
						errs <- err
						return
					}
					if _, err := w.WriteAt(text[:max(min(size, to.Size()-i*size), 0)], i*size); err != nil {
						errs <- err
						return
					}
				}
			}()
		}
		for range workers {
			err = errors.Join(err, <-errs)
		}
		return errors.Join(err, w.Close())
	})
}

// csvGoals holds floor and aim of a file against encoding/csv, against the chunked
// program, of two workers against one, and of reverse and secondary against forward.
type csvGoals struct{ std, chunked, two, back [2]float64 }

// csvPart measures one CSV file. Cases and rows are in one function because the rows
// refer to the cases by index.
func (b *runBench) csvPart(s *Section, label, in, column string, at, rows int, goals csvGoals) error {
	forward, err := b.plan(spec.Pseudonymise)
	if err != nil {
		return err
	}
	std, err := newBlockCipher()
	if err != nil {
		return err
	}
	velonym := b.job(in, "out.csv", column, forward, 1)
	cases := []Case{
		{Name: label, Ready: b.removeOutput("out.csv"), Run: velonym},
		{Name: label + ", encoding/csv + AES + hex", Ready: b.removeOutput("std.csv"), Run: b.peer(in, "std.csv", func(w io.Writer, r io.Reader) error { return stdCSV(w, r, at, std) })},
		{Name: label + ", chunked Go", Ready: b.removeOutput("chunked.csv"), Run: b.peer(in, "chunked.csv", func(w io.Writer, r io.Reader) error { return chunkedCSV(w, r, at, std) })},
		{Name: label + ", copy", Ready: b.removeOutput("copy.csv"), Run: b.peer(in, "copy.csv", copyFile)},
	}
	for _, c := range cases {
		if err := c.Run(); err != nil {
			return err
		}
	}
	for _, out := range []string{"out.csv", "std.csv", "chunked.csv"} {
		if err := b.checkLines(in, out); err != nil {
			return err
		}
	}
	reverse, err := b.plan(spec.Reverse)
	if err != nil {
		return err
	}
	secondary, err := b.plan(spec.Secondary)
	if err != nil {
		return err
	}
	if err := os.Rename(b.path("out.csv"), b.path("made.csv")); err != nil {
		return err
	}
	back := b.job("made.csv", "back.csv", column, reverse, 1)
	if err := back(); err != nil {
		return err
	}
	if err := b.compare(in, "back.csv"); err != nil {
		return err
	}
	cases = append(cases,
		Case{Name: label + ", 2 workers", Ready: b.removeOutput("two.csv"), Run: b.job(in, "two.csv", column, forward, 2)},
		Case{Name: label + ", reverse", Ready: b.removeOutput("back.csv"), Run: back},
		Case{Name: label + ", secondary", Ready: b.removeOutput("second.csv"), Run: b.job("made.csv", "second.csv", column, secondary, 1)},
		Case{Name: label + ", generic kernels", Ready: b.removeOutput("generic.csv"), Run: generic(b.job(in, "generic.csv", column, forward, 1))},
		Case{Name: label + ", moved", Ready: b.removeOutput("moved.csv"), Run: b.move(in, "made.csv", "moved.csv", 1)},
		Case{Name: label + ", moved by 2 workers", Ready: b.removeOutput("moved.csv"), Run: b.move(in, "made.csv", "moved.csv", 2)},
		Case{Name: label + ", secondary, moved", Ready: b.removeOutput("moved.csv"), Run: b.move("made.csv", "made.csv", "moved.csv", 1)})
	for i, out := range map[int]string{4: "two.csv", 7: "generic.csv"} {
		if err := cases[i].Run(); err != nil {
			return err
		}
		if err := b.compare(out, "made.csv"); err != nil {
			return err
		}
	}
	for i := range cases {
		cases[i].Amount = float64(rows)
	}
	st, err := Interleave(b.o.rounds(), cases)
	if err != nil {
		return err
	}
	const unit = "M values/s"
	s.Rows = append(s.Rows,
		Against(st[0], st[1], unit, 1e6, goals.std[0], goals.std[1]),
		Against(st[0], st[2], unit, 1e6, goals.chunked[0], goals.chunked[1]),
		Against(st[0], st[3], unit, 1e6, 0, 0),
		Against(st[0], st[8], unit, 1e6, 0, 0),
		Plain(st[1], unit, 1e6), Plain(st[2], unit, 1e6), Plain(st[3], unit, 1e6), Plain(st[8], unit, 1e6),
		Against(st[4], st[0], unit, 1e6, goals.two[0], goals.two[1]),
		Against(st[9], st[8], unit, 1e6, 0, 0),
		Against(st[5], st[0], unit, 1e6, goals.back[0], goals.back[1]),
		Against(st[6], st[0], unit, 1e6, goals.back[0], goals.back[1]),
		Against(st[10], st[8], unit, 1e6, 0, 0),
		Against(st[7], st[1], unit, 1e6, 2, 0))
	return nil
}

// generic returns a function that calls f with the portable kernels.
func generic(f func() error) func() error {
	return func() error {
		previous := simd.Kernel()
		if err := simd.Force("generic"); err != nil {
			return err
		}
		return errors.Join(f(), simd.Force(previous))
	}
}

// ids measures a file with one column of 13-digit identifiers.
func (b *runBench) ids(s *Section) error {
	b.o.logf("run: one column")
	data, err := Data("ids", b.size(), 1)
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path("ids.csv"), data, 0o600); err != nil {
		return err
	}
	rows := bytes.Count(data, []byte("\n")) - 1
	data = nil
	if err := b.csvPart(s, "one column", "ids.csv", "id", 0, rows, csvGoals{std: [2]float64{6, 9}, chunked: [2]float64{2.5, 3.7}}); err != nil {
		return err
	}
	forward, err := b.plan(spec.Pseudonymise)
	if err != nil {
		return err
	}
	peak, err := peakMemory(b.job("ids.csv", "out.csv", "id", forward, 2))
	if err != nil {
		return err
	}
	if peak > 0 {
		s.Rows = append(s.Rows, Row{Name: "peak memory of the process, 2 workers", Unit: "MiB", Median: peak, Min: peak, Max: peak,
			Note: "floor 128, aim 64; resident set while running, program and benchmark included"})
	}
	return nil
}

// table measures a file of ten columns with quotes, about 94 bytes a row, whose second
// column is replaced.
func (b *runBench) table(s *Section) error {
	b.o.logf("run: ten columns")
	data, rows := tenColumns(b.size())
	if err := os.WriteFile(b.path("ten.csv"), data, 0o600); err != nil {
		return err
	}
	return b.csvPart(s, "ten columns", "ten.csv", "id", 1, rows, csvGoals{std: [2]float64{6, 9}, chunked: [2]float64{1.7, 2.3}, two: [2]float64{1.6, 1.9}, back: [2]float64{0.8, 0.95}})
}

// tenColumns returns the file of table and its number of rows. No field contains a line
// feed, which the chunked program cannot handle.
func tenColumns(size int64) ([]byte, int) {
	r := rand.New(rand.NewPCG(5, 1))
	buf := bytes.NewBuffer(make([]byte, 0, size+1024))
	buf.WriteString("n,id,name,town,amount,date,state,remark,phone,code\n")
	rows := 0
	for int64(buf.Len()) < size {
		rows++
		remark := ""
		switch r.IntN(4) {
		case 0:
			remark = `"seen, again"`
		case 1:
			remark = `"the ""first"" dose"`
		case 2:
			remark = "planned"
		}
		fmt.Fprintf(buf, "%d,%013d,\"%s, %s\",%s,%d.%02d,2025-%02d-%02d,%s,%s,+352 %06d,%c%02d\n", rows, r.Int64N(1e13),
			familyName[r.IntN(len(familyName))], givenNames[r.IntN(len(givenNames))], towns[r.IntN(len(towns))],
			r.IntN(10000), r.IntN(100), 1+r.IntN(12), 1+r.IntN(28), states[r.IntN(len(states))], remark, r.IntN(1e6), 'A'+r.IntN(26), r.IntN(100))
	}
	return buf.Bytes(), rows
}

// first measures the time from the call to the first row of output, for 1,000 rows
// through pipes.
func (b *runBench) first(s *Section) error {
	data, err := Data("ids", 14_000, 1)
	if err != nil {
		return err
	}
	forward, err := b.plan(spec.Pseudonymise)
	if err != nil {
		return err
	}
	var times []float64
	for range b.o.rounds() {
		runtime.GC()
		w := &firstByte{start: time.Now()}
		if _, err := bulk.Run(b.ctx, bulk.Job{Stdin: bytes.NewReader(data), Stdout: w, Columns: []bulk.Column{{Name: "id", Plan: forward}}}); err != nil {
			return err
		}
		times = append(times, w.took.Seconds()*1e3)
	}
	lo, hi := times[0], times[0]
	for _, t := range times {
		lo, hi = min(lo, t), max(hi, t)
	}
	s.Rows = append(s.Rows, Row{Name: "1,000 rows, call to first row", Unit: "ms", Median: medianOf(times), Min: lo, Max: hi,
		Note: "floor 30, aim 15; the start of the process not included"})
	return nil
}

// firstByte records when the first row after the header is written.
type firstByte struct {
	start time.Time
	took  time.Duration
}

func (f *firstByte) Write(p []byte) (int, error) {
	if f.took == 0 && len(p) > 3 {
		f.took = time.Since(f.start)
	}
	return len(p), nil
}

// peakMemory returns the peak resident memory of this process during f in MiB, or 0 if
// the system does not report it.
func peakMemory(f func() error) (float64, error) {
	debug.FreeOSMemory()
	if os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) != nil {
		return 0, f()
	}
	if err := f(); err != nil {
		return 0, err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kib := 0.0
	fmt.Sscan(string(rest), &kib)
	return kib / 1024, nil
}
