package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
)

// Machine describes the machine and the build that measured a section.
type Machine struct {
	Date   string // UTC, to the minute
	Commit string // of the build, with "+" if the tree was modified
	Go     string
	OS     string
	CPU    string
	Cores  int
}

// Here describes the current machine and build.
func Here() Machine {
	m := Machine{
		Date: time.Now().UTC().Format("2006-01-02 15:04"), Commit: "unknown",
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: cpuid.CPU.BrandName, Cores: runtime.NumCPU(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		dirty := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				m.Commit = s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+"
			}
		}
		m.Commit += dirty
	}
	return m
}

// sections lists the names of all sections in the order of the report.
var sections = []string{"engine", "tokenizer", "run", "http", "start", "constant-time"}

// Save sets s.Machine and writes s to dir/NAME.json. It replaces the file atomically.
func (s *Section) Save(dir string) error {
	s.Machine = Here()
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("bench: %s: %w", s.Name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("bench: results folder: %w", err)
	}
	return replaceFile(filepath.Join(dir, s.Name+".json"), append(data, '\n'))
}

// Report writes the saved sections of dir as one Markdown document. For a missing section
// it writes the command that measures it.
func Report(dir string, w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Benchmarks

Written by ` + "`velonym bench report`" + ` from the results that ` + "`make bench`" + ` measures; no figure here is typed by hand.
Each table is one run: all contenders take turns in every round, rates are medians of the rounds, and a ratio is the
median of the rounds' ratios, so it holds on a machine whose speed drifts. Absolute rates are for orientation.
"floor" is the least that the project accepts of itself, "aim" what it works towards.

`)
	for _, name := range sections {
		data, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(&b, "## %s\n\nNot measured yet: run `velonym bench %s`.\n\n", name, name)
			continue
		}
		if err != nil {
			return fmt.Errorf("bench: results: %w", err)
		}
		var s Section
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("bench: results %s: %w: measure it again with 'velonym bench %s'", name, err, name)
		}
		if err := s.Markdown(&b); err != nil {
			return err
		}
		m := s.Machine
		fmt.Fprintf(&b, "Measured %s UTC, commit %s, %s, %s, %s, %d cores.\n\n", m.Date, m.Commit, m.Go, m.OS, m.CPU, m.Cores)
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

// replaceFile writes data to a temporary file in the same folder and renames it to path.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
