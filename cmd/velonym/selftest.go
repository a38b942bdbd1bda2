package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/testdata"
)

// errWriter remembers the first error of its writer, because suite.SelfTest ignores
// errors of its prints.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(b []byte) (int, error) {
	n, err := e.w.Write(b)
	if e.err == nil {
		e.err = err
	}
	return n, err
}

func newSelftest(*globals) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "selftest [--vectors FILE]",
		Short: "Known-answer tests on every kernel that this CPU supports",
		Long: `Runs the known-answer tests of the transform suite on every kernel that this CPU
supports, and names the one in use. The exit status is 1 if an answer is wrong: do not
use the program on this machine then.`,
		Example: `  velonym selftest
  velonym --kernel generic selftest
  velonym selftest --vectors testdata/vectors/a256-1.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			vectors := testdata.A2561
			if file != "" {
				var err error
				if vectors, err = os.ReadFile(file); err != nil {
					return fmt.Errorf("selftest: %w", err)
				}
			}
			out := &errWriter{w: cmd.OutOrStdout()}
			if err := errors.Join(suite.SelfTest(out, vectors), out.err); err != nil {
				return fmt.Errorf("selftest: %w", err)
			}
			return nil
		},
	}
	checkedVar(cmd.Flags(), &file, "vectors", "", "FILE", "a vector file instead of the built-in one", notEmpty)
	return cmd
}
