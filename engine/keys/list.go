package keys

import (
	"context"
	"fmt"
	"time"
)

// ProjectFilter selects and sorts projects for a listing.
type ProjectFilter struct {
	State  ProjectState // StateAny for all
	EndsBy time.Time    // those that end by then and are not severed; zero: whenever
	Sort   ProjectSort
	After  string // goes on behind the project of this name in that order; "" from the first
	Limit  int    // 0: all
}

// ProjectState says how far a project's life has gone.
type ProjectState string

// The states of a project.
const (
	StateAny     ProjectState = ""
	StateActive  ProjectState = "active"
	StateEnded   ProjectState = "ended" // not used any more, its secrets not destroyed yet
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

// ProjectSort is the order of a listing; projects that are equal in it go by name.
type ProjectSort string

// The orders of a listing.
const (
	SortName    ProjectSort = "name" // in byte order; the default
	SortEnd     ProjectSort = "end"  // soonest first, those without an end last
	SortCreated ProjectSort = "created"
)

// ProjectQuery is a [ProjectFilter] as a store takes it.
type ProjectQuery struct {
	State  ProjectState
	Now    time.Time // by which the state is
	EndsBy time.Time // zero: whenever
	Sort   ProjectSort
	After  ProjectRow // from behind this one; no Name: from the first
	Limit  int        // 0: all
}

// ListProjects lists the projects that a filter selects. It checks those rows and no
// others: a filter does not find what somebody else changed so that it does not fit, see
// [Keystore.Verify]. Those whose rows are sound are returned even if the error is
// ErrTampered. Errors: ErrInvalid, ErrNotFound for After.
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
			if q.After, err = ks.find(tx, s, f.After); err != nil {
				return err
			}
		}
		c, err := ks.readClock(tx)
		if err != nil {
			return err
		}
		if q.Now, err = c.Time(); err != nil {
			q.Now = c.Local // a listing is for people, who see that in the other verbs
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
