package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/bench"
)

func newBench(*globals) *cobra.Command {
	var o bench.Options
	var results string
	cmd := &cobra.Command{
		Use:     "bench",
		Example: "  velonym bench run\n  velonym bench report > BENCHMARKS.md",
		Short:   "Benchmarks against other programs and hardware limits on this machine",
		Args:    cobra.NoArgs,
		RunE:    needVerb,
	}
	pf := cmd.PersistentFlags()
	pf.StringVar(&results, "results", "bench/results", "folder for the figures of the report")
	pf.IntVar(&o.Rounds, "rounds", 0, "rounds; in each round every contender runs once (default 7)")
	sizeVar(pf, &o.Size, "size", 0, "size of the generated input (default: depends on the benchmark)")
	pf.BoolVar(&o.Quick, "quick", false, "small inputs and few rounds, to check that the benchmark works; figures are printed, not saved")
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
		{"start", "Duration of version, and of a run of one row, against an empty Go program", bench.Start},
		{"constant-time", "Whether a kernel's time depends on its values: Welch's t between classes of values", bench.ConstantTime},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: b.name, Short: b.short, Args: cobra.NoArgs,
			Example: "  velonym bench " + b.name + "\n  velonym bench " + b.name + " --quick",
			RunE:    func(cmd *cobra.Command, _ []string) error { return measure(cmd, b.run, true) },
		})
	}
	cmd.AddCommand(newBenchHTTP(measure))
	cmd.AddCommand(&cobra.Command{
		Use: "report", Short: "Write the saved figures as one Markdown document to standard output", Args: cobra.NoArgs,
		Example: "  velonym bench report > BENCHMARKS.md",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(results); err != nil {
				return errors.Join(errors.New("bench report: no figures kept yet: run 'make bench', or name their folder with --results"), err)
			}
			return bench.Report(results, cmd.OutOrStdout())
		},
	})
	return cmd
}

// newBenchHTTP returns the verb `bench http`.
func newBenchHTTP(measure func(*cobra.Command, func(context.Context, bench.Options) (*bench.Section, error), bool) error) *cobra.Command {
	var (
		sizes     []int
		load      bench.Load
		tokenFile string
		soak      time.Duration
	)
	cmd := &cobra.Command{
		Use: "http", Short: "The server against a plain fasthttp service and an echo, or a load of a running server", Args: cobra.NoArgs,
		Long: `Without --url it measures this server, a plain fasthttp service and an echo in turn,
each on one core with the client on another, in values a second of the server's CPU time.

With --url and --token-file it loads a running server with pseudonymising calls for
--duration, and prints calls and values a second, latencies, and the number of answers
by status. It sends the token to that server only.`,
		Example: `  velonym bench http
  velonym bench http --url http://127.0.0.1:8080 --token-file token --values 1000 --duration 30s
  velonym bench http --soak 10m`,
	}
	fl := cmd.Flags()
	fl.IntSliceVar(&sizes, "values", nil, "values a call: with --url one number (default 100), else some of 1, 100, 10000 and 100000; such figures are printed, not saved")
	fl.StringVar(&load.URL, "url", "", "load a running server: https://host:port, http://host:port or unix:PATH")
	fl.StringVar(&tokenFile, "token-file", "", "with --url: file that holds the token, or - (default: env VELONYM_TOKEN)")
	fl.StringVar(&load.CA, "ca", "", "with --url: authorities to trust besides the system's (PEM)")
	fl.IntVar(&load.Conns, "connections", 16, "with --url: concurrent calls")
	fl.DurationVar(&load.Duration, "duration", 10*time.Second, "with --url: length of the load, at most 1h")
	fl.Int64Var(&load.Calls, "calls", 0, "with --url: stop after this number of calls")
	fl.Float64Var(&load.Rate, "rate", 0, "with --url or --soak: calls a second, each timed from when it was due (default: as fast as answers arrive; --soak: 200)")
	fl.DurationVar(&soak, "soak", 0, "instead, run a mixed load for this long and compare the server's memory after a tenth of it and at its end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case load.URL != "":
			return loadServer(cmd, load, sizes, tokenFile)
		case tokenFile != "":
			return usagef("bench http: --token-file needs --url")
		case soak != 0:
			return measure(cmd, func(ctx context.Context, o bench.Options) (*bench.Section, error) {
				return bench.HTTPSoak(ctx, o, soak, load.Rate)
			}, false)
		}
		return measure(cmd, func(ctx context.Context, o bench.Options) (*bench.Section, error) {
			return bench.HTTPSizes(ctx, o, sizes)
		}, len(sizes) == 0)
	}
	return cmd
}

// loadServer executes `bench http --url`.
func loadServer(cmd *cobra.Command, load bench.Load, sizes []int, tokenFile string) (err error) {
	switch len(sizes) {
	case 0:
	case 1:
		load.Values = sizes[0]
	default:
		return usagef("bench http: with --url give one number of values a call")
	}
	if load.Token, err = readToken(tokenFile, cmd.InOrStdin()); err != nil {
		return err
	}
	res, err := load.Run(cmd.Context())
	if err != nil {
		return err
	}
	if err := res.Print(cmd.OutOrStdout()); err != nil {
		return err
	}
	if res.Calls == 0 {
		return errors.New("bench http: no call was answered with 200")
	}
	return nil
}
