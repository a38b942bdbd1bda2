package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// startTurns is how often each program is started: a start is short, and the scheduler
// and the page cache move it by as much again.
const startTurns = 200

// Start measures how long a process takes from its start to its end, against an empty
// Go program that the same toolchain builds beforehand: `velonym version`, and a run of
// one row. All take turns. The command under test is the executable that runs this.
func Start(ctx context.Context, o Options) (_ *Section, err error) {
	dir, err := os.MkdirTemp("", "velonym-start-")
	if err != nil {
		return nil, fmt.Errorf("bench start: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &startBench{ctx: ctx, dir: dir}
	if b.velonym, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("bench start: %w", err)
	}
	empty, err := b.buildEmpty()
	if err != nil {
		return nil, err
	}
	row, err := b.prepareRow()
	if err != nil {
		return nil, err
	}
	turns := startTurns
	switch {
	case o.Rounds > 0:
		turns = o.Rounds
	case o.Quick:
		turns = 5
	}
	o.logf("%d turns of three programs", turns)
	stats, err := b.takeTurns(turns, []startCase{
		{"an empty Go program", []string{empty}},
		{"`velonym version`", []string{b.velonym, "version"}},
		{"`velonym run`, one row", row},
	})
	if err != nil {
		return nil, err
	}
	return &Section{
		Name: "start", Title: "Start-up", Command: "velonym bench start",
		Notes: []string{fmt.Sprintf("Milliseconds from the start of a process to its end, %d turns; less is better, in the ratios too. The empty program is `func main() {}`, built in the same run by the Go toolchain that is installed. The run takes the keystore's own project, one row of two columns from a file to a file, and records itself.", turns)},
		Rows: []Row{
			Plain(stats[0], "ms", 1),
			Against(stats[1], stats[0], "ms", 1, 0, 2),
			Against(stats[2], stats[0], "ms", 1, 0, 3),
		},
	}, nil
}

// startBench is where the programs and their files stand.
type startBench struct {
	ctx     context.Context
	dir     string
	velonym string
}

// startCase is a program with its arguments.
type startCase struct {
	name string
	args []string
}

// buildEmpty builds the program that does nothing and returns its path.
func (b *startBench) buildEmpty() (string, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("bench start: the empty program is built with the Go toolchain: put go on the PATH: %w", err)
	}
	source := filepath.Join(b.dir, "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return "", fmt.Errorf("bench start: %w", err)
	}
	out := filepath.Join(b.dir, "empty")
	cmd := exec.CommandContext(b.ctx, compiler, "build", "-o", out, source)
	cmd.Dir = b.dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench start: build the empty program: %w: %s", err, bytes.TrimSpace(text))
	}
	return out, nil
}

// prepareRow makes a keystore with a project and returns the run of one row under it.
func (b *startBench) prepareRow() ([]string, error) {
	store := filepath.Join(b.dir, "store")
	for _, args := range [][]string{
		{"init", "--dir", store},
		{"project", "create", "start", "--retention", "90d", "--dir", store},
	} {
		if _, err := b.start(append([]string{b.velonym}, args...)); err != nil {
			return nil, err
		}
	}
	in := filepath.Join(b.dir, "row.csv")
	if err := os.WriteFile(in, []byte("id,name\n1973080520045,a\n"), 0o600); err != nil {
		return nil, fmt.Errorf("bench start: %w", err)
	}
	out := filepath.Join(b.dir, "out.csv")
	return []string{b.velonym, "run", "--dir", store, "--project", "start", "--column", "id", "--force", "--quiet", "-o", out, in}, nil
}

// start runs a program and returns how long it took.
func (b *startBench) start(args []string) (time.Duration, error) {
	cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
	var text bytes.Buffer
	cmd.Stderr = &text
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("bench start: %s: %w: %s", strings.Join(args[1:], " "), err, bytes.TrimSpace(text.Bytes()))
	}
	return took, nil
}

// takeTurns starts the programs in turn, after one turn that is not counted; the rates
// of the result are milliseconds.
func (b *startBench) takeTurns(turns int, cases []startCase) ([]Stat, error) {
	stats := make([]Stat, len(cases))
	for turn := -1; turn < turns; turn++ {
		for i, c := range cases {
			took, err := b.start(c.args)
			if err != nil {
				return nil, err
			}
			if turn >= 0 {
				stats[i].Rates = append(stats[i].Rates, float64(took.Microseconds())/1e3)
			}
		}
	}
	for i := range stats {
		s := &stats[i]
		s.Name = cases[i].name
		sorted := append([]float64(nil), s.Rates...)
		sort.Float64s(sorted)
		s.Min, s.Median, s.Max = sorted[0], median(sorted), sorted[len(sorted)-1]
	}
	return stats, nil
}
