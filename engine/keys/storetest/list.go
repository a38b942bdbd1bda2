package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// testListProjects filters, sorts and pages.
func testListProjects(e *env) {
	const day = 24 * time.Hour
	var many []keys.Project
	for i, days := range []int{50, 20, 40, 20, 30, 10} {
		p := e.project(fmt.Sprintf("p%d", i))
		p.Grace, p.Retention = grace, e.now().Add(time.Duration(days)*day)
		many = append(many, p)
	}
	for _, name := range []string{"no end", "\u00e9"} {
		p := e.project(name)
		p.Method, p.Retention = "irreversible", time.Time{}
		many = append(many, p)
	}
	e.must(e.ks.CreateProjects(e.ctx, many))
	e.is(e.ks.CreateProjects(e.ctx, []keys.Project{e.project("new"), e.project("p1")}), keys.ErrExists)
	_, err := e.ks.Project(e.ctx, "new")
	e.is(err, keys.ErrNotFound)
	e.secrets(e.ks, "p5", "")
	e.must(e.ks.ScheduleSever(e.ctx, "p0", e.now().Add(15*day)))
	_, err = e.ks.Sever(e.ctx, "p3")
	e.must(err)
	e.later(12 * day)
	other := e.second()
	for _, c := range []struct {
		filter keys.ProjectFilter
		want   []string
	}{
		{keys.ProjectFilter{}, []string{"no end", "p0", "p1", "p2", "p3", "p4", "p5", "\u00e9"}},
		{keys.ProjectFilter{State: keys.StateActive}, []string{"no end", "p0", "p1", "p2", "p4", "\u00e9"}},
		{keys.ProjectFilter{State: keys.StateEnded}, []string{"p5"}},
		{keys.ProjectFilter{State: keys.StateSevered}, []string{"p3"}},
		{keys.ProjectFilter{Sort: keys.SortEnd}, []string{"p5", "p0", "p1", "p3", "p4", "p2", "no end", "\u00e9"}},
		{keys.ProjectFilter{Sort: keys.SortCreated}, []string{"no end", "p0", "p1", "p2", "p3", "p4", "p5", "\u00e9"}},
		{keys.ProjectFilter{EndsBy: e.now().Add(10 * day)}, []string{"p0", "p1", "p5"}},
		{keys.ProjectFilter{EndsBy: e.now().Add(10 * day), State: keys.StateActive, Sort: keys.SortEnd}, []string{"p0", "p1"}},
		{keys.ProjectFilter{EndsBy: e.now().Add(-5 * day)}, nil},
	} {
		for _, limit := range []int{0, 1, 3} {
			var got []string
			for f := c.filter; ; {
				f.Limit = limit
				page, err := other.ListProjects(e.ctx, f)
				e.must(err)
				if limit > 0 && len(page) > limit {
					e.Fatalf("%+v: a page of %d", f, len(page))
				}
				for _, p := range page {
					got = append(got, p.Name)
				}
				if limit == 0 || len(page) < limit {
					break
				}
				f.After = page[len(page)-1].Name
			}
			if !slices.Equal(got, c.want) {
				e.Errorf("%+v in pages of %d: %q, want %q", c.filter, limit, got, c.want)
			}
		}
	}
	for _, wrong := range []keys.ProjectFilter{{State: "alive"}, {Sort: "size"}, {Limit: -1}} {
		_, err := e.ks.ListProjects(e.ctx, wrong)
		e.is(err, keys.ErrInvalid)
	}
	_, err = e.ks.ListProjects(e.ctx, keys.ProjectFilter{After: "nobody"})
	e.is(err, keys.ErrNotFound)
	e.must(e.location.Execute("UPDATE @project SET tag = 64 WHERE name = 'p2'"))
	_, err = other.ListProjects(e.ctx, keys.ProjectFilter{State: keys.StateActive})
	e.is(err, keys.ErrTampered)
	_, err = other.ListProjects(e.ctx, keys.ProjectFilter{State: keys.StateSevered})
	e.must(err)
}
