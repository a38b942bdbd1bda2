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

// never stands for a token that does not expire.
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
	return t.s.wrapErr(err)
}

// execOne is exec for a statement that must change exactly one row. Errors: ErrNotFound
// if it changes none.
func (t *tx) execOne(query string, args ...any) error {
	r, err := t.t.Exec(t.ctx, query, args...)
	if err != nil {
		return t.s.wrapErr(err)
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
		return nil, t.s.wrapErr(err)
	}
	out, err := pgx.CollectRows(rows, scan)
	return out, t.s.wrapErr(err)
}

func (t *tx) Clock() (now time.Time, err error) {
	err = t.t.QueryRow(t.ctx, "SELECT clock_timestamp()").Scan(&now)
	return now, t.s.wrapErr(err)
}

func (t *tx) Meta(name string) ([]byte, error) {
	var v []byte
	err := t.t.QueryRow(t.ctx, "SELECT value FROM velonym.meta WHERE name = $1", name).Scan(&v)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return v, t.s.wrapErr(err)
}

func (t *tx) SetMeta(name string, value []byte) error {
	if value == nil {
		return t.exec("DELETE FROM velonym.meta WHERE name = $1", name)
	}
	return t.exec("INSERT INTO velonym.meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
}

// notNil returns b, or an empty slice for a column that must not be NULL.
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
	return doc, t.s.wrapErr(err)
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
	return n, t.s.wrapErr(err)
}

// Upgrade takes an advisory lock in addition to the lock of Update, so that
// administrators can see in pg_locks who upgrades.
func (t *tx) Upgrade() error {
	if err := t.exec("SELECT pg_advisory_xact_lock($1)", upgradeLock); err != nil {
		return err
	}
	n, err := t.Schema()
	if err != nil {
		return err
	}
	for _, statements := range upgrades()[n-1:] {
		if err := t.exec(statements); err != nil {
			return err
		}
	}
	return nil
}

// upgradeLock is the key of the advisory lock, "VLNY".
const upgradeLock = int64(0x564c4e59)

func (t *tx) AddReceipt(project string, doc []byte) error {
	return t.exec("INSERT INTO velonym.receipt (project, doc) VALUES ($1, $2)", project, doc)
}

func (t *tx) Receipts(project string) ([][]byte, error) {
	if project == "" {
		return list(t, pgx.RowTo[[]byte], "SELECT doc FROM velonym.receipt ORDER BY id")
	}
	return list(t, pgx.RowTo[[]byte], "SELECT doc FROM velonym.receipt WHERE project = $1 ORDER BY id", project)
}

func (t *tx) Change() (uint64, error) {
	var n int64
	err := t.t.QueryRow(t.ctx, "SELECT n FROM velonym.change_number").Scan(&n)
	return uint64(n), t.s.wrapErr(err)
}

// RaiseChange also notifies watchers when the transaction commits.
func (t *tx) RaiseChange() error {
	if err := t.execOne("UPDATE velonym.change_number SET n = n + 1"); err != nil {
		return err
	}
	return t.exec("SELECT pg_notify($1, '')", changeChannel)
}
