package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/keys"
	sqlite3 "modernc.org/sqlite/lib"
)

type tx struct {
	s   *Store
	t   *sql.Tx
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

func fromExpiry(us int64) time.Time {
	if us == never {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func nullTime(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func fromNull(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.t.ExecContext(t.ctx, query, args...)
	return t.s.fault(err)
}

// execOne is exec of a statement that must change exactly one row.
func (t *tx) execOne(query string, args ...any) error {
	r, err := t.t.ExecContext(t.ctx, query, args...)
	if err != nil {
		return t.s.fault(err)
	}
	n, err := r.RowsAffected()
	if err == nil && n != 1 {
		err = keys.ErrNotFound
	}
	return err
}

// Clock is zero: the file has no clock.
func (t *tx) Clock() (time.Time, error) { return time.Time{}, nil }

func (t *tx) Meta(name string) ([]byte, error) {
	var v []byte
	err := t.t.QueryRowContext(t.ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return v, t.s.fault(err)
}

func (t *tx) SetMeta(name string, value []byte) error {
	if value == nil {
		return t.exec("DELETE FROM meta WHERE name = ?", name)
	}
	return t.exec("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}

const projectColumns = "name, method, policy, format, tag, orgs, retention, imported, created, severed_at, reason, keys_mac, seal, grace, ended, sever_at"

func (t *tx) scanProject(row interface{ Scan(...any) error }) (keys.ProjectRow, error) {
	var p keys.ProjectRow
	var orgs []byte
	var retention, severed, ended, severAt sql.NullInt64
	var created, grace int64
	err := row.Scan(&p.Name, &p.Method, &p.Policy, &p.Form, &p.Tag, &orgs, &retention, &p.Imported, &created, &severed, &p.Reason, &p.KeysMAC, &p.Seal, &grace, &ended, &severAt)
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
	return p, nil
}

func (t *tx) Project(name string) (keys.ProjectRow, error) {
	p, err := t.scanProject(t.t.QueryRowContext(t.ctx, "SELECT "+projectColumns+" FROM project WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return keys.ProjectRow{}, keys.ErrNotFound
	}
	if err != nil && !errors.Is(err, keys.ErrCorrupt) {
		err = t.s.fault(err)
	}
	return p, err
}

func (t *tx) Projects() ([]keys.ProjectRow, error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT "+projectColumns+" FROM project ORDER BY name")
	if err != nil {
		return nil, t.s.fault(err)
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
	return out, t.s.fault(rows.Err())
}

func (t *tx) AddProject(p keys.ProjectRow) error {
	orgs, err := json.Marshal(p.Orgs)
	if err != nil {
		return fmt.Errorf("keys: organisations: %w", err)
	}
	_, err = t.t.ExecContext(t.ctx, "INSERT INTO project ("+projectColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		p.Name, p.Method, p.Policy, p.Form, p.Tag, orgs, nullTime(p.Retention), p.Imported, p.Created.UnixMicro(), nullTime(p.SeveredAt), p.Reason, notNil(p.KeysMAC), notNil(p.Seal), int64(p.Grace/time.Second), nullTime(p.Ended), nullTime(p.SeverAt))
	if code(err) == sqlite3.SQLITE_CONSTRAINT {
		return keys.ErrExists
	}
	return t.s.fault(err)
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

// notNil is b for a column that holds no NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (t *tx) SetSeal(name string, keysMAC, seal []byte) error {
	return t.execOne("UPDATE project SET keys_mac = ?, seal = ? WHERE name = ?", keysMAC, seal, name)
}

func (t *tx) SealList(bucket uint16) ([]byte, error) {
	var doc []byte
	err := t.t.QueryRowContext(t.ctx, "SELECT doc FROM seal_list WHERE bucket = ?", int64(bucket)).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return doc, t.s.fault(err)
}

func (t *tx) SealLists() (map[uint16][]byte, error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT bucket, doc FROM seal_list")
	if err != nil {
		return nil, t.s.fault(err)
	}
	defer rows.Close()
	out := map[uint16][]byte{}
	for rows.Next() {
		var bucket int64
		var doc []byte
		if err := rows.Scan(&bucket, &doc); err != nil {
			return nil, t.s.fault(err)
		}
		out[uint16(bucket)] = doc
	}
	return out, t.s.fault(rows.Err())
}

func (t *tx) SetSealList(bucket uint16, doc []byte) error {
	return t.exec("INSERT INTO seal_list VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET doc = excluded.doc", int64(bucket), doc)
}

func (t *tx) Schema() (int, error) {
	var n int
	err := t.t.QueryRowContext(t.ctx, "SELECT version FROM schema_version").Scan(&n)
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

// keyRows reads wrapped secrets without leaving a copy of the driver's behind:
// what it made is copied once and overwritten.
//
// SQLite copies a blob to memory of the statement's, and frees that as it is: see
// [tx.overwrite].
func (t *tx) keyRows(wrapped, where string, args ...any) ([]keys.KeyRow, error) {
	out, err := t.readKeys(wrapped, where, args...)
	if wrapped == secretColumn {
		err = errors.Join(err, t.overwrite())
	}
	return out, err
}

// manyZeros has more blobs of the size of a wrapped secret than a connection has
// small pieces of memory that are free, all at the same time.
var manyZeros = "SELECT " + strings.Repeat("zeroblob(60), ", zeroCount-1) + "zeroblob(60)"

const zeroCount = 192

// overwrite has SQLite fill the memory of this connection that small blobs were in.
func (t *tx) overwrite() error {
	rows, err := t.t.QueryContext(t.ctx, manyZeros)
	if err != nil {
		return t.s.fault(err)
	}
	defer rows.Close()
	for rows.Next() { // which reads all columns
	}
	return t.s.fault(rows.Err())
}

const secretColumn = "wrapped"

func (t *tx) readKeys(wrapped, where string, args ...any) ([]keys.KeyRow, error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT prj, org, gen, state, imported, created, destroyed, "+wrapped+" FROM generation WHERE "+where+" ORDER BY org, gen", args...)
	if err != nil {
		return nil, t.s.fault(err)
	}
	defer rows.Close()
	var out []keys.KeyRow
	for rows.Next() {
		var k keys.KeyRow
		var created int64
		var destroyed sql.NullInt64
		var blob sql.RawBytes
		if err := rows.Scan(&k.Prj, &k.Org, &k.Gen, &k.State, &k.Imported, &created, &destroyed, &blob); err != nil {
			return nil, t.s.fault(err)
		}
		if blob != nil {
			k.Wrapped = bytes.Clone(blob)
			clear(blob)
		}
		k.Created = time.UnixMicro(created).UTC()
		k.Destroyed = fromNull(destroyed)
		out = append(out, k)
	}
	return out, t.s.fault(rows.Err())
}

func (t *tx) Keys(prj string) ([]keys.KeyRow, error) { return t.keyRows(secretColumn, "prj = ?", prj) }

func (t *tx) KeyStates(prj string) ([]keys.KeyRow, error) { return t.keyRows("NULL", "prj = ?", prj) }

func (t *tx) DomainKeys(d keys.Domain) ([]keys.KeyRow, error) {
	return t.keyRows(secretColumn, "prj = ? AND org = ?", d.Prj, d.Org)
}

func (t *tx) AddKey(k keys.KeyRow) error {
	return t.exec("INSERT INTO generation (prj, org, gen, state, imported, created, destroyed, wrapped) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		k.Prj, k.Org, k.Gen, string(k.State), k.Imported, k.Created.UnixMicro(), nullTime(k.Destroyed), k.Wrapped)
}

func (t *tx) Deactivate(d keys.Domain, gen int) error {
	return t.execOne("UPDATE generation SET state = 'deactivated' WHERE prj = ? AND org = ? AND gen = ?", d.Prj, d.Org, gen)
}

func (t *tx) EraseKeys(prj string, at time.Time) error {
	// Same length, so in place; then secure_delete clears what NULL frees.
	if err := t.exec("UPDATE generation SET wrapped = zeroblob(length(wrapped)) WHERE prj = ? AND wrapped IS NOT NULL", prj); err != nil {
		return err
	}
	return t.exec("UPDATE generation SET wrapped = NULL, state = 'destroyed', destroyed = ? WHERE prj = ? AND state <> 'destroyed'", at.UnixMicro(), prj)
}

func (t *tx) AddReceipt(project string, doc []byte) error {
	return t.exec("INSERT INTO receipt (project, doc) VALUES (?, ?)", project, doc)
}

func (t *tx) Receipts(project string) ([][]byte, error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT doc FROM receipt WHERE ?1 = '' OR project = ?1 ORDER BY id", project)
	if err != nil {
		return nil, t.s.fault(err)
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return nil, t.s.fault(err)
		}
		out = append(out, doc)
	}
	return out, t.s.fault(rows.Err())
}

func (t *tx) Change() (uint64, error) {
	var n int64
	err := t.t.QueryRowContext(t.ctx, "SELECT n FROM change_counter").Scan(&n)
	return uint64(n), t.s.fault(err)
}

func (t *tx) RaiseChange() error { return t.execOne("UPDATE change_counter SET n = n + 1") }
