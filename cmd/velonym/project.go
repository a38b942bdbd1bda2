package main

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/suite"
)

func newProject(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "project",
		Short: "Create, list, show, rotate, shorten and sever projects",
		Example: `  velonym project create register --retention 5y
  velonym project list`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newProjectCreate(g), newProjectList(g), newProjectShow(g), newProjectRotate(g), newProjectShorten(g), newProjectSever(g))
	return cmd
}

// checkProject judges a new project's choices as a token for it will be judged.
func checkProject(p keys.Project) error {
	if err := checkTogether(p.Method, p.Policy, p.Format, p.Tag); err != nil {
		return usagef("project create: --method %s, --policy %s, --format %s and --tag %d do not go together: %w", p.Method, p.Policy, p.Format, p.Tag, err)
	}
	if p.Method == "reversible" && p.Retention.IsZero() {
		return usagef("project create: a reversible project needs an end: give --retention, for example 5y")
	}
	for i, org := range p.Orgs {
		switch {
		case slices.Contains(p.Orgs[:i], org):
			return usagef("project create: --org %q is given twice", org)
		case org == "" && len(p.Orgs) > 1:
			return usagef("project create: one --org is empty: give each organisation a name, or none to a project without any")
		}
	}
	return nil
}

// checkTogether says why a method, policy, form and tag, each of them good by
// itself, make no transform.
func checkTogether(method, policy, form string, tag int) error {
	s := suite.Spec{Tag: tag, Gen: -1}
	var errs [4]error
	s.Method, errs[0] = suite.ParseMethod(method)
	s.Policy, errs[1] = suite.ParsePolicy(policy)
	s.Format, errs[2] = suite.ParseFormat(form)
	if err := errors.Join(errs[:]...); err != nil {
		return plain(err)
	}
	return plain(s.Validate())
}

// checkName judges the name of a project or an organisation.
func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("the name is empty")
	case len(s) > 255:
		return errors.New("a name has 255 bytes at most")
	case !utf8.ValidString(s):
		return errors.New("a name is UTF-8")
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("a name has no control characters, and none that cannot be seen")
	case strings.TrimSpace(s) != s:
		return errors.New("a name has no space at its ends")
	}
	return nil
}

// orgName judges the name of an organisation; the empty one stands for none.
func orgName(s string) error {
	if s == "" {
		return nil
	}
	return checkName(s)
}

// orgs is the repeatable flag --org.
type orgs struct{ p *[]string }

func (o orgs) String() string { return strings.Join(*o.p, ",") }
func (o orgs) Type() string   { return "ORG" }

func (o orgs) Set(s string) error {
	if err := orgName(s); err != nil {
		return err
	}
	*o.p = append(*o.p, s)
	return nil
}

func newProjectCreate(g *globals) *cobra.Command {
	var p keys.Project
	var retention, secretFile string
	var yes bool
	cmd := &cobra.Command{
		Use:   "create NAME --retention SPAN",
		Short: "A project and the key domains of its organisations",
		Long: `Makes a project and a secret for each of its organisations (one, without a name,
when none is given). The method, the policy and the tag are the project's for good;
a token may ask for another form. At the end of the retention the secrets are
destroyed, and what was pseudonymised can be reversed by nobody. SPAN is a number
with y, mo, d, h or min behind it, counted from now, or a day, which ends with its
last second where TZ says. A retention of less than a day wants --yes, or the
project's name typed on a terminal.`,
		Example: `  velonym project create register --retention 5y
  velonym project create trial --retention 2031-01-31 --org north --org south --tag 128
  velonym project create links --method irreversible --format uuid`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Name = args[0]
			if err := checkName(p.Name); err != nil {
				return usagef("project create: %w", err)
			}
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
			if !p.Retention.IsZero() && time.Until(p.Retention) < soon {
				if err := confirmEnd(cmd, yes, p.Name, p.Retention); err != nil {
					return err
				}
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
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := ks.CreateProject(cmd.Context(), p, secrets); err != nil {
				return err
			}
			p.Imported = len(secrets) > 0
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: %s\n", p.Name, summary(p))
			return nil
		},
	}
	f := cmd.Flags()
	f.Var(orgs{&p.Orgs}, "org", "an organisation with a key domain of its own (repeatable)")
	checkedVar(f, &p.Method, "method", "reversible", "METHOD", "reversible or irreversible", oneOf("reversible", "irreversible"))
	checkedVar(f, &p.Policy, "policy", "same", "POLICY", "same, different or document", oneOf("same", "different", "document"))
	checkedVar(f, &p.Format, "format", "pair62", "FORM", "pair62, hex, b64u, b32, uuid, digits or fpe:ALPHABET (digits and fpe cannot tell a foreign pseudonym)", checkForm)
	f.Var(&tagFlag{p: &p.Tag}, "tag", "bits of integrity: 0, 64 or 128")
	checkedVar(f, &retention, "retention", "", "SPAN", "how long until the keys are destroyed: 5y, 6mo, 90d, 2031-01-31 (reversible projects need one)", checkAhead)
	f.BoolVar(&yes, "yes", false, "do not ask about a retention of less than a day")
	checkedVar(f, &secretFile, "import-secret", "", "FILE", "secrets made elsewhere: 64 hex digits, one line per generation, oldest first", notEmpty)
	return cmd
}

// maxSecrets is the largest import file that is read, in bytes.
const maxSecrets = 64 << 10

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
	text := make([]byte, maxSecrets+1)
	defer clear(text)
	n, err := io.ReadFull(f, text)
	switch {
	case err == nil:
		return nil, fmt.Errorf("import-secret: %s is larger than %d KiB: write 64 hex digits a line", path, maxSecrets>>10)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("import-secret: %w", err)
	}
	secrets = make([][32]byte, 0, keys.MaxGenerations) // so that no copy is left behind
	var lines []int                                    // of the secrets
	number := 0
	for line := range bytes.Lines(text[:n]) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var s [32]byte
		if len(line) != 64 {
			return secrets, fmt.Errorf("import-secret: %s: line %d has %d characters: 64 hex digits are a secret", path, number, len(line))
		}
		if _, err := hex.Decode(s[:], line); err != nil {
			return secrets, fmt.Errorf("import-secret: %s: line %d holds something else than hex digits", path, number)
		}
		for i := range secrets {
			if subtle.ConstantTimeCompare(secrets[i][:], s[:]) == 1 {
				return secrets, fmt.Errorf("import-secret: %s: line %d holds the secret of line %d: every generation needs its own", path, number, lines[i])
			}
		}
		if len(secrets) == keys.MaxGenerations {
			return secrets, fmt.Errorf("import-secret: %s: line %d is one secret too many: a domain has %d generations at most", path, number, keys.MaxGenerations)
		}
		secrets, lines = append(secrets, s), append(lines, number)
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("import-secret: %s holds no secret: write 64 hex digits a line, one line per generation", path)
	}
	return secrets, nil
}

// summary says in one line what a project is.
func summary(p keys.Project) string {
	s := fmt.Sprintf("%s, policy %s, form %s, tag %d", p.Method, p.Policy, p.Format, p.Tag)
	if !p.Retention.IsZero() {
		s += ", keys destroyed on " + shown(p.Retention)
	}
	if p.Imported {
		s += ", secret imported"
	}
	if p.Severed {
		s += ", severed"
	}
	return s
}

// projectJSON is what `project list --json` and `project show --json` say of a
// project. No secret is in it.
type projectJSON struct {
	Name      string       `json:"name"`
	Method    string       `json:"method"`
	Policy    string       `json:"policy"`
	Format    string       `json:"format"`
	Tag       int          `json:"tag"`
	Orgs      []string     `json:"orgs"`      // "" alone for a project without any
	Retention *time.Time   `json:"retention"` // when the keys are destroyed; null: never
	Imported  bool         `json:"imported"`  // the first secrets came from outside
	Severed   bool         `json:"severed"`   // the keys are destroyed
	SeveredAt *time.Time   `json:"severed_at"`
	Created   time.Time    `json:"created"`
	Domains   []domainJSON `json:"domains,omitempty"` // show only
	// Receipts are what remains of destroyed keys, signed; show only.
	Receipts []keys.Receipt `json:"receipts,omitempty"`
}

type domainJSON struct {
	Org         string           `json:"org"`
	Generations []generationJSON `json:"generations"` // oldest first
}

type generationJSON struct {
	Gen       int        `json:"gen"`
	State     keys.State `json:"state"` // active, deactivated (only reverses) or destroyed
	Imported  bool       `json:"imported"`
	Created   time.Time  `json:"created"`
	Destroyed *time.Time `json:"destroyed"`
}

// orNull is t, or nothing for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func toJSON(p keys.Project) projectJSON {
	return projectJSON{Name: p.Name, Method: p.Method, Policy: p.Policy, Format: p.Format, Tag: p.Tag, Orgs: p.Orgs,
		Retention: orNull(p.Retention), Imported: p.Imported, Severed: p.Severed, SeveredAt: orNull(p.SeveredAt), Created: p.Created}
}

func newProjectList(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "All projects",
		Long: `Lists all projects by name, severed ones included. With --json it writes an array
of objects with the members that 'velonym project show --help' describes, without
domains and receipts.`,
		Example: `  velonym project list
  velonym project list --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			all, err := ks.Projects(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				list := make([]projectJSON, len(all))
				for i, p := range all {
					list[i] = toJSON(p)
				}
				return printJSON(cmd.OutOrStdout(), list)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tMETHOD\tPOLICY\tFORM\tTAG\tORGS\tKEYS UNTIL\tSTATE")
			for _, p := range all {
				until, state := "-", "alive"
				if !p.Retention.IsZero() {
					until = p.Retention.Local().Format(time.DateOnly)
				}
				if p.Severed {
					state = "severed"
				}
				if p.Imported {
					state += ", secret imported"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", p.Name, p.Method, p.Policy, p.Format, p.Tag, orDash(strings.Join(p.Orgs, " ")), until, state)
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
		Long: `Shows a project and the generations of its key domains, never a secret. With --json
it writes one object:

  name, method, policy, format, tag   as at its making
  orgs            its organisations; [""] for a project without any
  retention       when the keys are destroyed, RFC 3339; null: never
  imported        true when its first secrets came from outside
  severed         true when the keys are destroyed; severed_at says since when
  created         when it was made
  domains         [{org, generations: [{gen, state, imported, created, destroyed}]}],
                  where state is active, deactivated (only reverses) or destroyed
  receipts        the signed receipts of destroyed keys, if there are any`,
		Example: `  velonym project show register
  velonym project show register --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openSwept(cmd)
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
				doc := toJSON(p)
				for _, org := range p.Orgs {
					d := domainJSON{Org: org, Generations: []generationJSON{}}
					for _, gen := range gens[org] {
						d.Generations = append(d.Generations, generationJSON{gen.Gen, gen.State, gen.Imported, gen.Created, orNull(gen.Destroyed)})
					}
					doc.Domains = append(doc.Domains, d)
				}
				if doc.Receipts, err = ks.Receipts(cmd.Context(), args[0]); err != nil {
					return err
				}
				return printJSON(out, doc)
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
		Long: `Makes a new secret for every key domain of a project, in use from now on, in running
servers within a second. Those before it only reverse. A domain has 12 generations
in its life.`,
		Example: `  velonym project rotate register`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			if err := ks.Rotate(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: a new generation is active\n", args[0])
			return nil
		},
	}
}

func newProjectShorten(g *globals) *cobra.Command {
	var retention string
	var yes bool
	cmd := &cobra.Command{
		Use:   "shorten NAME --retention SPAN --yes",
		Short: "An earlier end of retention; it can never be extended",
		Long: `Brings the day forward on which a project's keys are destroyed. It can never be put
off again, so the new end is said first, and --yes, or the project's name typed on a
terminal, is wanted. SPAN is a number with y, mo, d, h or min behind it, counted from
now, or a day, which ends with its last second where TZ says. To destroy the keys
now, use 'velonym project sever'.`,
		Example: `  velonym project shorten register --retention 90d --yes`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if retention == "" {
				return usagef("project shorten: give the new end with --retention, for example 90d")
			}
			until, err := parseSpan(retention, time.Now())
			if err != nil {
				return usagef("--retention: %w", err)
			}
			until = until.UTC().Truncate(time.Second)
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			p, err := ks.Project(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			// What Shorten refuses anyway is not asked about.
			if !p.Severed && (p.Retention.IsZero() || !until.After(p.Retention)) {
				if err := confirmEnd(cmd, yes, p.Name, until); err != nil {
					return err
				}
			}
			if err := ks.Shorten(cmd.Context(), args[0], until); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: keys destroyed on %s\n", args[0], shown(until))
			return nil
		},
	}
	checkedVar(cmd.Flags(), &retention, "retention", "", "SPAN", "the new end, from now: 90d, 6mo, 2030-01-31", func(s string) error {
		until, err := parseSpan(s, time.Now())
		if err == nil && !until.Truncate(time.Second).After(time.Now()) {
			err = errors.New("that is not in the future: to destroy the keys now, use 'velonym project sever'")
		}
		return err
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "the end is meant; without it the project's name is asked for, on a terminal")
	return cmd
}

func newProjectSever(g *globals) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "sever NAME --yes",
		Short: "Destroy a project's keys for good; the signed receipt goes to standard output",
		Long: `Destroys the keys of a project now. What was pseudonymised with them can be reversed
by nobody from then on, whatever keys they hold. The signed receipt goes to standard
output, and is kept: 'velonym project show NAME --json' shows it again.`,
		Example: `  velonym project sever register --yes > receipt.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usagef("project sever: this destroys the keys of %s for good, and no backup of the master key brings them back: say --yes", args[0])
			}
			ks, err := g.openSwept(cmd)
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
