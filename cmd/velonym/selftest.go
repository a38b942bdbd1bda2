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

// sureWriter keeps the first error of its writer, for those who print without
// looking.
type sureWriter struct {
	w   io.Writer
	err error
}

func (s *sureWriter) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

func newSelftest(*globals) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "selftest [--vectors FILE]",
		Short: "Known answers on every kernel that this CPU has; names the one chosen",
		Long: `Runs known answers of the transform suite on every kernel that this CPU has, and says
which one is in use. Exit status 1 when one answer is wrong: do not use the program
on this machine then.`,
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
			out := &sureWriter{w: cmd.OutOrStdout()}
			if err := errors.Join(suite.SelfTest(out, vectors), out.err); err != nil {
				return fmt.Errorf("selftest: %w", err)
			}
			return nil
		},
	}
	checkedVar(cmd.Flags(), &file, "vectors", "", "FILE", "a vector file instead of the built-in one", notEmpty)
	return cmd
}
