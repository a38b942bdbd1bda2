package sqlite

import (
	"database/sql"
	"sync"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// totals are the numbers of projects that depend on the change number alone.
type totals struct {
	mu             sync.Mutex
	change         uint64 // 0: nothing was counted yet
	projects, done int    // all, and the severed ones
}

// count returns the totals. It reads the table once for each change number.
func (t *tx) count() (projects, severed int, err error) {
	change, err := t.Change()
	if err != nil {
		return 0, 0, err
	}
	last := &t.s.totals
	last.mu.Lock()
	defer last.mu.Unlock()
	if last.change == change {
		return last.projects, last.done, nil
	}
	err = t.t.QueryRowContext(t.ctx, "SELECT count(*), count(severed_at) FROM project").Scan(&projects, &severed)
	if err == nil {
		last.change, last.projects, last.done = change, projects, severed
	}
	return projects, severed, t.s.wrapErr(err)
}

// Outlook finds ends by their indexes: it reads the projects that end within the longest
// span, and counts the others by the totals.
func (t *tx) Outlook(now time.Time) (o keys.Outlook, err error) {
	projects, severed, err := t.count()
	if err != nil {
		return o, err
	}
	var end, destruction sql.NullInt64
	err = t.t.QueryRowContext(t.ctx, `
		WITH soon AS MATERIALIZED (
			SELECT min(ifnull(retention, 9223372036854775807), ifnull(sever_at, 9223372036854775807)) AS ends, ended + grace * 1000000 AS destruction
			FROM project WHERE name IN (
				SELECT name FROM project WHERE severed_at IS NULL AND retention IS NOT NULL AND retention <= ?3
				UNION SELECT name FROM project WHERE severed_at IS NULL AND sever_at IS NOT NULL AND sever_at <= ?3)),
		next AS (
			SELECT * FROM (SELECT retention AS ends FROM project WHERE severed_at IS NULL AND retention IS NOT NULL AND retention > ?1
				AND (sever_at IS NULL OR sever_at > ?1) ORDER BY retention LIMIT 1)
			UNION ALL SELECT * FROM (SELECT sever_at FROM project WHERE severed_at IS NULL AND sever_at IS NOT NULL AND sever_at > ?1
				AND (retention IS NULL OR retention > ?1) ORDER BY sever_at LIMIT 1))
		SELECT count(*) FILTER (WHERE ends <= ?1), count(*) FILTER (WHERE ends > ?1 AND ends <= ?2), count(*) FILTER (WHERE ends > ?1),
			(SELECT min(ends) FROM next), min(destruction) FILTER (WHERE ends <= ?1)
		FROM soon`, now.UnixMicro(), now.Add(keys.OutlookWeek).UnixMicro(), now.Add(keys.OutlookMonth).UnixMicro()).
		Scan(&o.Ended, &o.Within7d, &o.Within30d, &end, &destruction)
	o.Severed, o.Active = severed, projects-severed-o.Ended
	o.NextEnd, o.NextDestruction = fromNull(end), fromNull(destruction)
	return o, t.s.wrapErr(err)
}
