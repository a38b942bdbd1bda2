package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/suite"
)

func newProject(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "project",
		Short: "Create, list, rotate, shorten and sever projects",
		Args:  cobra.NoArgs,
		RunE:  needVerb,
	}
	cmd.AddCommand(newProjectCreate(g), newProjectList(g), newProjectShow(g), newProjectRotate(g), newProjectShorten(g), newProjectSever(g))
	return cmd
}

// checkProject judges a new project's choices as a token for it will be judged.
func checkProject(p keys.Project) error {
	var s suite.Spec
	var err error
	if s.Method, err = suite.ParseMethod(p.Method); err != nil {
		return usagef("--method: %w", err)
	}
	if s.Policy, err = suite.ParsePolicy(p.Policy); err != nil {
		return usagef("--policy: %w", err)
	}
	if s.Format, err = suite.ParseFormat(p.Format); err != nil {
		return usagef("--format: %w", err)
	}
	s.Tag, s.Gen = p.Tag, -1
	if err := s.Validate(); err != nil {
		return usageError{err}
	}
	if s.Method == suite.Reversible && p.Retention.IsZero() {
		return usagef("project create: a reversible project needs an end: give --retention, for example 5y")
	}
	return nil
}

func newProjectCreate(g *globals) *cobra.Command {
	var p keys.Project
	var retention, secretFile string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "A project and the key domains of its organisations",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Name = args[0]
			if retention != "" {
				until, err := parseSpan(retention, time.Now())
				if err != nil {
					return usagef("--retention: %w", err)
				}
				p.Retention = until.UTC().Truncate(time.Second)
			}
			if err := checkProject(p); err != nil {
				return err
			}
			secrets, err := readSecrets(secretFile)
			defer func() {
				for i := range secrets {
					clear(secrets[i][:])
				}
			}()
			if err != nil {
				return err
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := ks.CreateProject(cmd.Context(), p, secrets); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: %s\n", p.Name, summary(p))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&p.Orgs, "org", nil, "an organisation with a key domain of its own (repeatable)")
	f.StringVar(&p.Method, "method", "reversible", "reversible or irreversible")
	f.StringVar(&p.Policy, "policy", "same", "same, different or document")
	f.StringVar(&p.Format, "format", "pair62", "pair62, hex, b64u, b32, uuid, digits or fpe:ALPHABET (digits and fpe cannot tell a foreign pseudonym)")
	f.IntVar(&p.Tag, "tag", 0, "bits of integrity: 0, 64 or 128")
	f.StringVar(&retention, "retention", "", "how long until the keys are destroyed: 5y, 90d, 2031-01-31 (reversible projects need one)")
	f.StringVar(&secretFile, "import-secret", "", "file of secrets made elsewhere: 64 hex digits, one line per generation, oldest first")
	return cmd
}

// readSecrets reads an import file: 64 hex digits a line, one line a generation.
func readSecrets(path string) (secrets [][32]byte, err error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("import-secret: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("import-secret: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("import-secret: %s can be read by others (mode %04o): make it 0600 first", path, info.Mode().Perm())
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		var s [32]byte
		if len(line) != 64 {
			return secrets, fmt.Errorf("import-secret: %s: line %d has %d characters: 64 hex digits are a secret", path, n, len(line))
		}
		if _, err := hex.Decode(s[:], []byte(line)); err != nil {
			return secrets, fmt.Errorf("import-secret: %s: line %d holds something else than hex digits", path, n)
		}
		secrets = append(secrets, s)
	}
	if err := lines.Err(); err != nil {
		return secrets, fmt.Errorf("import-secret: %w", err)
	}
	switch n := len(secrets); {
	case n == 0:
		return nil, fmt.Errorf("import-secret: %s holds no secret: write 64 hex digits a line, one line per generation", path)
	case n > 12:
		return secrets, fmt.Errorf("import-secret: %s holds %d secrets: a domain has 12 generations at most", path, n)
	}
	return secrets, nil
}

// summary says in one line what a project is.
func summary(p keys.Project) string {
	s := fmt.Sprintf("%s, policy %s, form %s, tag %d", p.Method, p.Policy, p.Format, p.Tag)
	if !p.Retention.IsZero() {
		s += ", keys destroyed on " + p.Retention.Format(time.RFC3339)
	}
	if p.Imported {
		s += ", secret imported"
	}
	if p.Severed {
		s += ", severed"
	}
	return s
}

func newProjectList(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "All projects",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			all, err := ks.Projects(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tMETHOD\tPOLICY\tFORM\tTAG\tORGS\tKEYS UNTIL\tSTATE")
			for _, p := range all {
				until, state := "-", "alive"
				if !p.Retention.IsZero() {
					until = p.Retention.Format(time.DateOnly)
				}
				if p.Imported {
					state = "alive, secret imported"
				}
				if p.Severed {
					state = "severed"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", p.Name, p.Method, p.Policy, p.Format, p.Tag, strings.Join(p.Orgs, " "), until, state)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func newProjectShow(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "One project and the generations of its key domains",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			p, err := ks.Project(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			gens, err := ks.Generations(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, map[string]any{"project": p, "generations": gens})
			}
			fmt.Fprintf(out, "%s: %s\n", p.Name, summary(p))
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ORG\tGENERATION\tSTATE\tCREATED\tDESTROYED")
			for _, org := range p.Orgs {
				for _, gen := range gens[org] {
					destroyed := "-"
					if !gen.Destroyed.IsZero() {
						destroyed = gen.Destroyed.Format(time.RFC3339)
					}
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", orDash(org), gen.Gen, gen.State, gen.Created.Format(time.RFC3339), destroyed)
				}
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// orDash shows the empty string.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newProjectRotate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate NAME",
		Short: "A new key generation for every domain; the old one only reverses from now on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			return ks.Rotate(cmd.Context(), args[0])
		},
	}
}

func newProjectShorten(g *globals) *cobra.Command {
	var retention string
	cmd := &cobra.Command{
		Use:   "shorten NAME --retention SPAN",
		Short: "An earlier end of retention; it can never be extended",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if retention == "" {
				return usagef("project shorten: give the new end with --retention, for example 90d")
			}
			until, err := parseSpan(retention, time.Now())
			if err != nil {
				return usagef("--retention: %w", err)
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			return ks.Shorten(cmd.Context(), args[0], until.UTC().Truncate(time.Second))
		},
	}
	cmd.Flags().StringVar(&retention, "retention", "", "the new end, from now: 90d, 2030-01-31")
	return cmd
}

func newProjectSever(g *globals) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "sever NAME --yes",
		Short: "Destroy a project's keys for good; the signed receipt goes to standard output",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usagef("project sever: this destroys the keys of %s for good, and no backup of the master key brings them back: say --yes", args[0])
			}
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			receipt, err := ks.Sever(cmd.Context(), args[0])
			if err != nil && !errors.Is(err, keys.ErrTraces) {
				return err
			}
			// With ErrTraces the keys are destroyed, and the receipt holds.
			return errors.Join(err, printJSON(cmd.OutOrStdout(), receipt))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really")
	return cmd
}
