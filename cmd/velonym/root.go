package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/internal/panics"
	"github.com/velonym/velonym/internal/simd"
)

// usageError marks a mistake in the command line. It gives exit status 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// globals holds the flags that every verb takes, and the state of one command line.
type globals struct {
	dir       string
	keystore  string
	masterKey string
	tlsRoot   string
	kernel    string
	warn      func(string) // prints a warning
	keyWarned bool         // the warning about a weak source of the master key was printed
	started   bool         // cobra accepted the command line: later errors are not usage errors by default
	helpErr   error        // help was requested for an unknown verb
}

// run executes one command line and returns its exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	g := &globals{}
	root := newRoot(g, args)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root, refuseTokens(args)
	if err == nil {
		cmd, err = execute(ctx, root)
	}
	if err == nil {
		err = g.helpErr
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "velonym: %s\n", redact(strings.TrimPrefix(err.Error(), "velonym: "), args))
	var usage usageError
	if errors.As(err, &usage) || !g.started {
		fmt.Fprintf(stderr, "Run '%s --help'.\n", cmd.CommandPath())
		return 2
	}
	return 1
}

// execute runs the command and turns a panic into an error that shows no value. Deferred
// calls of the command have run by then.
func execute(ctx context.Context, root *cobra.Command) (cmd *cobra.Command, err error) {
	cmd = root
	defer panics.Recover(&err)
	return root.ExecuteContextC(ctx)
}

// verbs builds each verb, by its name.
var verbs = []struct {
	name  string
	build func(*globals) *cobra.Command
}{
	{"init", newInit}, {"project", newProject}, {"key", newKey}, {"token", newToken}, {"profile", newProfile}, {"run", newRun},
	{"rekey", newRekey}, {"pseudonym", newPseudonym}, {"serve", newServe}, {"backup", newBackup}, {"restore", newRestore},
	{"receipt", newReceipt}, {"bench", newBench}, {"audit", newAudit}, {"doctor", newDoctor}, {"selftest", newSelftest},
	{"version", newVersion},
}

// addVerbs adds the verb that a command line begins with, and every verb if it begins
// with none: building all of them takes longer than some verbs.
func addVerbs(root *cobra.Command, g *globals, args []string) {
	if len(args) > 0 {
		for _, v := range verbs {
			if v.name == args[0] {
				root.AddCommand(v.build(g))
				return
			}
		}
	}
	for _, v := range verbs {
		root.AddCommand(v.build(g))
	}
}

// newRoot builds the command tree for a command line; nil gives the whole tree.
func newRoot(g *globals, args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "velonym",
		Short: "Replace identifiers by pseudonyms, in bulk, under a signed token",
		Long: `Velonym replaces identifiers by pseudonyms, in bulk, under the rules that a
signed token carries.

  velonym init                                     keystore and keys in --dir
  velonym project create NAME --retention 5y       a project and its key domain
  velonym token create --project NAME --op pseudonymise > token
  velonym run --token-file token --column id -o out.csv in.csv
  velonym serve                                    the same over HTTP

Data goes to standard output, everything else to standard error. Exit status:
0 done, 1 failed, 2 wrong usage.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr())
			_ = cmd.Help()
			return usagef("name a verb")
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			g.warn = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), "velonym: warning: "+text) }
			if err := g.useKernel(); err != nil {
				return err
			}
			g.started = true
			return nil
		},
	}
	root.SetFlagErrorFunc(didYouMean)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if verb, ok := unknownVerb(cmd, args); ok {
			g.helpErr = usagef("unknown command %q for %q", verb, cmd.CommandPath())
			return
		}
		help(cmd, args)
	})
	pf := root.PersistentFlags()
	placeVar(pf, &g.dir, "dir", "DIR", "folder of keystore and keys (env VELONYM_DIR; default $XDG_DATA_HOME/velonym or ~/.local/share/velonym)")
	placeVar(pf, &g.keystore, "keystore", "PLACE", "keystore: an SQLite file, postgres://… or host=… dbname=… (env VELONYM_KEYSTORE; default DIR/keystore.db)")
	placeVar(pf, &g.tlsRoot, "tls-root", "FILE", "authorities (PEM) that must have signed the certificate of a PostgreSQL keystore's server, which is checked then (env VELONYM_TLS_ROOT)")
	placeVar(pf, &g.masterKey, "master-key", "SOURCE", "master key: a 0600 file, exec:COMMAND or env:NAME, which is weaker (env VELONYM_MASTER_KEY; default DIR/master.key)")
	pf.StringVar(&g.kernel, "kernel", os.Getenv("VELONYM_KERNEL"), "force a `TIER` of kernels: auto, avx512, avx2, arm64, generic (env VELONYM_KERNEL)")
	root.SetHelpCommand(&cobra.Command{
		Use:     "help [VERB]",
		Short:   "Help about a verb",
		Example: `  velonym help token create`,
		RunE: func(cmd *cobra.Command, args []string) error {
			verb, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("help: there is no verb %q", strings.Join(args, " "))
			}
			verb.InitDefaultHelpFlag()
			return verb.Help()
		},
	})
	addVerbs(root, g, args)
	return root
}

// unknownVerb returns the unknown verb of a request for help, such as
// 'velonym nonsense --help'. cmd is the last known verb of the command line.
func unknownVerb(cmd *cobra.Command, args []string) (string, bool) {
	if !cmd.HasSubCommands() {
		return "", false
	}
	if words := cmd.Flags().Args(); len(words) > 0 {
		return words[0], true
	}
	for i, arg := range args { // cobra does not parse what follows --help
		if (arg == "--help" || arg == "-h") && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			return args[i+1], true
		}
	}
	return "", false
}

// useKernel forces the requested tier for tokenizer and transforms.
func (g *globals) useKernel() error {
	name := g.kernel
	if name == "" {
		name = "auto"
	}
	if err := simd.Force(name); err != nil {
		return usagef("--kernel: %w", err)
	}
	return nil
}

// folder returns --dir, VELONYM_DIR or the default.
func (g *globals) folder() (string, error) {
	if dir := cmp.Or(g.dir, os.Getenv("VELONYM_DIR")); dir != "" {
		return dir, nil
	}
	base := os.Getenv("XDG_DATA_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", usagef("no home folder to keep keys in: name one with --dir or VELONYM_DIR")
		}
		base = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(base, "velonym"), nil
}

// inFolder returns the path of a file in --dir.
func (g *globals) inFolder(name string) (string, error) {
	dir, err := g.folder()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, name), nil
}
