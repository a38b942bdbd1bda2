package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

func TestMain(m *testing.M) {
	testscript.Main(cleanup{m}, map[string]func(){"velonym": main})
}

// cleanup runs the tests, then stops servers and removes files that they share.
type cleanup struct{ *testing.M }

func (c cleanup) Run() int {
	defer pgtest.Stop()
	defer func() {
		if programDir != "" {
			os.RemoveAll(programDir)
		}
	}()
	if dir := memoryFolder(); dir != "" {
		defer os.RemoveAll(dir)
		if err := os.Setenv("TMPDIR", dir); err != nil {
			panic(err)
		}
	}
	// The tests must not touch the user's keystore.
	for _, name := range []string{"VELONYM_DIR", "VELONYM_KEYSTORE", "VELONYM_MASTER_KEY", "VELONYM_TOKEN"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	return c.M.Run()
}

// TestScriptsPostgres runs the scripts of testdata/postgres. $PG is the address of a new
// database for each script.
func TestScriptsPostgres(t *testing.T) {
	pgtest.Server(t)
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/postgres",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			address := pgtest.Database(t, "ENCODING 'UTF8'")
			env.Setenv("PG", address)
			env.Setenv("GORACE", quickExit)
			env.Setenv("VELONYM_DIR", filepath.Join(env.WorkDir, "keys"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": cmdStatus, "nowhere": cmdNowhere, "only": cmdOnly},
	})
}

// quickExit is a GORACE setting. By default the race detector waits for a second when a
// program ends.
const quickExit = "atexit_sleep_ms=20"

// update rewrites the expectations of `cmp` lines in the scripts.
var update = flag.Bool("update", false, "rewrite expected files in testdata/script")

// TestScripts runs the scripts of testdata/script, one for each behaviour, written as a
// user would type the commands. Every script starts in an empty folder. VELONYM_DIR names
// a folder that does not exist yet, and $REPO the repository's testdata.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	dir, files := scripts(t)
	testscript.Run(t, testscript.Params{
		Dir:           dir,
		Files:         files,
		Condition:     conditions,
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("VELONYM_DIR", filepath.Join(env.WorkDir, "keys"))
			env.Setenv("VELONYM_KERNEL", "")
			env.Setenv("GORACE", quickExit)
			env.Setenv("REPO", repo)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"bytes":              cmdBytes,
			"cmp-kernels":        cmdCmpKernels,
			"concat":             cmdConcat,
			"hangup":             cmdHangup,
			"issuer":             cmdIssuer,
			"jti":                cmdJTI,
			"head-key":           cmdHeadKey,
			"kernels":            cmdKernels,
			"kill-after-answers": cmdKillAfterAnswers,
			"lines":              cmdLines,
			"nowhere":            cmdNowhere,
			"only":               cmdOnly,
			"post":               cmdPost,
			"ready":              cmdReady,
			"repeat":             cmdRepeat,
			"same-value":         cmdSameValue,
			"sql":                cmdSQL,
			"token-env":          cmdTokenEnv,
			"usage":              cmdUsage,
			"status":             cmdStatus,
			"term-under-load":    cmdTermUnderLoad,
			"tmpfs":              cmdTmpfs,
			"tsa":                cmdTSA,
			"within":             cmdWithin,
			"within-file":        cmdWithinFile,
		},
	})
}

// scripts returns the folder of the scripts or, under the race detector, those in which
// something works in parallel: a server, or files of several chunks. What the others do in
// parallel the tests of engine/bulk cover.
func scripts(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = filepath.Join("testdata", "script")
	if !simdtest.Race() {
		return dir, nil
	}
	all, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if worksInParallel.Match(text) {
			files = append(files, path)
		}
	}
	if len(files) == 0 {
		t.Fatal("no script works in parallel: has the pattern lost its meaning?")
	}
	return "", files
}

// worksInParallel matches a script that starts a server, or a run with several workers.
var worksInParallel = regexp.MustCompile(`velonym (.* )?serve\b|--workers|--concurrency|run-parquet|repeat `)

// cmdBytes writes a text with Go escapes to a file: bytes FILE 'text\r\n'.
func cmdBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bytes FILE 'escaped text'")
	}
	var text string
	if _, err := fmt.Sscanf(`"`+args[1]+`"`, "%q", &text); err != nil {
		ts.Fatalf("bytes: %v", err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// cmdConcat concatenates files: concat OUT FILE ….
func cmdConcat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: concat OUT FILE …")
	}
	var all string
	for _, name := range args[1:] {
		all += ts.ReadFile(name)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(all), 0o600))
}

// cmdLines fails unless a file has N lines: lines FILE N.
func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	n := strings.Count(ts.ReadFile(args[0]), "\n")
	if fmt.Sprint(n) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], n, args[1])
	}
}

// cmdNowhere fails if one of the files contains a text: nowhere TEXT FILE …. The names
// stdout and stderr mean the output of the last command.
func cmdNowhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: nowhere TEXT FILE …")
	}
	for _, name := range args[1:] {
		if bytes.Contains([]byte(ts.ReadFile(name)), []byte(args[0])) {
			ts.Fatalf("%s contains %q", name, args[0])
		}
	}
}

// cmdOnly fails unless a folder contains exactly the given names: only DIR NAME ….
func cmdOnly(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: only DIR NAME …")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), strings.Join(args[1:], " "); got != want {
		ts.Fatalf("%s contains %s, want %s", args[0], got, want)
	}
}

// cmdStatus fails unless a command ends with exit status N: status N CMD ARG ….
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N CMD ARG …")
	}
	status := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Check(err)
		}
		status = exit.ExitCode()
	}
	if fmt.Sprint(status) != args[0] {
		ts.Fatalf("exit status %d, want %s", status, args[0])
	}
}
