package main

import (
	"errors"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// flagsInEngine lists the files whose texts may name flags.
var flagsInEngine = map[string]bool{
	"../../engine/audit/heads.go":            true, // a report for users of 'velonym audit verify'
	"../../engine/token/errors.go":           true, // details of the contract's answers
	"../../engine/keys/clock.go":             true, // only the operator can accept a clock
	"../../engine/keys/backup/tombstones.go": true, // only the operator can restore a keystore
	"../../engine/keys/postgres/postgres.go": true, // only the operator can name the authority
}

// TestEngineNamesNoFlags checks that no text in the packages below this command names a
// flag.
func TestEngineNamesNoFlags(t *testing.T) {
	simdtest.Alone(t)
	flags := map[string]bool{}
	var collect func(cmd *cobra.Command)
	collect = func(cmd *cobra.Command) {
		add := func(f *pflag.Flag) { flags["--"+f.Name] = true }
		cmd.Flags().VisitAll(add)
		cmd.PersistentFlags().VisitAll(add)
		for _, c := range cmd.Commands() {
			collect(c)
		}
	}
	collect(newRoot(&globals{}, nil))
	if !flags["--ragged"] || !flags["--keystore"] {
		t.Fatal("the list of flags lacks --ragged or --keystore")
	}
	named := regexp.MustCompile(`--[a-z][a-z-]*`)
	err := filepath.WalkDir("../../engine", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || flagsInEngine[filepath.ToSlash(path)] {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		var s scanner.Scanner
		s.Init(files.AddFile(path, -1, len(src)), src, nil, 0)
		for {
			pos, tok, lit := s.Scan()
			if tok == token.EOF {
				return nil
			}
			for _, name := range named.FindAllString(lit, -1) {
				if tok == token.STRING && flags[name] {
					t.Errorf("%s: a text names %s", files.Position(pos), name)
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRunErrorText checks that an error keeps its position and gets the remedy after its
// cause.
func TestRunErrorText(t *testing.T) {
	csv := errors.New("wrong number of fields")
	for _, c := range []struct {
		err  error
		want string
	}{
		{bulk.ErrNoRecipient, "run: --mapping needs a recipient to be sealed to: --mapping-recipient age1…"},
		{&bulk.Error{File: "a.csv", Line: 3, Err: &bulk.FieldCountError{Err: csv}},
			"a.csv: line 3: another number of fields than the first row has; --ragged lets such rows pass: wrong number of fields"},
		{&bulk.InterruptedError{Err: fmt.Errorf("a.csv: %w", &bulk.ExistsError{Path: "b"})},
			"a.csv: b: exists; --force overwrites it: file already exists; --resume goes on from here"},
		{&bulk.ResumeError{Err: fmt.Errorf("a.csv: %w since then", bulk.ErrChanged)},
			"a.csv: input has changed since then; without --resume the run starts from the beginning"},
		{bulk.ErrInterrupted, "interrupted"},
	} {
		worded := wordRunError(c.err)
		if worded.Error() != c.want || !errors.Is(worded, c.err) {
			t.Errorf("%v is worded %q, want %q", c.err, worded, c.want)
		}
	}
	if wordRunError(nil) != nil {
		t.Error("wordRunError(nil) is not nil")
	}
}
