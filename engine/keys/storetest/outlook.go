package storetest

import (
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// testOutlook compares the counts of the store with those of the listed projects.
func testOutlook(e *env) {
	const day = 24 * time.Hour
	empty, err := e.ks.Outlook(e.ctx)
	e.must(err)
	if empty != (keys.Outlook{}) {
		e.Errorf("without projects: %+v", empty)
	}
	began := e.now()
	end := func(d time.Duration) time.Time { return began.Add(d).UTC().Truncate(time.Second) }
	for name, retention := range map[string]time.Duration{"hour": time.Hour, "week": 6 * day, "month": 29 * day, "year": 365 * day, "gone": 3 * day, "cut": 400 * day} {
		p := e.project(name)
		p.Retention, p.Grace = began.Add(retention), 2*day
		e.must(e.ks.CreateProject(e.ctx, p, nil))
	}
	forever := e.project("forever")
	forever.Method, forever.Retention = "irreversible", time.Time{}
	e.must(e.ks.CreateProject(e.ctx, forever, nil))
	_, err = e.ks.Sever(e.ctx, "gone")
	e.must(err)
	e.must(e.ks.ScheduleSever(e.ctx, "cut", end(20*day)))
	look := func(want keys.Outlook) {
		e.Helper()
		got, err := e.ks.Outlook(e.ctx)
		e.must(err)
		if !got.NextEnd.Equal(want.NextEnd) || !got.NextDestruction.Equal(want.NextDestruction) {
			e.Errorf("next end %v and destruction %v, want %v and %v", got.NextEnd, got.NextDestruction, want.NextEnd, want.NextDestruction)
		}
		got.NextEnd, got.NextDestruction, want.NextEnd, want.NextDestruction = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		if got != want {
			e.Errorf("got %+v, want %+v", got, want)
		}
	}
	look(keys.Outlook{Active: 6, Severed: 1, Within7d: 2, Within30d: 4, NextEnd: end(time.Hour)})
	e.later(2 * time.Hour)
	look(keys.Outlook{Active: 5, Ended: 1, Severed: 1, Within7d: 1, Within30d: 3, NextEnd: end(6 * day)})
	swept, err := e.ks.Sweep(e.ctx)
	e.must(err)
	if len(swept.Ended) != 1 {
		e.Fatalf("swept %+v", swept)
	}
	p, err := e.ks.Project(e.ctx, "hour")
	e.must(err)
	look(keys.Outlook{Active: 5, Ended: 1, Severed: 1, Within7d: 1, Within30d: 3, NextEnd: end(6 * day), NextDestruction: p.DestroyAt()})
	e.later(7 * day) // the next end is a scheduled one
	look(keys.Outlook{Active: 4, Ended: 2, Severed: 1, Within30d: 2, NextEnd: end(20 * day), NextDestruction: p.DestroyAt()})
	e.later(14 * day) // the retention of a project that a schedule ended does not count
	look(keys.Outlook{Active: 3, Ended: 3, Severed: 1, Within30d: 1, NextEnd: end(29 * day), NextDestruction: p.DestroyAt()})
	e.set(-30 * day) // a clock that is refused
	if _, err := e.ks.Outlook(e.ctx); err == nil {
		e.Error("Outlook answers although the clock is refused")
	}
}
