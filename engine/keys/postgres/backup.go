package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

func (t *tx) Metas(f func(name string, value []byte)) error {
	rows, err := t.t.Query(t.ctx, "SELECT name, value FROM velonym.meta ORDER BY name")
	if err != nil {
		return t.s.wrapErr(err)
	}
	var name string
	var value pgtype.DriverBytes
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		f(name, value)
		return nil
	})
	return t.s.wrapErr(err)
}

func (t *tx) Budgets(f func(jti string, spent int64, exp time.Time)) error {
	rows, err := t.t.Query(t.ctx, "SELECT jti, spent, expires FROM velonym.budget")
	if err != nil {
		return t.s.wrapErr(err)
	}
	var jti pgtype.DriverBytes
	var spent, expires int64
	_, err = pgx.ForEachRow(rows, []any{&jti, &spent, &expires}, func() error {
		f(string(jti), spent, fromExpiry(expires))
		return nil
	})
	return t.s.wrapErr(err)
}

func (t *tx) ReceiptsAfter(id int64) (docs [][]byte, last int64, err error) {
	rows, err := t.t.Query(t.ctx, "SELECT id, doc FROM velonym.receipt WHERE id > $1 ORDER BY id", id)
	if err != nil {
		return nil, id, t.s.wrapErr(err)
	}
	last = id
	var doc []byte
	_, err = pgx.ForEachRow(rows, []any{&last, &doc}, func() error {
		docs = append(docs, append([]byte(nil), doc...))
		return nil
	})
	return docs, last, t.s.wrapErr(err)
}

func (t *tx) SetChange(n uint64) error {
	return t.execOne("UPDATE velonym.change_number SET n = $1", int64(n))
}
