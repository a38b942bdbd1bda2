package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

func newProjectShorten(g *globals) *cobra.Command {
	var retention string
	var yes bool
	cmd := &cobra.Command{
		Use:   "shorten NAME --retention SPAN --yes",
		Short: "Bring the end of a retention forward; it can never be extended",
		Long: `Brings forward the day on which a project's keys are destroyed. That cannot be undone,
so the verb shows the new end first and needs --yes, or the project's name typed on a
terminal. SPAN is a number followed by y, mo, d, h or min, counted from now, or a day,
which ends with its last second in the time zone TZ. To destroy the keys now, use
'velonym project sever'.

Tokens that end before the new end stay valid. The verb names issued tokens that end
later: those of a reversible project are refused at once, since they promise the former
end, and others from the new end on.`,
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
			// Do not ask for confirmation of what Shorten refuses.
			if !p.Severed && (p.Retention.IsZero() || !until.After(p.Retention)) {
				if err := warnTokensCutShort(cmd, ks, p, until); err != nil {
					return err
				}
				if err := confirmEnd(cmd, yes, p, until); err != nil {
					return err
				}
			}
			err = g.recorded(cmd.Context(), ks, audit.Record{Op: "shorten", Project: args[0]}, func(*keyAct) error {
				err := ks.Shorten(cmd.Context(), args[0], until)
				if err == nil {
					err = g.appendTombstones(cmd.Context(), ks, map[string]time.Time{args[0]: until})
				}
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: %s\n", args[0], endText(until, p.Grace))
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

// maxNamed is the largest number of tokens that a message names.
const maxNamed = 20

// warnTokensCutShort names the issued tokens that end after the project's new end.
func warnTokensCutShort(cmd *cobra.Command, ks *keys.Keystore, p keys.Project, until time.Time) error {
	list, err := ks.IssuedTokens(cmd.Context(), keys.TokenFilter{Project: p.Name, After: until})
	if err != nil {
		return err
	}
	var refused, ended []string
	for _, t := range list {
		switch {
		case t.Revoked:
		case t.Project == p.Name && p.Method == spec.Reversible:
			refused = append(refused, printable(t.JTI))
		default:
			ended = append(ended, printable(t.JTI))
		}
	}
	for _, part := range []struct {
		jtis []string
		what string
	}{{refused, "refused at once"}, {ended, "refused from that end on"}} {
		n := len(part.jtis)
		if n == 0 {
			continue
		}
		more := ""
		if n > maxNamed {
			more = fmt.Sprintf(" and %d more ('velonym token list --project')", n-maxNamed)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "project %s: tokens that were to end later, and are %s: %s%s\n", p.Name, part.what, strings.Join(part.jtis[:min(n, maxNamed)], ", "), more)
	}
	return nil
}

func newProjectSever(g *globals) *cobra.Command {
	var yes, cancel bool
	var in string
	cmd := &cobra.Command{
		Use:   "sever NAME --yes | --in SPAN | --cancel",
		Short: "Destroy a project's keys for good; the signed receipt goes to standard output",
		Long: `Destroys the keys of a project now. Nobody can reverse its pseudonyms afterwards, not
even with the master key. The signed receipt goes to standard output and stays in the
keystore: 'velonym project show NAME --json' shows it again. With --in the project is
used until then, and its keys are destroyed when its grace after that is over; until
then --cancel cancels it.`,
		Example: `  velonym project sever register --yes > receipt.json
  velonym project sever register --in 30d
  velonym project sever register --cancel`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in != "" || cancel {
				return scheduleSever(g, cmd, args[0], in, yes, cancel)
			}
			if !yes {
				return usagef("project sever: this destroys the keys of %s for good, and no backup of the master key brings them back: say --yes", args[0])
			}
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			var receipt keys.Receipt
			err = g.recorded(cmd.Context(), ks, audit.Record{Op: "sever", Project: args[0]}, func(*keyAct) (err error) {
				receipt, err = ks.Sever(cmd.Context(), args[0])
				return err
			})
			if receipt.Project == "" {
				return err
			}
			warnAboutBackups(cmd.ErrOrStderr(), receipt)
			// The keys are destroyed and the receipt is valid, whatever failed after that.
			return errors.Join(err, printJSON(cmd.OutOrStdout(), receipt))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really, and now")
	cmd.Flags().BoolVar(&cancel, "cancel", false, "take back what --in ordered")
	checkedVar(cmd.Flags(), &in, "in", "", "SPAN", "not now but then: 30d, 6mo, 2030-01-31", checkAhead)
	return cmd
}

// scheduleSever schedules the severing of a project, or cancels it.
func scheduleSever(g *globals, cmd *cobra.Command, name, in string, yes, cancel bool) error {
	if yes || in != "" && cancel {
		return usagef("project sever: give one of --yes, --in and --cancel")
	}
	var at time.Time
	if in != "" {
		var err error
		if at, err = parseSpan(in, time.Now()); err != nil {
			return usagef("--in: %w", err)
		}
		at = at.UTC().Add(time.Second - 1).Truncate(time.Second) // the store keeps whole seconds: never sooner than asked
	}
	ks, err := g.openSwept(cmd)
	if err != nil {
		return err
	}
	defer ks.Close()
	op := "schedule-sever"
	if cancel {
		op = "cancel-sever"
	}
	err = g.recorded(cmd.Context(), ks, audit.Record{Op: op, Project: name}, func(*keyAct) error {
		return ks.ScheduleSever(cmd.Context(), name, at)
	})
	if err != nil {
		return err
	}
	if cancel {
		fmt.Fprintf(cmd.ErrOrStderr(), "project %s: no longer to be severed\n", name)
		return nil
	}
	p, err := ks.Project(cmd.Context(), name)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "project %s: %s; 'velonym project sever %s --cancel' takes that back until then\n", name, endText(at, p.Grace), name)
	return nil
}

func newProjectRestore(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "restore NAME",
		Short: "Put a project that a scheduled severing ended back into use during its grace",
		Long: `Puts a project back into use that a severing scheduled by 'project sever --in' has
ended, until its retention ends. It works only during the grace, while the keys exist.
A retention that has ended is never extended, and nothing brings back keys that were
destroyed, by 'sever --yes' or after the grace.`,
		Example: `  velonym project restore register`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			err = g.recorded(cmd.Context(), ks, audit.Record{Op: "restore-project", Project: args[0]}, func(*keyAct) error {
				return ks.RestoreProject(cmd.Context(), args[0])
			})
			if errors.Is(err, keys.ErrScheduled) {
				return fmt.Errorf("%w: 'velonym project sever %s --cancel' takes it back", err, args[0])
			}
			if err != nil {
				return err
			}
			p, err := ks.Project(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: in use again: %s\n", p.Name, summary(p))
			return nil
		},
	}
}
