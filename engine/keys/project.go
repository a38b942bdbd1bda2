package keys

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/velonym/velonym/engine/spec"
)

// CreateProject creates a project with one generation in each of its domains. If
// imported is not empty, it holds one secret per generation, oldest first: every domain
// gets these secrets and the last is active. The domains' working keys still differ,
// because their derivation includes the domain's name. The caller wipes imported.
// Errors: ErrInvalid (also if a secret occurs twice), ErrExists, ErrTooManyGenerations.
func (ks *Keystore) CreateProject(ctx context.Context, p Project, imported [][SecretSize]byte) error {
	p.Orgs = append([]string(nil), p.Orgs...)
	if err := p.normalise(ks.now()); err != nil {
		return err
	}
	if len(imported) > MaxGenerations {
		return fmt.Errorf("%w: %d imported secrets, a domain has at most %d", ErrTooManyGenerations, len(imported), MaxGenerations)
	}
	for i := range imported {
		for j := range i {
			if subtle.ConstantTimeCompare(imported[i][:], imported[j][:]) == 1 {
				return fmt.Errorf("%w: imported secrets %d and %d are the same: every generation needs its own", ErrInvalid, j, i)
			}
		}
	}
	p.Imported = len(imported) > 0
	return ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		now, err := ks.acknowledge(tx)
		if err != nil {
			return false, err
		}
		return true, ks.createProject(tx, s, p, imported, now)
	})
}

// CreateProjects creates many projects in one transaction: all or none. It returns the
// errors of CreateProject.
func (ks *Keystore) CreateProjects(ctx context.Context, projects []Project) error {
	return ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		now, err := ks.acknowledge(tx)
		if err != nil {
			return false, err
		}
		for _, p := range projects {
			p.Orgs = append([]string(nil), p.Orgs...)
			if err := p.normalise(now); err != nil {
				return false, fmt.Errorf("project %q: %w", p.Name, err)
			}
			p.Imported = false
			if err := ks.createProject(tx, s, p, nil, now); err != nil {
				return false, err
			}
		}
		return len(projects) > 0, nil
	})
}

// createProject adds a normalised project within a change.
func (ks *Keystore) createProject(tx Tx, s *sealRoot, p Project, imported [][SecretSize]byte, now time.Time) error {
	p.Created = storeTime(now)
	switch _, err := ks.lookUp(tx, s, p.Name); {
	case err == nil:
		return fmt.Errorf("%w: %q: choose another name; the names of severed projects stay taken", ErrExists, p.Name)
	case !errors.Is(err, ErrNotFound):
		return err
	}
	if err := tx.AddProject(ProjectRow{Project: p}); err != nil {
		return err
	}
	gens := max(1, len(imported))
	for _, org := range p.Orgs {
		for g := range gens {
			row := KeyRow{Domain: Domain{p.Name, org}, Gen: g, State: Deactivated, Imported: p.Imported, Created: p.Created}
			if g == gens-1 {
				row.State = Active
			}
			var secret []byte
			if p.Imported {
				secret = imported[g][:]
			}
			row.Wrapped = ks.wrapSecret(secret, row.Domain, g)
			if err := tx.AddKey(row); err != nil {
				return err
			}
			wipe(row.Wrapped)
		}
	}
	return ks.reseal(tx, s, p.Name)
}

// Project returns a project, severed or not. Errors: ErrNotFound.
func (ks *Keystore) Project(ctx context.Context, name string) (Project, error) {
	var p ProjectRow
	err := ks.store.View(ctx, func(tx Tx) (err error) {
		p, err = ks.viewProject(tx, name)
		return err
	})
	return p.Project, err
}

// Projects lists all projects by name, including severed ones.
func (ks *Keystore) Projects(ctx context.Context) ([]Project, error) {
	var out []Project
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		rows, err := ks.allProjects(tx, s)
		if err != nil {
			return err
		}
		out = make([]Project, len(rows))
		for i := range rows {
			out[i] = rows[i].Project
		}
		return nil
	})
	return out, err
}

// findProject is lookUp for a name that has not been validated.
func (ks *Keystore) findProject(tx Tx, s *sealRoot, name string) (ProjectRow, error) {
	if checkName("project name", name) != nil {
		return ProjectRow{}, fmt.Errorf("%w: no such project", ErrNotFound)
	}
	p, err := ks.lookUp(tx, s, name)
	if errors.Is(err, ErrNotFound) {
		err = noProject(name)
	}
	return p, err
}

func noProject(name string) error {
	return fmt.Errorf("%w: no project %q: 'velonym project list' lists those there are", ErrNotFound, name)
}

// viewProject is findProject in a read-only transaction.
func (ks *Keystore) viewProject(tx Tx, name string) (ProjectRow, error) {
	s, err := ks.viewSeals(tx)
	if err != nil {
		return ProjectRow{}, err
	}
	return ks.findProject(tx, s, name)
}

// findWithKeys returns a verified project and the verified states of its generations.
func (ks *Keystore) findWithKeys(tx Tx, s *sealRoot, name string) (ProjectRow, []KeyRow, error) {
	p, err := ks.findProject(tx, s, name)
	if err != nil {
		return p, nil, err
	}
	rows, err := tx.KeyStates(name)
	if err != nil {
		return p, nil, err
	}
	return p, rows, ks.checkKeys(&p, rows)
}

// usable returns the present time, or an error if the project's secrets may not be used
// now. It must be called within an Update. It does not read the clock for a severed
// project. Errors: ErrSevered, ErrRetentionOver, ErrClock.
func (ks *Keystore) usable(tx Tx, p *ProjectRow) (now time.Time, err error) {
	if !p.Severed {
		if now, err = ks.acknowledge(tx); err != nil {
			return now, err
		}
	}
	return now, p.checkAlive(now)
}

// retentionOver reports whether the retention has ended. The retention excludes its end.
func (p *Project) retentionOver(now time.Time) bool {
	return !p.Retention.IsZero() && !now.Before(p.Retention)
}

// checkAlive returns nil if the project's secrets may be used at the time now. Errors:
// ErrSevered, ErrRetentionOver.
func (p *ProjectRow) checkAlive(now time.Time) error {
	switch {
	case p.Severed && p.Reason != ReasonRetention:
		return fmt.Errorf("%w: %q, for good", ErrSevered, p.Name)
	case p.Severed:
		return fmt.Errorf("%w: project %q: its link is severed for good", ErrRetentionOver, p.Name)
	case p.retentionOver(now):
		return fmt.Errorf("%w: project %q: its keys are used no more, and will be destroyed", ErrRetentionOver, p.Name)
	case p.EndedBy(now):
		return fmt.Errorf("%w: %q: its keys are used no more, and will be destroyed", ErrSevered, p.Name)
	}
	return nil
}

// EndedBy reports whether, at the time now, the retention is over or a scheduled
// severing is due. Nothing uses the secrets of a project that has ended.
func (p *Project) EndedBy(now time.Time) bool {
	return p.retentionOver(now) || !p.SeverAt.IsZero() && !now.Before(p.SeverAt)
}

// DestroyAt returns when the secrets of an ended project are to be destroyed. It is
// zero until a sweep has noted the end.
func (p *Project) DestroyAt() time.Time {
	if p.Ended.IsZero() {
		return time.Time{}
	}
	return p.Ended.Add(p.Grace)
}

// Shorten brings the end of a project's retention forward to until, rounded down to
// whole seconds. A project without retention gets one. An end that is not in the future
// is ErrInvalid: use Sever to destroy secrets now. Errors: ErrNotFound, ErrSevered,
// ErrRetentionOver, ErrExtend, ErrInvalid.
func (ks *Keystore) Shorten(ctx context.Context, name string, until time.Time) error {
	if until.IsZero() || until.Year() > 9999 {
		return fmt.Errorf("%w: retention needs a time before the year 10000", ErrInvalid)
	}
	until = wholeSeconds(until)
	return ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		p, _, err := ks.findWithKeys(tx, s, name)
		if err != nil {
			return false, err
		}
		now, err := ks.usable(tx, &p)
		if err != nil {
			return false, err
		}
		if !until.After(now) {
			return false, fmt.Errorf("%w: the retention of project %q would end at once: sever the project to destroy its secrets now", ErrInvalid, name)
		}
		if !p.Retention.IsZero() && until.After(p.Retention) {
			return false, fmt.Errorf("%w: that of project %q ends %s", ErrExtend, name, p.Retention.Format(time.RFC3339))
		}
		if until.Equal(p.Retention) {
			return false, nil
		}
		if err := tx.SetRetention(name, until); err != nil {
			return false, err
		}
		return true, ks.reseal(tx, s, name)
	})
}

// Project describes a project. It holds no secret.
type Project struct {
	Name   string // 1 to 255 bytes of UTF-8 without control characters
	Method spec.Method
	Policy spec.Policy
	Form   spec.Form // default form of its pseudonyms; a token may name another
	Tag    int       // 0, 64 or 128
	Orgs   []string  // in the order given; [""] if none was given

	// Retention is when the project ends, in whole seconds, UTC. Zero means never.
	// A reversible project must have one.
	Retention time.Time

	// Grace is how long the secrets still exist after a sweep noted the end, in
	// whole seconds. Nothing uses them then. 0 destroys them at once.
	Grace   time.Duration
	Ended   time.Time // when a sweep noted the end; zero before
	SeverAt time.Time // scheduled severing; zero if none is scheduled

	// RotateEvery is the age, in whole seconds, at which a sweep replaces the active
	// generations; 0 means never. RotateAt is when the next rotation is due.
	RotateEvery time.Duration
	RotateAt    time.Time

	Imported  bool      // its first secrets were imported
	Severed   bool      // its secrets are destroyed, by Sever or at the end of retention
	SeveredAt time.Time // zero unless Severed
	Created   time.Time
}

// DefaultGrace is the grace of projects created before schema 3, and the usual choice
// for new ones.
const DefaultGrace = 7 * 24 * time.Hour

const (
	maxName  = 255
	maxGrace = 3660 * 24 * time.Hour
)

// normalise validates a new project and fills in the remaining fields. It does not check
// that method, policy, form and tag fit together: the caller, who knows the transform
// suite, does.
func (p *Project) normalise(now time.Time) error {
	if p.Name == "" {
		return fmt.Errorf("%w: a project needs a name", ErrInvalid)
	}
	if err := checkName("project name", p.Name); err != nil {
		return err
	}
	if !p.Method.Valid() {
		return fmt.Errorf("%w: method must be reversible or irreversible", ErrInvalid)
	}
	if !p.Policy.Valid() {
		return fmt.Errorf("%w: policy must be same, different or document", ErrInvalid)
	}
	switch p.Tag {
	case 0, 64, 128:
	default:
		return fmt.Errorf("%w: tag must be 0, 64 or 128", ErrInvalid)
	}
	if !p.Form.Valid() {
		return fmt.Errorf("%w: form must be pair62, hex, b64u, b32, uuid, digits or fpe: and an alphabet of 2 to 94 different printable characters", ErrInvalid)
	}
	if len(p.Orgs) == 0 {
		p.Orgs = []string{""}
	}
	seen := make(map[string]bool, len(p.Orgs))
	for _, org := range p.Orgs {
		if err := checkName("organisation name", org); err != nil {
			return err
		}
		if seen[org] {
			return fmt.Errorf("%w: an organisation is named twice", ErrInvalid)
		}
		seen[org] = true
	}
	if p.Retention.IsZero() {
		if p.Method == spec.Reversible {
			return fmt.Errorf("%w: a reversible project needs a retention: say when its secrets are to be destroyed", ErrInvalid)
		}
	} else {
		p.Retention = wholeSeconds(p.Retention)
		if !p.Retention.After(now) {
			return fmt.Errorf("%w: the retention is already over", ErrInvalid)
		}
		if p.Retention.Year() > 9999 {
			return fmt.Errorf("%w: the retention ends after the year 9999", ErrInvalid)
		}
	}
	if p.Grace < 0 || p.Grace > maxGrace || p.Grace%time.Second != 0 {
		return fmt.Errorf("%w: the grace must be whole seconds, ten years at most", ErrInvalid)
	}
	p.Ended, p.SeverAt, p.RotateAt = time.Time{}, time.Time{}, time.Time{}
	if p.RotateEvery != 0 {
		return fmt.Errorf("%w: a span between rotations is set when the project exists", ErrInvalid)
	}
	p.Created = storeTime(now)
	p.Severed = false
	p.SeveredAt = time.Time{}
	return nil
}

func checkName(what, s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrInvalid, what, maxName)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s is not valid UTF-8", ErrInvalid, what)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: %s holds a control character", ErrInvalid, what)
		}
	}
	return nil
}

func (p *Project) hasOrg(org string) bool {
	for _, o := range p.Orgs {
		if o == org {
			return true
		}
	}
	return false
}

// Domain names a key domain: a project and one of its organisations. Org is "" for a
// project without organisations.
type Domain struct{ Prj, Org string }

// wholeSeconds rounds t down to the precision of the claim psn.ret, so that no project
// outlives the retention that its tokens promise.
func wholeSeconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// storeTime rounds t down to the precision of the stores.
func storeTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
