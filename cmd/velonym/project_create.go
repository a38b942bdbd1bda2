package main

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

const projectCreateLong = `Creates a project and a secret for each of its organisations (one, without a name, if
none is given). Method, policy and tag never change; a token may ask for another form.
When the retention ends, nothing uses the secrets any more. After the grace they are
destroyed: nobody can reverse the project's pseudonyms then. The grace gives time to
notice a wrong clock; --grace 0 omits it. SPAN is a number followed by y, mo, d, h or
min, counted from now, or a day, which ends with its last second in the time zone TZ. A
retention of less than a day needs --yes, or the project's name typed on a terminal.`

func newProjectCreate(g *globals) *cobra.Command {
	var p keys.Project
	var retention, grace, secretFile string
	var yes bool
	cmd := &cobra.Command{
		Use:   "create NAME --retention SPAN",
		Short: "Create a project and the key domains of its organisations",
		Long:  projectCreateLong,
		Example: `  velonym project create register --retention 5y
  velonym project create trial --retention 2031-01-31 --org north --org south --tag 128
  velonym project create links --method irreversible --form uuid`,
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
			var err error
			if p.Grace, err = parseGrace(grace); err != nil {
				return usagef("--grace: %w", err)
			}
			if err := checkProject(p); err != nil {
				return err
			}
			if !p.Retention.IsZero() && time.Until(p.Retention) < confirmWithin {
				if err := confirmEnd(cmd, yes, p, p.Retention); err != nil {
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
			err = g.recorded(cmd.Context(), ks, audit.Record{Op: "create", Project: p.Name}, func(*keyAct) error {
				return ks.CreateProject(cmd.Context(), p, secrets)
			})
			if err != nil {
				return err
			}
			p.Imported = len(secrets) > 0
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: %s\n", p.Name, summary(p))
			return nil
		},
	}
	f := cmd.Flags()
	f.Var(orgs{&p.Orgs}, "org", "an organisation with a key domain of its own (repeatable)")
	checkedVar(f, &p.Method, "method", spec.Reversible, "METHOD", "reversible or irreversible", oneOf(spec.Methods()...))
	checkedVar(f, &p.Policy, "policy", spec.Same, "POLICY", "same, different or document", oneOf(spec.Policies()...))
	formVar(f, &p.Form, spec.Pair62, "pair62, hex, b64u, b32, uuid, digits or fpe:ALPHABET (digits and fpe cannot tell a foreign pseudonym)")
	f.Var(&tagFlag{p: &p.Tag}, "tag", "bits of integrity: 0, 64 or 128")
	checkedVar(f, &retention, "retention", "", "SPAN", "how long until the keys are destroyed: 5y, 6mo, 90d, 2031-01-31 (reversible projects need one)", checkAhead)
	checkedVar(f, &grace, "grace", "7d", "SPAN", "how long after the retention's end the keys still exist, in use by nobody: 7d, 24h, or 0 to destroy them at once", func(s string) error { _, err := parseGrace(s); return err })
	f.BoolVar(&yes, "yes", false, "do not ask about a retention of less than a day")
	checkedVar(f, &secretFile, "import-secret", "", "FILE", "secrets made elsewhere: 64 hex digits, one line per generation, oldest first", notEmpty)
	return cmd
}

// maxSecrets is the largest import file that is read, in bytes.
const maxSecrets = 64 << 10

// readSecrets reads an import file: 64 hex digits a line, one line for each generation.
// The caller wipes the secrets, also those returned with an error.
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
	secrets = make([][32]byte, 0, keys.MaxGenerations) // append must not leave copies behind
	var lines []int                                    // line numbers of the secrets
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
