package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

type tx struct {
	s   *Store
	t   *sql.Tx
	ctx context.Context
}

// never stands for a token that does not expire.
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
	return t.s.wrapErr(err)
}

// execOne is exec for a statement that must change exactly one row. Errors: ErrNotFound
// if it changes none.
func (t *tx) execOne(query string, args ...any) error {
	n, err := t.execCount(query, args...)
	if err == nil && n != 1 {
		err = keys.ErrNotFound
	}
	return err
}

// execCount is exec that returns the number of changed rows.
func (t *tx) execCount(query string, args ...any) (int64, error) {
	r, err := t.t.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, t.s.wrapErr(err)
	}
	return r.RowsAffected()
}

// Clock returns zero: a file has no clock.
func (t *tx) Clock() (time.Time, error) { return time.Time{}, nil }

func (t *tx) Meta(name string) ([]byte, error) {
	var v []byte
	err := t.row(metaQuery, name).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return v, t.s.wrapErr(err)
}

func (t *tx) SetMeta(name string, value []byte) error {
	if value == nil {
		return t.exec("DELETE FROM meta WHERE name = ?", name)
	}
	return t.exec("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}

// notNil returns b, or an empty slice for a column that must not be NULL.
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
	err := t.row(sealListQuery, int64(bucket)).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return doc, t.s.wrapErr(err)
}

func (t *tx) SealLists() (map[uint16][]byte, error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT bucket, doc FROM seal_list")
	if err != nil {
		return nil, t.s.wrapErr(err)
	}
	defer rows.Close()
	out := map[uint16][]byte{}
	for rows.Next() {
		var bucket int64
		var doc []byte
		if err := rows.Scan(&bucket, &doc); err != nil {
			return nil, t.s.wrapErr(err)
		}
		out[uint16(bucket)] = doc
	}
	return out, t.s.wrapErr(rows.Err())
}

func (t *tx) SetSealList(bucket uint16, doc []byte) error {
	return t.exec("INSERT INTO seal_list VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET doc = excluded.doc", int64(bucket), doc)
}

func (t *tx) Schema() (int, error) {
	var n int
	err := t.t.QueryRowContext(t.ctx, "SELECT version FROM schema_version").Scan(&n)
	return n, t.s.wrapErr(err)
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

func (t *tx) AddReceipt(project string, doc []byte) error {
	return t.exec("INSERT INTO receipt (project, doc) VALUES (?, ?)", project, doc)
}

func (t *tx) Receipts(project string) ([][]byte, error) {
	query, args := "SELECT doc FROM receipt WHERE project = ? ORDER BY id", []any{project}
	if project == "" {
		query, args = "SELECT doc FROM receipt ORDER BY id", nil
	}
	rows, err := t.t.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, t.s.wrapErr(err)
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return nil, t.s.wrapErr(err)
		}
		out = append(out, doc)
	}
	return out, t.s.wrapErr(rows.Err())
}

func (t *tx) Change() (uint64, error) {
	var n int64
	err := t.row(changeQuery).Scan(&n)
	return uint64(n), t.s.wrapErr(err)
}

func (t *tx) RaiseChange() error { return t.execOne("UPDATE change_number SET n = n + 1") }
