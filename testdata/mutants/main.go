package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// testTimeout limits a test, since a mutant may make it endless. A test that times out
// kills its mutant.
const testTimeout = 3 * time.Minute

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run() error {
	check := flag.Bool("check", false, "only check that the texts of the lists occur in their files")
	build := flag.Bool("build", false, "only check that each mutant builds")
	only := flag.String("run", "", "only mutants whose name matches `REGEXP`")
	most := flag.Duration("for", 0, "start no further mutant after this time; the order then depends on the day")
	jobs := flag.Int("j", runtime.NumCPU(), "mutants to try concurrently")
	flag.Parse()
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if err := os.Chdir(root()); err != nil {
		return err
	}
	mutants, err := readLists(flag.Args(), match)
	if err != nil {
		return err
	}
	var faults []error
	for i := range mutants {
		if _, err := mutants[i].apply(); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 || *check {
		fmt.Printf("%d mutants, %d without their text\n", len(mutants), len(faults))
		return errors.Join(faults...)
	}
	tmp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if *build {
		return errors.Join(each(mutants, *jobs, func(i int) error { return builds(tmp, i, &mutants[i]) })...)
	}
	start := time.Now()
	if *most > 0 {
		day := uint64(start.Unix() / (24 * 60 * 60))
		rand.New(rand.NewPCG(day, 0)).Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
	}
	if err := errors.Join(baseline(mutants, *jobs)...); err != nil {
		return err
	}
	var tried atomic.Int64
	if err := errors.Join(each(mutants, *jobs, func(i int) error {
		if *most > 0 && time.Since(start) > *most {
			return nil
		}
		tried.Add(1)
		return try(tmp, i, &mutants[i])
	})...); err != nil {
		return err
	}
	fmt.Printf("%d of %d mutants tried, all killed, in %v\n", tried.Load(), len(mutants), time.Since(start).Round(time.Second))
	return nil
}

// root returns the folder of the module.
func root() string {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "."
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// readLists reads the named lists, or all of them, and returns the mutants whose name
// matches.
func readLists(selected []string, match *regexp.Regexp) ([]mutant, error) {
	names, err := filepath.Glob("testdata/mutants/*.txt")
	if err != nil {
		return nil, err
	}
	if len(selected) > 0 {
		names = names[:0]
		for _, name := range selected {
			names = append(names, "testdata/mutants/"+name+".txt")
		}
	}
	var all []mutant
	for _, name := range names {
		list, err := readList(name)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if match.MatchString(m.name) {
				all = append(all, m)
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no mutants in the lists")
	}
	return all, nil
}

// each calls f with every index of list, jobs of them concurrently, and returns the
// errors.
func each[T any](list []T, jobs int, f func(i int) error) []error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		slots = make(chan struct{}, jobs)
	)
	for i := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f(i); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}

// baseline runs the tests of the mutants on the unchanged code, where they must pass.
func baseline(mutants []mutant, jobs int) []error {
	var tests []string
	for _, m := range mutants {
		if !slices.Contains(tests, m.test) {
			tests = append(tests, m.test)
		}
	}
	return each(tests, jobs, func(i int) error { return passes(tests[i]) })
}

// passes returns an error unless a test of the unchanged code runs and passes.
func passes(test string) error {
	out, err := goTest(test, "")
	switch {
	case err != nil:
		return fmt.Errorf("go test %s fails without a mutant:\n%s", test, out)
	case bytes.Contains(out, []byte("no tests to run")) || bytes.Contains(out, []byte("no test files")):
		return fmt.Errorf("go test %s runs no test", test)
	}
	return nil
}

// overlay writes the changed file of a mutant, and returns the path of the overlay for go.
func overlay(tmp string, i int, m *mutant) (string, error) {
	text, err := m.apply()
	if err != nil {
		return "", err
	}
	changed := filepath.Join(tmp, fmt.Sprintf("%d%s", i, filepath.Ext(m.file)))
	at := filepath.Join(tmp, fmt.Sprintf("%d.json", i))
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", err
	}
	return at, errors.Join(os.WriteFile(changed, text, 0o600), os.WriteFile(at, list, 0o600))
}

// builds builds the package of a mutant.
func builds(tmp string, i int, m *mutant) error {
	overlay, err := overlay(tmp, i, m)
	if err != nil {
		return err
	}
	if out, err := exec.Command("go", "build", "-o", os.DevNull, "-overlay", overlay, "./"+filepath.Dir(m.file)).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: mutant %q does not build:\n%s", m.list, m.name, out)
	}
	return nil
}

// try runs the test of a mutant. It returns an error if the mutant survives or does not
// build.
func try(tmp string, i int, m *mutant) error {
	overlay, err := overlay(tmp, i, m)
	if err != nil {
		return err
	}
	out, err := goTest(m.test, overlay)
	switch {
	case err == nil:
		fmt.Printf("SURVIVED  %s: %s\n", m.list, m.name)
		return fmt.Errorf("%s: mutant %q survives go test %s", m.list, m.name, m.test)
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		return fmt.Errorf("%s: mutant %q does not build:\n%s", m.list, m.name, out)
	}
	fmt.Printf("killed    %s: %s\n", m.list, m.name)
	return nil
}

// goTest runs go test with the package and flags of an entry.
func goTest(test, overlay string) ([]byte, error) {
	args := []string{"test", "-count=1", "-failfast", "-vet=off"}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(append(args, "-timeout", testTimeout.String()), strings.Fields(test)...)...)
	return cmd.CombinedOutput()
}
