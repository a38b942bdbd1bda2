package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/keys"
)

func newKey(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage the master key, the issuer's keys, trusted issuers and the keystore's clock",
		Example: `  velonym key clock
  velonym key rewrap --new-master next.key --replace`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newKeyClock(g), newKeyRewrap(g), newKeyRotateIssuer(g), newKeyTrust(g), newKeyDistrust(g))
	return cmd
}

func newKeyClock(g *globals) *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:   "clock",
		Short: "Show the keystore's time and whether this machine's clock agrees",
		Long: fmt.Sprintf(`Keys are destroyed by the keystore's time, never by one machine's clock alone. That
is the latest time at which the keystore was used and, with PostgreSQL, the database's
clock. A machine whose clock differs from the database's by more than %d minutes, or is
more than %d minutes behind or %d days ahead of the latest use, neither destroys nor
uses keys (KEYSTORE_CLOCK). Time whose passing no machine observed, by its time since
boot or by uses at most %d minutes apart, is in doubt: it ends projects, but it destroys
no keys until the clock has run steadily for %d days. --accept confirms this machine's
clock and ends the doubt; destroyed keys stay destroyed. Exit status 1 when the clock is
refused.`,
			keys.ClockTolerance/time.Minute, keys.ClockTolerance/time.Minute, keys.ClockJump/(24*time.Hour),
			keys.ClockTolerance/time.Minute, keys.ClockSettled/(24*time.Hour)),
		Example: `  velonym key clock
  velonym key clock --accept`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ks, err := g.openKeystore(cmd.Context())
			if err != nil {
				return err
			}
			defer ks.Close()
			if accept {
				var now time.Time
				err := g.recorded(cmd.Context(), ks, audit.Record{Op: "accept-clock"}, func(*keyAct) (err error) {
					now, err = ks.AcceptClock(cmd.Context())
					return err
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "the keystore goes by this clock from now on: %s\n", now.UTC().Format(time.RFC3339))
				return nil
			}
			c, err := ks.Clock(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			sure, refused := c.Sure()
			_, err = fmt.Fprintf(out, "this machine  %s\ndatabase      %s\nlast use      %s\ndestroys by   %s\nagrees        %s\n", clockTime(c.Local), clockTime(c.Store), clockTime(c.Acknowledged), clockTime(sure), clockVerdict(c, sure, refused))
			return errors.Join(err, refused)
		},
	}
	cmd.Flags().BoolVar(&accept, "accept", false, "this machine's clock is right")
	return cmd
}

// clockVerdict says whether the keystore goes by this machine's clock; sure and refused
// are the results of [keys.Clock.Sure].
func clockVerdict(c keys.Clock, sure time.Time, refused error) string {
	now, err := c.Time()
	switch {
	case refused != nil || err != nil:
		return "no"
	case now.Sub(sure) > time.Minute:
		return fmt.Sprintf("in doubt, since it jumped while nobody looked: no key is destroyed by it until it has run steadily for %d days, or 'velonym key clock --accept' confirms it", keys.ClockSettled/(24*time.Hour))
	}
	return "yes"
}

// clockTime formats a time in UTC, and the zero time as a dash.
func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
