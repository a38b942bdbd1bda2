package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// summary says in one line what a project is.
func summary(p keys.Project) string {
	s := fmt.Sprintf("%s, policy %s, form %s, tag %d", p.Method, p.Policy, p.Form, p.Tag)
	if !p.Retention.IsZero() {
		s += ", " + endText(p.Retention, p.Grace)
	}
	if !p.SeverAt.IsZero() && !p.Severed {
		s += ", to be severed on " + localTime(p.SeverAt)
	}
	if p.RotateEvery > 0 && !p.Severed {
		if s += ", a new generation every " + graceText(p.RotateEvery); p.RotateAt.IsZero() {
			s += " until it had had its 12"
		} else {
			s += ", the next one on " + localTime(p.RotateAt)
		}
	}
	if p.Imported {
		s += ", secret imported"
	}
	if p.Severed {
		s += ", severed"
	}
	return s
}

// graceText is a grace in the largest unit that it is a whole number of.
func graceText(d time.Duration) string {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// projectJSON is what `project list --json` and `project show --json` say of a
// project. No secret is in it.
type projectJSON struct {
	Name      string       `json:"name"`
	Method    spec.Method  `json:"method"`
	Policy    spec.Policy  `json:"policy"`
	Form      spec.Form    `json:"format"`
	Tag       int          `json:"tag"`
	Orgs      []string     `json:"orgs"`                 // "" alone for a project without any
	Retention *time.Time   `json:"retention"`            // when the keys are destroyed; null: never
	Grace     int64        `json:"grace_seconds"`        // from the noted end to the destruction
	DestroyAt *time.Time   `json:"destroy_at"`           // of a project that has ended; null before
	SeverAt   *time.Time   `json:"sever_at"`             // as scheduled; null: not
	Every     int64        `json:"rotate_every_seconds"` // 0: never
	RotateAt  *time.Time   `json:"rotate_at"`            // next; null: never
	Imported  bool         `json:"imported"`             // the first secrets came from outside
	Severed   bool         `json:"severed"`              // the keys are destroyed
	SeveredAt *time.Time   `json:"severed_at"`
	Created   time.Time    `json:"created"`
	MasterKey string       `json:"master_key,omitempty"` // its fingerprint; show only
	Domains   []domainJSON `json:"domains,omitempty"`    // show only
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
	// Fingerprint names the secret; "" when it is destroyed.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// orNull is t, or nothing for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func toJSON(p keys.Project) projectJSON {
	return projectJSON{Name: p.Name, Method: p.Method, Policy: p.Policy, Form: p.Form, Tag: p.Tag, Orgs: p.Orgs,
		Retention: orNull(p.Retention), Grace: int64(p.Grace / time.Second), DestroyAt: orNull(p.DestroyAt()), SeverAt: orNull(p.SeverAt), Every: int64(p.RotateEvery / time.Second), RotateAt: orNull(p.RotateAt), Imported: p.Imported, Severed: p.Severed, SeveredAt: orNull(p.SeveredAt), Created: p.Created}
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
  retention       until when the keys are used, RFC 3339; null: for ever
  grace_seconds   how long after their end the keys are destroyed
  destroy_at      when that is, once a sweep has noted the end; null before
  sever_at        when the project is to be severed; null: no such order
  rotate_every_seconds  the age at which generations are replaced; 0: not by age
  rotate_at       when that is next; null: never
  imported        true when its first secrets came from outside
  severed         true when the keys are destroyed; severed_at says since when
  created         when it was made
  domains         [{org, generations: [{gen, state, imported, created, destroyed, fingerprint}]}],
                  where state is active, deactivated (only reverses) or destroyed, and
                  fingerprint names a living secret and shows nothing of it
  master_key      the fingerprint of the keystore's master key
  receipts        the signed receipts of destroyed keys, if there are any`,
		Example: `  velonym project show register
  velonym project show register --json`,
		Args: cobra.ExactArgs(1),
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
			prints, err := ks.GenerationFingerprints(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				doc := toJSON(p)
				doc.MasterKey = ks.MasterKeyFingerprint()
				for _, org := range p.Orgs {
					d := domainJSON{Org: org, Generations: []generationJSON{}}
					for _, gen := range gens[org] {
						d.Generations = append(d.Generations, generationJSON{gen.Gen, gen.State, gen.Imported, gen.Created, orNull(gen.Destroyed), prints[org][gen.Gen]})
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
			fmt.Fprintln(w, "ORG\tGENERATION\tSTATE\tCREATED\tDESTROYED\tFINGERPRINT")
			for _, org := range p.Orgs {
				for _, gen := range gens[org] {
					destroyed := "-"
					if !gen.Destroyed.IsZero() {
						destroyed = gen.Destroyed.Format(time.RFC3339)
					}
					fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", orDash(org), gen.Gen, gen.State, gen.Created.Format(time.RFC3339), destroyed, orDash(prints[org][gen.Gen]))
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
