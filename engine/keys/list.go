package keys

import (
	"context"
	"fmt"
	"time"
)

// ProjectFilter selects and sorts projects for a listing.
type ProjectFilter struct {
	State  ProjectState // StateAny for all
	EndsBy time.Time    // unsevered projects that end by then; zero: no condition
	Sort   ProjectSort
	After  string // start behind the project of this name; "" starts with the first
	Limit  int    // 0 for all
}

// ProjectState is the state of a project.
type ProjectState string

// The states of a project.
const (
	StateAny     ProjectState = ""
	StateActive  ProjectState = "active"
	StateEnded   ProjectState = "ended" // no longer used; its secrets are not destroyed yet
	StateSevered ProjectState = "severed"
)

// State returns the project's state at the time now.
func (p *Project) State(now time.Time) ProjectState {
	switch {
	case p.Severed:
		return StateSevered
	case p.EndedBy(now):
		return StateEnded
	}
	return StateActive
}

// End returns when the project ends: the end of its retention or its scheduled severing,
// whichever comes first; zero for never.
func (p *Project) End() time.Time {
	if p.Retention.IsZero() || !p.SeverAt.IsZero() && p.SeverAt.Before(p.Retention) {
		return p.SeverAt
	}
	return p.Retention
}

// ProjectSort is the order of a listing. Projects that compare equal are ordered by name.
type ProjectSort string

// The orders of a listing.
const (
	SortName    ProjectSort = "name" // in byte order; the default
	SortEnd     ProjectSort = "end"  // soonest first, projects without an end last
	SortCreated ProjectSort = "created"
)

// ProjectQuery is a [ProjectFilter] as a store takes it.
type ProjectQuery struct {
	State  ProjectState
	Now    time.Time // decides which projects have ended
	EndsBy time.Time // zero: no condition
	Sort   ProjectSort
	After  ProjectRow // start behind this project; without a Name start with the first
	Limit  int        // 0 for all
}

// ListProjects lists the projects that a filter selects. It verifies only their rows: a
// row that was tampered with may not match the filter at all, see [Keystore.Verify]. It
// returns the intact projects even if the error is ErrTampered. Errors: ErrInvalid,
// ErrNotFound for After.
func (ks *Keystore) ListProjects(ctx context.Context, f ProjectFilter) ([]Project, error) {
	q := ProjectQuery{State: f.State, EndsBy: f.EndsBy, Sort: f.Sort, Limit: f.Limit}
	switch f.State {
	case StateAny, StateActive, StateEnded, StateSevered:
	default:
		return nil, fmt.Errorf("%w: a project is active, ended or severed", ErrInvalid)
	}
	switch f.Sort {
	case "":
		q.Sort = SortName
	case SortName, SortEnd, SortCreated:
	default:
		return nil, fmt.Errorf("%w: projects are sorted by name, end or created", ErrInvalid)
	}
	if f.Limit < 0 {
		return nil, fmt.Errorf("%w: a listing has at least one project", ErrInvalid)
	}
	var out []Project
	err := ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		if f.After != "" {
			if q.After, err = ks.findProject(tx, s, f.After); err != nil {
				return err
			}
		}
		c, err := ks.readClock(tx)
		if err != nil {
			return err
		}
		if q.Now, err = c.Time(); err != nil {
			q.Now = c.Local // a refused clock must not keep people from listing projects
		}
		rows, err := tx.ListProjects(q)
		if err != nil {
			return err
		}
		rows, err = ks.checkRows(tx, s, rows)
		for i := range rows {
			out = append(out, rows[i].Project)
		}
		return err
	})
	return out, err
}
