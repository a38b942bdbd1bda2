package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// summary describes a project in one line.
func summary(p keys.Project) string {
	s := fmt.Sprintf("%s, policy %s, form %s, tag %d", p.Method, p.Policy, p.Form, p.Tag)
	if !p.Retention.IsZero() {
		s += ", " + endText(p.Retention, p.Grace)
	}
	if !p.SeverAt.IsZero() && !p.Severed {
		s += ", to be severed on " + localTime(p.SeverAt)
	}
	if p.RotateEvery > 0 && !p.Severed {
		if s += ", a new generation every " + spanText(p.RotateEvery); p.RotateAt.IsZero() {
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

// spanText formats a span in the largest unit of which it is a whole multiple.
func spanText(d time.Duration) string {
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

// projectJSON is the JSON form of a project in `project list` and `project show`. It
// contains no secret.
type projectJSON struct {
	Name      string       `json:"name"`
	Method    spec.Method  `json:"method"`
	Policy    spec.Policy  `json:"policy"`
	Form      spec.Form    `json:"format"`
	Tag       int          `json:"tag"`
	Orgs      []string     `json:"orgs"`                 // [""] for a project without organisations
	Retention *time.Time   `json:"retention"`            // when nothing uses the keys any more; null for never
	Grace     int64        `json:"grace_seconds"`        // from the noted end to the destruction
	DestroyAt *time.Time   `json:"destroy_at"`           // null until a sweep has noted the end
	SeverAt   *time.Time   `json:"sever_at"`             // scheduled severing; null for none
	Every     int64        `json:"rotate_every_seconds"` // 0 for never
	RotateAt  *time.Time   `json:"rotate_at"`            // next rotation; null for none
	Imported  bool         `json:"imported"`             // the first secrets were imported
	Severed   bool         `json:"severed"`              // the keys are destroyed
	SeveredAt *time.Time   `json:"severed_at"`
	Created   time.Time    `json:"created"`
	MasterKey string       `json:"master_key,omitempty"` // fingerprint; only in show
	Domains   []domainJSON `json:"domains,omitempty"`    // only in show
	// Receipts are the signed receipts of destroyed keys; only in show.
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
	// Fingerprint identifies the secret; "" if it is destroyed.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// orNull returns a pointer to t, or nil for the zero time.
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
		Short: "Show a project and the generations of its key domains",
		Long: `Shows a project and the generations of its key domains, never a secret. With --json
it writes one object:

  name, method, policy, format, tag   as given to 'project create'
  orgs            organisations; [""] for a project without any
  retention       when the project ends, RFC 3339; null for never
  grace_seconds   time from the noted end to the destruction of the keys
  destroy_at      when the keys are destroyed; null until a sweep has noted the end
  sever_at        scheduled severing; null for none
  rotate_every_seconds  the age at which generations are replaced; 0 for never
  rotate_at       next rotation by age; null for none
  imported        true if its first secrets were imported
  severed         true if the keys are destroyed; severed_at says since when
  created         when the project was created
  domains         [{org, generations: [{gen, state, imported, created, destroyed, fingerprint}]}],
                  where state is active, deactivated (only reverses) or destroyed, and
                  fingerprint identifies an existing secret without revealing it
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
			line := summary(p)
			if now := time.Now(); p.State(now) == keys.StateEnded {
				line += "; " + stateText(&p, now) + ": nothing uses its keys any more"
			}
			fmt.Fprintf(out, "%s: %s\n", p.Name, line)
			return printGenerations(out, p.Orgs, gens, prints)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// printGenerations writes the generations of a project's domains as a table, with the
// fingerprints of their secrets.
func printGenerations(out io.Writer, orgs []string, gens map[string][]keys.Generation, prints map[string]map[int]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ORG\tGENERATION\tSTATE\tCREATED\tDESTROYED\tFINGERPRINT")
	for _, org := range orgs {
		for _, gen := range gens[org] {
			destroyed := "-"
			if !gen.Destroyed.IsZero() {
				destroyed = gen.Destroyed.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", orDash(org), gen.Gen, gen.State, gen.Created.Format(time.RFC3339), destroyed, orDash(prints[org][gen.Gen]))
		}
	}
	return w.Flush()
}

// orDash returns s, or a dash if s is empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
