package postgres

import (
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/velonym/velonym/engine/keys"
)

const projectColumns = "name, method, policy, format, tag, orgs, retention, imported, created, severed_at, reason, keys_mac, seal, grace, ended, sever_at, rotate_every, rotate_at"

func scanProject(row pgx.CollectableRow) (keys.ProjectRow, error) {
	var p keys.ProjectRow
	var retention, severed, ended, severAt, rotateAt *int64
	var created, grace, every int64
	err := row.Scan(&p.Name, &p.Method, &p.Policy, &p.Form, &p.Tag, &p.Orgs, &retention, &p.Imported, &created, &severed, &p.Reason, &p.KeysMAC, &p.Seal, &grace, &ended, &severAt, &every, &rotateAt)
	p.Retention = fromNull(retention)
	p.Created = time.UnixMicro(created).UTC()
	p.SeveredAt = fromNull(severed)
	p.Severed = severed != nil
	p.Grace = time.Duration(grace) * time.Second
	p.Ended, p.SeverAt = fromNull(ended), fromNull(severAt)
	p.RotateEvery, p.RotateAt = time.Duration(every)*time.Second, fromNull(rotateAt)
	return p, err
}

func (t *tx) Project(name string) (keys.ProjectRow, error) {
	rows, err := list(t, scanProject, "SELECT "+projectColumns+" FROM velonym.project WHERE name = $1", name)
	if err != nil {
		return keys.ProjectRow{}, err
	}
	if len(rows) == 0 {
		return keys.ProjectRow{}, keys.ErrNotFound
	}
	return rows[0], nil
}

func (t *tx) Projects() ([]keys.ProjectRow, error) {
	return list(t, scanProject, "SELECT "+projectColumns+" FROM velonym.project ORDER BY name")
}

// ListProjects selects by q.EndsBy with the indexes of ends.
func (t *tx) ListProjects(q keys.ProjectQuery) ([]keys.ProjectRow, error) {
	const end = "least(coalesce(retention, 9223372036854775807), coalesce(sever_at, 9223372036854775807))"
	where, args := "true", []any{}
	// add replaces each % by the placeholder of the next value.
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "%", "$"+strconv.Itoa(len(args)), 1)
		}
		where += " AND " + condition
	}
	switch q.State {
	case keys.StateActive:
		add("severed_at IS NULL AND "+end+" > %", q.Now.UnixMicro())
	case keys.StateEnded:
		add("severed_at IS NULL AND "+end+" <= %", q.Now.UnixMicro())
	case keys.StateSevered:
		add("severed_at IS NOT NULL")
	}
	if !q.EndsBy.IsZero() {
		add("severed_at IS NULL AND (retention <= % OR sever_at <= %)", q.EndsBy.UnixMicro(), q.EndsBy.UnixMicro())
	}
	order := "name"
	switch q.Sort {
	case keys.SortEnd:
		order = end + ", name"
	case keys.SortCreated:
		order = "created, name"
	}
	if a := &q.After; a.Name != "" {
		switch q.Sort {
		case keys.SortEnd:
			at := int64(never)
			if e := a.End(); !e.IsZero() {
				at = e.UnixMicro()
			}
			add("("+end+", name) > (%, %)", at, a.Name)
		case keys.SortCreated:
			add("(created, name) > (%, %)", a.Created.UnixMicro(), a.Name)
		default:
			add("name > %", a.Name)
		}
	}
	rest := " ORDER BY " + order
	if q.Limit > 0 {
		rest += " LIMIT " + strconv.Itoa(q.Limit)
	}
	return list(t, scanProject, "SELECT "+projectColumns+" FROM velonym.project WHERE "+where+rest, args...)
}

// Due uses one index for each condition.
func (t *tx) Due(by time.Time) ([]keys.ProjectRow, error) {
	return list(t, scanProject, "SELECT "+projectColumns+` FROM velonym.project WHERE severed_at IS NULL AND
		(retention <= $1 OR sever_at <= $1 OR ended IS NOT NULL OR rotate_at <= $1) ORDER BY name`, by.UnixMicro())
}

// Outlook reads the table once.
func (t *tx) Outlook(now time.Time) (o keys.Outlook, err error) {
	var end, destruction *int64
	err = t.t.QueryRow(t.ctx, `
		WITH p AS (SELECT severed_at IS NOT NULL AS severed, ended + grace * 1000000 AS destruction,
			least(coalesce(retention, 9223372036854775807), coalesce(sever_at, 9223372036854775807)) AS ends FROM velonym.project)
		SELECT count(*) FILTER (WHERE NOT severed AND ends > $1), count(*) FILTER (WHERE NOT severed AND ends <= $1), count(*) FILTER (WHERE severed),
			count(*) FILTER (WHERE NOT severed AND ends > $1 AND ends <= $2), count(*) FILTER (WHERE NOT severed AND ends > $1 AND ends <= $3),
			min(ends) FILTER (WHERE NOT severed AND ends > $1 AND ends < 9223372036854775807), min(destruction) FILTER (WHERE NOT severed AND ends <= $1)
		FROM p`, now.UnixMicro(), now.Add(keys.OutlookWeek).UnixMicro(), now.Add(keys.OutlookMonth).UnixMicro()).
		Scan(&o.Active, &o.Ended, &o.Severed, &o.Within7d, &o.Within30d, &end, &destruction)
	o.NextEnd, o.NextDestruction = fromNull(end), fromNull(destruction)
	return o, t.s.wrapErr(err)
}

func (t *tx) AddProject(p keys.ProjectRow) error {
	r, err := t.t.Exec(t.ctx, "INSERT INTO velonym.project ("+projectColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT DO NOTHING",
		p.Name, p.Method, p.Policy, p.Form, p.Tag, p.Orgs, nullTime(p.Retention), p.Imported, p.Created.UnixMicro(), nullTime(p.SeveredAt), p.Reason, notNil(p.KeysMAC), notNil(p.Seal), int64(p.Grace/time.Second), nullTime(p.Ended), nullTime(p.SeverAt),
		int64(p.RotateEvery/time.Second), nullTime(p.RotateAt))
	if err == nil && r.RowsAffected() == 0 {
		return keys.ErrExists
	}
	return t.s.wrapErr(err)
}

func (t *tx) SetRetention(name string, until time.Time) error {
	return t.execOne("UPDATE velonym.project SET retention = $1 WHERE name = $2", until.UnixMicro(), name)
}

func (t *tx) SetSevered(name string, at time.Time, reason string) error {
	return t.execOne("UPDATE velonym.project SET severed_at = $1, reason = $2 WHERE name = $3", at.UnixMicro(), reason, name)
}

func (t *tx) SetSchedule(name string, ended, severAt time.Time) error {
	return t.execOne("UPDATE velonym.project SET ended = $1, sever_at = $2 WHERE name = $3", nullTime(ended), nullTime(severAt), name)
}

func (t *tx) SetRotation(name string, every time.Duration, at time.Time) error {
	return t.execOne("UPDATE velonym.project SET rotate_every = $1, rotate_at = $2 WHERE name = $3", int64(every/time.Second), nullTime(at), name)
}
