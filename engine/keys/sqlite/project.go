package sqlite

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/velonym/velonym/engine/keys"
	sqlite3 "modernc.org/sqlite/lib"
)

const projectColumns = "name, method, policy, format, tag, orgs, retention, imported, created, severed_at, reason, keys_mac, seal, grace, ended, sever_at, rotate_every, rotate_at"

func (t *tx) scanProject(row interface{ Scan(...any) error }) (keys.ProjectRow, error) {
	var p keys.ProjectRow
	var orgs []byte
	var retention, severed, ended, severAt, rotateAt sql.NullInt64
	var created, grace, every int64
	err := row.Scan(&p.Name, &p.Method, &p.Policy, &p.Form, &p.Tag, &orgs, &retention, &p.Imported, &created, &severed, &p.Reason, &p.KeysMAC, &p.Seal, &grace, &ended, &severAt, &every, &rotateAt)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(orgs, &p.Orgs); err != nil {
		return p, fmt.Errorf("%w: %s: the organisations of a project cannot be read: restore it from a backup", keys.ErrCorrupt, t.s.path)
	}
	p.Retention = fromNull(retention)
	p.Created = time.UnixMicro(created).UTC()
	p.SeveredAt = fromNull(severed)
	p.Severed = severed.Valid
	p.Grace = time.Duration(grace) * time.Second
	p.Ended, p.SeverAt = fromNull(ended), fromNull(severAt)
	p.RotateEvery, p.RotateAt = time.Duration(every)*time.Second, fromNull(rotateAt)
	return p, nil
}

func (t *tx) Project(name string) (keys.ProjectRow, error) {
	p, err := t.scanProject(t.row(projectQuery, name))
	if errors.Is(err, sql.ErrNoRows) {
		return keys.ProjectRow{}, keys.ErrNotFound
	}
	if err != nil && !errors.Is(err, keys.ErrCorrupt) {
		err = t.s.wrapErr(err)
	}
	return p, err
}

func (t *tx) Projects() ([]keys.ProjectRow, error) {
	return t.projects("ORDER BY name")
}

func (t *tx) projects(rest string, args ...any) ([]keys.ProjectRow, error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT "+projectColumns+" FROM project "+rest, args...)
	if err != nil {
		return nil, t.s.wrapErr(err)
	}
	defer rows.Close()
	var out []keys.ProjectRow
	for rows.Next() {
		p, err := t.scanProject(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, t.s.wrapErr(rows.Err())
}

// ListProjects selects by q.EndsBy with the indexes of ends.
func (t *tx) ListProjects(q keys.ProjectQuery) ([]keys.ProjectRow, error) {
	const end = "min(ifnull(retention, 9223372036854775807), ifnull(sever_at, 9223372036854775807))"
	where, args := "1", []any{}
	add := func(condition string, values ...any) {
		where += " AND " + condition
		args = append(args, values...)
	}
	switch q.State {
	case keys.StateActive:
		add("severed_at IS NULL AND "+end+" > ?", q.Now.UnixMicro())
	case keys.StateEnded:
		add("severed_at IS NULL AND "+end+" <= ?", q.Now.UnixMicro())
	case keys.StateSevered:
		add("severed_at IS NOT NULL")
	}
	if !q.EndsBy.IsZero() {
		add(`name IN (SELECT name FROM project WHERE severed_at IS NULL AND retention IS NOT NULL AND retention <= ?
			UNION SELECT name FROM project WHERE severed_at IS NULL AND sever_at IS NOT NULL AND sever_at <= ?)`, q.EndsBy.UnixMicro(), q.EndsBy.UnixMicro())
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
			add("("+end+", name) > (?, ?)", at, a.Name)
		case keys.SortCreated:
			add("(created, name) > (?, ?)", a.Created.UnixMicro(), a.Name)
		default:
			add("name > ?", a.Name)
		}
	}
	limit := -1
	if q.Limit > 0 {
		limit = q.Limit
	}
	return t.projects("WHERE "+where+" ORDER BY "+order+" LIMIT ?", append(args, limit)...)
}

// Due uses one index for each condition.
func (t *tx) Due(by time.Time) ([]keys.ProjectRow, error) {
	return t.projects(`WHERE name IN (
		SELECT name FROM project WHERE severed_at IS NULL AND retention IS NOT NULL AND retention <= ?1
		UNION SELECT name FROM project WHERE severed_at IS NULL AND sever_at IS NOT NULL AND sever_at <= ?1
		UNION SELECT name FROM project WHERE severed_at IS NULL AND ended IS NOT NULL AND ended > -1
		UNION SELECT name FROM project WHERE severed_at IS NULL AND rotate_at IS NOT NULL AND rotate_at <= ?1)
		ORDER BY name`, by.UnixMicro())
}

func (t *tx) AddProject(p keys.ProjectRow) error {
	orgs, err := json.Marshal(p.Orgs)
	if err != nil {
		return fmt.Errorf("keys: organisations: %w", err)
	}
	_, err = t.t.ExecContext(t.ctx, "INSERT INTO project ("+projectColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		p.Name, p.Method, p.Policy, p.Form, p.Tag, orgs, nullTime(p.Retention), p.Imported, p.Created.UnixMicro(), nullTime(p.SeveredAt), p.Reason, notNil(p.KeysMAC), notNil(p.Seal), int64(p.Grace/time.Second), nullTime(p.Ended), nullTime(p.SeverAt),
		int64(p.RotateEvery/time.Second), nullTime(p.RotateAt))
	if code(err) == sqlite3.SQLITE_CONSTRAINT {
		return keys.ErrExists
	}
	return t.s.wrapErr(err)
}

func (t *tx) SetRetention(name string, until time.Time) error {
	return t.execOne("UPDATE project SET retention = ? WHERE name = ?", until.UnixMicro(), name)
}

func (t *tx) SetSevered(name string, at time.Time, reason string) error {
	return t.execOne("UPDATE project SET severed_at = ?, reason = ? WHERE name = ?", at.UnixMicro(), reason, name)
}

func (t *tx) SetSchedule(name string, ended, severAt time.Time) error {
	return t.execOne("UPDATE project SET ended = ?, sever_at = ? WHERE name = ?", nullTime(ended), nullTime(severAt), name)
}

func (t *tx) SetRotation(name string, every time.Duration, at time.Time) error {
	return t.execOne("UPDATE project SET rotate_every = ?, rotate_at = ? WHERE name = ?", int64(every/time.Second), nullTime(at), name)
}
