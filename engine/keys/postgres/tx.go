package postgres

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/velonym/velonym/engine/keys"
)

type tx struct {
	s   *Store
	t   pgx.Tx
	ctx context.Context
}

// never stands for no expiry.
const never = math.MaxInt64

func expiry(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMicro()
}

func nullTime(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

func fromNull(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return time.UnixMicro(*us).UTC()
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.t.Exec(t.ctx, query, args...)
	return t.s.fault(err)
}

// execOne is exec of a statement that must change exactly one row.
func (t *tx) execOne(query string, args ...any) error {
	r, err := t.t.Exec(t.ctx, query, args...)
	if err != nil {
		return t.s.fault(err)
	}
	if r.RowsAffected() != 1 {
		return keys.ErrNotFound
	}
	return nil
}

// list collects the rows of a query.
func list[T any](t *tx, scan pgx.RowToFunc[T], query string, args ...any) ([]T, error) {
	rows, err := t.t.Query(t.ctx, query, args...)
	if err != nil {
		return nil, t.s.fault(err)
	}
	out, err := pgx.CollectRows(rows, scan)
	return out, t.s.fault(err)
}

func (t *tx) Clock() (now time.Time, err error) {
	err = t.t.QueryRow(t.ctx, "SELECT clock_timestamp()").Scan(&now)
	return now, t.s.fault(err)
}

func (t *tx) Meta(name string) ([]byte, error) {
	var v []byte
	err := t.t.QueryRow(t.ctx, "SELECT value FROM velonym.meta WHERE name = $1", name).Scan(&v)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return v, t.s.fault(err)
}

func (t *tx) SetMeta(name string, value []byte) error {
	if value == nil {
		return t.exec("DELETE FROM velonym.meta WHERE name = $1", name)
	}
	return t.exec("INSERT INTO velonym.meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}

const projectColumns = "name, method, policy, format, tag, orgs, retention, imported, created, severed_at, reason, keys_mac, seal, grace, ended, sever_at"

func scanProject(row pgx.CollectableRow) (keys.ProjectRow, error) {
	var p keys.ProjectRow
	var retention, severed, ended, severAt *int64
	var created, grace int64
	err := row.Scan(&p.Name, &p.Method, &p.Policy, &p.Form, &p.Tag, &p.Orgs, &retention, &p.Imported, &created, &severed, &p.Reason, &p.KeysMAC, &p.Seal, &grace, &ended, &severAt)
	p.Retention = fromNull(retention)
	p.Created = time.UnixMicro(created).UTC()
	p.SeveredAt = fromNull(severed)
	p.Severed = severed != nil
	p.Grace = time.Duration(grace) * time.Second
	p.Ended, p.SeverAt = fromNull(ended), fromNull(severAt)
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

func (t *tx) AddProject(p keys.ProjectRow) error {
	r, err := t.t.Exec(t.ctx, "INSERT INTO velonym.project ("+projectColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING",
		p.Name, p.Method, p.Policy, p.Form, p.Tag, p.Orgs, nullTime(p.Retention), p.Imported, p.Created.UnixMicro(), nullTime(p.SeveredAt), p.Reason, notNil(p.KeysMAC), notNil(p.Seal), int64(p.Grace/time.Second), nullTime(p.Ended), nullTime(p.SeverAt))
	if err == nil && r.RowsAffected() == 0 {
		return keys.ErrExists
	}
	return t.s.fault(err)
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

// notNil is b for a column that holds no NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (t *tx) SetSeal(name string, keysMAC, seal []byte) error {
	return t.execOne("UPDATE velonym.project SET keys_mac = $1, seal = $2 WHERE name = $3", keysMAC, seal, name)
}

func (t *tx) SealList(bucket uint16) ([]byte, error) {
	var doc []byte
	err := t.t.QueryRow(t.ctx, "SELECT doc FROM velonym.seal_list WHERE bucket = $1", int32(bucket)).Scan(&doc)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return doc, t.s.fault(err)
}

func (t *tx) SealLists() (map[uint16][]byte, error) {
	out := map[uint16][]byte{}
	_, err := list(t, func(row pgx.CollectableRow) (none struct{}, err error) {
		var bucket int32
		var doc []byte
		err = row.Scan(&bucket, &doc)
		out[uint16(bucket)] = doc
		return none, err
	}, "SELECT bucket, doc FROM velonym.seal_list")
	return out, err
}

func (t *tx) SetSealList(bucket uint16, doc []byte) error {
	return t.exec("INSERT INTO velonym.seal_list VALUES ($1, $2) ON CONFLICT (bucket) DO UPDATE SET doc = excluded.doc", int32(bucket), doc)
}

func (t *tx) Schema() (int, error) {
	var n int
	err := t.t.QueryRow(t.ctx, "SELECT version FROM velonym.schema_version").Scan(&n)
	return n, t.s.fault(err)
}

func (t *tx) Upgrade() error {
	n, err := t.Schema()
	if err != nil {
		return err
	}
	for _, statements := range upgrades[n-1:] {
		if err := t.exec(statements); err != nil {
			return err
		}
	}
	return nil
}

const keyColumns = "prj, org, gen, state, imported, created, destroyed, wrapped"

func scanKey(row pgx.CollectableRow) (keys.KeyRow, error) {
	var k keys.KeyRow
	var created int64
	var destroyed *int64
	err := row.Scan(&k.Prj, &k.Org, &k.Gen, &k.State, &k.Imported, &created, &destroyed, &k.Wrapped)
	k.Created = time.UnixMicro(created).UTC()
	k.Destroyed = fromNull(destroyed)
	// What was copied is overwritten in the connection's buffer, too.
	if raw := row.RawValues(); len(raw) == 8 {
		clear(raw[7])
	}
	return k, err
}

func (t *tx) Keys(prj string) ([]keys.KeyRow, error) {
	return list(t, scanKey, "SELECT "+keyColumns+" FROM velonym.generation WHERE prj = $1 ORDER BY org, gen", prj)
}

func (t *tx) KeyStates(prj string) ([]keys.KeyRow, error) {
	return list(t, scanKey, "SELECT prj, org, gen, state, imported, created, destroyed, NULL::bytea FROM velonym.generation WHERE prj = $1 ORDER BY org, gen", prj)
}

func (t *tx) DomainKeys(d keys.Domain) ([]keys.KeyRow, error) {
	return list(t, scanKey, "SELECT "+keyColumns+" FROM velonym.generation WHERE prj = $1 AND org = $2 ORDER BY gen", d.Prj, d.Org)
}

func (t *tx) AddKey(k keys.KeyRow) error {
	return t.exec("INSERT INTO velonym.generation ("+keyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		k.Prj, k.Org, k.Gen, string(k.State), k.Imported, k.Created.UnixMicro(), nullTime(k.Destroyed), k.Wrapped)
}

func (t *tx) Deactivate(d keys.Domain, gen int) error {
	return t.execOne("UPDATE velonym.generation SET state = 'deactivated' WHERE prj = $1 AND org = $2 AND gen = $3", d.Prj, d.Org, gen)
}

// EraseKeys cannot overwrite: an update makes a new row here. The old ones go
// with [Store.Scrub].
func (t *tx) EraseKeys(prj string, at time.Time) error {
	return t.exec("UPDATE velonym.generation SET wrapped = NULL, state = 'destroyed', destroyed = $2 WHERE prj = $1 AND state <> 'destroyed'", prj, at.UnixMicro())
}

func (t *tx) AddReceipt(project string, doc []byte) error {
	return t.exec("INSERT INTO velonym.receipt (project, doc) VALUES ($1, $2)", project, doc)
}

func (t *tx) Receipts(project string) ([][]byte, error) {
	return list(t, pgx.RowTo[[]byte], "SELECT doc FROM velonym.receipt WHERE $1 = '' OR project = $1 ORDER BY id", project)
}

func (t *tx) Change() (uint64, error) {
	var n int64
	err := t.t.QueryRow(t.ctx, "SELECT n FROM velonym.change_counter").Scan(&n)
	return uint64(n), t.s.fault(err)
}

func (t *tx) RaiseChange() error { return t.execOne("UPDATE velonym.change_counter SET n = n + 1") }
