package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
)

func newProjectRotate(g *globals) *cobra.Command {
	var every string
	cmd := &cobra.Command{
		Use:   "rotate NAME [--every SPAN]",
		Short: "Create a new key generation for every domain; the old one only reverses from now on",
		Long: `Creates a new secret for every key domain of a project. It is used from now on; running
servers follow within a second. Earlier generations only reverse. A domain has at most 12
generations; after them, move its pseudonyms to a successor project with secondary
tokens.

With --every the verb creates no generation now. A running server, or else the next
command that changes the keystore, creates one whenever the active generation reaches
that age. --every never stops that.`,
		Example: `  velonym project rotate register
  velonym project rotate register --every 90d`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			if every != "" {
				return rotateEvery(g, cmd, ks, args[0], every)
			}
			err = g.recorded(cmd.Context(), ks, audit.Record{Op: "rotate", Project: args[0]}, func(*keyAct) error {
				return ks.Rotate(cmd.Context(), args[0])
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "project %s: a new generation is active\n", args[0])
			return nil
		},
	}
	checkedVar(cmd.Flags(), &every, "every", "", "SPAN", "when the active generation is that old: 90d, 6mo; or never", func(s string) error { _, err := parseEvery(s); return err })
	return cmd
}

// parseEvery parses a span of time, or "never", which is 0.
func parseEvery(s string) (time.Duration, error) {
	if s == "never" {
		return 0, nil
	}
	every, err := parseGrace(s)
	switch {
	case err != nil:
		return 0, err
	case every < time.Hour:
		return 0, errors.New("an hour is the least; to end it, write never")
	}
	return every, nil
}

// rotateEvery starts or stops a project's rotation by age.
func rotateEvery(g *globals, cmd *cobra.Command, ks *keys.Keystore, name, span string) error {
	every, err := parseEvery(span)
	if err != nil {
		return usagef("--every: %w", err)
	}
	var next time.Time
	err = g.recorded(cmd.Context(), ks, audit.Record{Op: "rotate-every", Project: name}, func(*keyAct) (err error) {
		next, err = ks.RotateEvery(cmd.Context(), name, every)
		return err
	})
	if err != nil {
		return err
	}
	if every == 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "project %s: generations are no longer replaced by their age\n", name)
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "project %s: a new generation every %s, the next one on %s\n", name, spanText(every), localTime(next))
	return nil
}

func newProjectDestroyGeneration(g *globals) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "destroy-generation NAME GENERATION --yes",
		Short: "Destroy the keys of one generation for good; the signed receipt goes to standard output",
		Long: `Destroys the keys of one inactive generation in all domains of a project. Nobody can
reverse its pseudonyms afterwards; other generations are not affected. Move pseudonyms
that are still needed first, with 'velonym rekey'. The signed receipt goes to standard
output and stays in the keystore: 'velonym project show NAME --json' shows it again.`,
		Example: `  velonym project destroy-generation register 0 --yes > receipt.json`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			gen, err := strconv.Atoi(args[1])
			if err != nil || gen < 0 || gen >= keys.MaxGenerations {
				return usagef("project destroy-generation: a generation is a number from 0 to %d: 'velonym project show %s' lists them", keys.MaxGenerations-1, args[0])
			}
			if !yes {
				return usagef("project destroy-generation: this destroys the keys of generation %d of %s for good, and no backup of the master key brings them back: say --yes", gen, args[0])
			}
			ks, err := g.openSwept(cmd)
			if err != nil {
				return err
			}
			defer ks.Close()
			var receipt keys.Receipt
			err = g.recorded(cmd.Context(), ks, audit.Record{Op: "destroy-generation", Project: args[0]}, func(*keyAct) (err error) {
				receipt, err = ks.DestroyGeneration(cmd.Context(), args[0], gen)
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
	return cmd
}
