package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/bench"
)

func newBench(*globals) *cobra.Command {
	var o bench.Options
	var results string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure against peers and rooflines on this machine",
		Args:  cobra.NoArgs,
		RunE:  needVerb,
	}
	pf := cmd.PersistentFlags()
	pf.StringVar(&results, "results", "bench/results", "folder that keeps the figures for the report")
	pf.IntVar(&o.Rounds, "rounds", 0, "rounds in which all contenders take turns (default 7)")
	pf.Int64Var(&o.Size, "size", 0, "bytes of generated input (default: the benchmark's own)")
	pf.BoolVar(&o.Quick, "quick", false, "small and short: does it work? Figures are printed, not kept")
	measure := func(cmd *cobra.Command, run func(context.Context, bench.Options) (*bench.Section, error), keep bool) error {
		o.Out = cmd.ErrOrStderr()
		s, err := run(cmd.Context(), o)
		if err != nil {
			return err
		}
		if keep && !o.Quick {
			if err := s.Save(results); err != nil {
				return err
			}
		}
		return s.Markdown(cmd.OutOrStdout())
	}
	for _, b := range []struct {
		name, short string
		run         func(context.Context, bench.Options) (*bench.Section, error)
	}{
		{"engine", "Transforms against the CPU's raw AES rate", bench.Engine},
		{"tokenizer", "CSV and JSON tokenizers against a bare read and the standard library", bench.Tokenizer},
		{"run", "Whole files against plain programs and a copy of the bytes", bench.Run},
		{"constant-time", "Does the time of a kernel tell of its values? Welch's t between classes of them", bench.ConstantTime},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: b.name, Short: b.short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return measure(cmd, b.run, true) },
		})
	}
	cmd.AddCommand(newBenchHTTP(measure))
	cmd.AddCommand(&cobra.Command{
		Use: "report", Short: "Join the kept figures into one Markdown document on standard output", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(results); err != nil {
				return errors.Join(errors.New("bench report: no figures kept yet: run 'make bench', or name their folder with --results"), err)
			}
			return bench.Report(results, cmd.OutOrStdout())
		},
	})
	return cmd
}

// newBenchHTTP is `velonym bench http`.
func newBenchHTTP(measure func(*cobra.Command, func(context.Context, bench.Options) (*bench.Section, error), bool) error) *cobra.Command {
	var sizes []int
	cmd := &cobra.Command{
		Use: "http", Short: "The server against a plain fasthttp service and an echo", Args: cobra.NoArgs,
	}
	fl := cmd.Flags()
	fl.IntSliceVar(&sizes, "values", nil, "measure only these numbers of values a call, of 1, 100, 10000 and 100000; figures are printed, not kept")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return measure(cmd, func(ctx context.Context, o bench.Options) (*bench.Section, error) {
			return bench.HTTPSizes(ctx, o, sizes)
		}, len(sizes) == 0)
	}
	return cmd
}
