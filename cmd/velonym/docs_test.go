package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/server"
)

// splitCommand splits a command line into words. It removes quotes and drops redirections,
// comments and the other commands of a pipe.
func splitCommand(line string) []string {
	var words []string
	for _, w := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(line, -1) {
		if strings.ContainsAny(w[:1], "<>|#&") {
			break
		}
		words = append(words, strings.Trim(w, `'"`))
	}
	return words
}

// checkCommandLine fails the test if a command line has an unknown verb or flag, or a value that a
// flag refuses.
func checkCommandLine(t *testing.T, where, line string) {
	t.Helper()
	words := splitCommand(line)
	if len(words) == 0 || words[0] != "velonym" {
		t.Errorf("%s: %s does not begin with velonym", where, line)
		return
	}
	root := newRoot(&globals{}, nil)
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(words[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && !cmd.HasSubCommands() {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("%s: %s: %v", where, line, err)
	}
}

// TestExamples checks that every verb has a short text, and examples that parse.
func TestExamples(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s has no short text", c.CommandPath())
		}
		if c.Example == "" && c.HasParent() {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, line := range strings.Split(c.Example, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				checkCommandLine(t, c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&globals{}, nil))
	for _, line := range strings.Split(newRoot(&globals{}, nil).Long, "\n") {
		if line, ok := strings.CutPrefix(line, "  velonym"); ok {
			call, _, _ := strings.Cut("velonym"+line, "   ")
			checkCommandLine(t, "velonym help", call)
		}
	}
}

// TestDocuments checks that the commands in the documents parse, and that the files that
// they name exist.
func TestDocuments(t *testing.T) {
	top := filepath.Join("..", "..")
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/operations.md"} {
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		joined := strings.ReplaceAll(string(text), "\\\n", " ")
		calls := 0
		for _, line := range strings.Split(joined, "\n") {
			if line, ok := strings.CutPrefix(line, "$ "); ok {
				if _, behind, ok := strings.Cut(line, "| "); ok {
					line = behind
				}
				if strings.HasPrefix(line, "velonym ") {
					calls++
					checkCommandLine(t, name, line)
				}
			}
		}
		if name == "README.md" && calls < 5 {
			t.Errorf("README.md: only %d commands found", calls)
		}
		links := regexp.MustCompile("\\]\\(([^)#:]+)\\)|`((?:cmd|engine|csvfast|internal|server|bench|testdata|deploy|\\.ci)/[A-Za-z0-9_./-]+)`")
		for _, m := range links.FindAllStringSubmatch(joined, -1) {
			file := filepath.Join(filepath.Dir(name), m[1]) // a link goes from its document
			if m[2] != "" {
				file = m[2]
			}
			if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(file))); err != nil {
				t.Errorf("%s names %s, which does not exist", name, file)
			}
		}
	}
}

// TestMemoryFormula checks that README, deploy and help state the server's memory by the
// formula of the program, and its value with the defaults.
func TestMemoryFormula(t *testing.T) {
	const formula = "9/8 × --max-in-flight-bytes + 48 KiB × --max-connections + 96 MiB"
	const value = "2592 MiB"
	if got := (server.Config{}).MemoryBound(); got != 2592<<20 {
		t.Errorf("with the defaults the bound is %d MiB, want 2592", got>>20)
	}
	for _, c := range [][2]int64{{64 << 20, 64}, {1 << 30, 100}} {
		want := c[0] + c[0]/8 + 48<<10*c[1] + 96<<20
		if got := (server.Config{MaxInFlight: c[0], MaxConns: int(c[1])}).MemoryBound(); got != want {
			t.Errorf("%v: the bound is %d, want %d by the formula", c, got, want)
		}
	}
	flat := func(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "`", "")), " ") }
	help := newServe(&globals{}).Long
	for name, text := range map[string]string{"README.md": "", "deploy/README.md": "", "serve --help": help} {
		if text == "" {
			b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
			if !strings.Contains(flat(text), value) {
				t.Errorf("%s does not contain %s", name, value)
			}
		}
		if !strings.Contains(flat(text), formula) {
			t.Errorf("%s does not contain %s", name, formula)
		}
	}
	for _, file := range []string{"velonym.service", "Dockerfile"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "GOMEMLIMIT") || !strings.Contains(string(b), value) {
			t.Errorf("deploy/%s sets a limit of its own, or does not name %s", file, value)
		}
	}
}
