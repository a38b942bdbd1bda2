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

// startRounds is how often each program is started. It is large because scheduler and page
// cache can double the duration of a short process.
const startRounds = 200

// Start measures the duration of two short processes, `velonym version` and a run of one
// row, against an empty Go program that it builds first. The command under test is the
// current executable.
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
	rounds := startRounds
	switch {
	case o.Rounds > 0:
		rounds = o.Rounds
	case o.Quick:
		rounds = 5
	}
	o.logf("%d rounds of three programs", rounds)
	stats, err := b.interleave(rounds, []startCase{
		{"an empty Go program", []string{empty}},
		{"`velonym version`", []string{b.velonym, "version"}},
		{"`velonym run`, one row", row},
	})
	if err != nil {
		return nil, err
	}
	return &Section{
		Name: "start", Title: "Start-up", Command: "velonym bench start",
		Notes: []string{fmt.Sprintf("Milliseconds from the start of a process to its end, %d rounds; less is better, in the ratios too. The empty program is `func main() {}`, built by the installed Go toolchain. The run pseudonymises one row of two columns from a file to a file with --project, and writes its audit record.", rounds)},
		Rows: []Row{
			Plain(stats[0], "ms", 1),
			Against(stats[1], stats[0], "ms", 1, 0, 2),
			Against(stats[2], stats[0], "ms", 1, 0, 3),
		},
	}, nil
}

// startBench holds the paths of the programs and their files.
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

// buildEmpty builds the empty program and returns its path.
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

// prepareRow creates a keystore with a project, and returns the command line of a run of
// one row.
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

// start runs a program and returns its duration.
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

// interleave runs every program once per round, after a warm-up round. The rates of its
// results are durations in milliseconds.
func (b *startBench) interleave(rounds int, cases []startCase) ([]Stat, error) {
	stats := make([]Stat, len(cases))
	for round := -1; round < rounds; round++ {
		for i, c := range cases {
			took, err := b.start(c.args)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
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
