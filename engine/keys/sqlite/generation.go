package sqlite

import (
	"bytes"
	"database/sql"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// Queries of generations, with and without their secrets.
const (
	generationColumns = "SELECT prj, org, gen, state, imported, created, destroyed, "

	keysQuery       = generationColumns + "wrapped FROM generation LEFT JOIN secret ON id = secret WHERE prj = ? ORDER BY org, gen"
	domainKeysQuery = generationColumns + "wrapped FROM generation LEFT JOIN secret ON id = secret WHERE prj = ? AND org = ? ORDER BY org, gen"
	keyStatesQuery  = generationColumns + "NULL FROM generation WHERE prj = ? ORDER BY org, gen"
)

// keyRows reads generations. It copies wrapped secrets once and overwrites the driver's
// copy; SQLite overwrites its own: see memory.go.
func (t *tx) keyRows(query string, args ...any) ([]keys.KeyRow, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, t.s.wrapErr(err)
	}
	defer rows.Close()
	var out []keys.KeyRow
	for rows.Next() {
		var k keys.KeyRow
		var created int64
		var destroyed sql.NullInt64
		var blob sql.RawBytes
		if err := rows.Scan(&k.Prj, &k.Org, &k.Gen, &k.State, &k.Imported, &created, &destroyed, &blob); err != nil {
			return nil, t.s.wrapErr(err)
		}
		if blob != nil {
			k.Wrapped = bytes.Clone(blob)
			clear(blob)
		}
		k.Created = time.UnixMicro(created).UTC()
		k.Destroyed = fromNull(destroyed)
		out = append(out, k)
	}
	return out, t.s.wrapErr(rows.Err())
}

func (t *tx) Keys(prj string) ([]keys.KeyRow, error) { return t.keyRows(keysQuery, prj) }

func (t *tx) KeyStates(prj string) ([]keys.KeyRow, error) {
	return t.keyRows(keyStatesQuery, prj)
}

func (t *tx) DomainKeys(d keys.Domain) ([]keys.KeyRow, error) {
	return t.keyRows(domainKeysQuery, d.Prj, d.Org)
}

func (t *tx) AddKey(k keys.KeyRow) error {
	r, err := t.t.ExecContext(t.ctx, "INSERT INTO secret (wrapped) VALUES (?)", k.Wrapped)
	if err != nil {
		return t.s.wrapErr(err)
	}
	id, err := r.LastInsertId()
	if err != nil {
		return t.s.wrapErr(err)
	}
	return t.exec("INSERT INTO generation VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		k.Prj, k.Org, k.Gen, string(k.State), k.Imported, k.Created.UnixMicro(), nullTime(k.Destroyed), id)
}

func (t *tx) Deactivate(d keys.Domain, gen int) error {
	return t.execOne("UPDATE generation SET state = 'deactivated' WHERE prj = ? AND org = ? AND gen = ?", d.Prj, d.Org, gen)
}

func (t *tx) EraseKeys(prj string, at time.Time) error {
	return t.erase(at, "prj = ?", prj)
}

func (t *tx) EraseKey(d keys.Domain, gen int, at time.Time) error {
	return t.erase(at, "prj = ? AND org = ? AND gen = ?", d.Prj, d.Org, gen)
}

// erase overwrites secrets in place with zeros of the same length.
func (t *tx) erase(at time.Time, where string, args ...any) error {
	where += " AND secret IS NOT NULL"
	if err := t.exec("UPDATE secret SET wrapped = zeroblob(length(wrapped)) WHERE id IN (SELECT secret FROM generation WHERE "+where+")", args...); err != nil {
		return err
	}
	return t.exec("UPDATE generation SET secret = NULL, state = 'destroyed', destroyed = ? WHERE "+where, append([]any{at.UnixMicro()}, args...)...)
}

// rewrapBatch is how many secrets RewrapKeys holds in memory at a time.
const rewrapBatch = 1000

// RewrapKeys makes the next Scrub rebuild the file: pages that SQLite rebalances may keep
// former content.
func (t *tx) RewrapKeys(f func(keys.KeyRow) ([]byte, error)) error {
	if err := t.exec("INSERT OR IGNORE INTO meta VALUES (?, x'01')", metaVacuum); err != nil {
		return err
	}
	update, err := t.t.PrepareContext(t.ctx, "UPDATE secret SET wrapped = ? WHERE id = ?")
	if err != nil {
		return t.s.wrapErr(err)
	}
	defer update.Close()
	var last keys.KeyRow
	last.Gen = -1
	for {
		batch, err := t.secretsAfter(last)
		if len(batch) > 0 {
			last = batch[len(batch)-1].KeyRow
		}
		for i := range batch {
			if err == nil {
				err = rewrapOne(t, update, &batch[i], f)
			}
			clear(batch[i].Wrapped)
		}
		if err != nil || len(batch) < rewrapBatch {
			return err
		}
	}
}

func rewrapOne(t *tx, update *sql.Stmt, r *secretRow, f func(keys.KeyRow) ([]byte, error)) error {
	wrapped, err := f(r.KeyRow)
	if err != nil {
		return err
	}
	defer clear(wrapped)
	_, err = update.ExecContext(t.ctx, wrapped, r.id)
	return t.s.wrapErr(err)
}

// secretRow is a generation with its secret and the id of the secret's row.
type secretRow struct {
	keys.KeyRow
	id int64
}

// secretsAfter reads the next batch of secrets in the order of the generations' key.
func (t *tx) secretsAfter(last keys.KeyRow) (out []secretRow, err error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT prj, org, gen, id, wrapped FROM generation JOIN secret ON id = secret WHERE (prj, org, gen) > (?, ?, ?) ORDER BY prj, org, gen LIMIT ?",
		last.Prj, last.Org, last.Gen, rewrapBatch)
	if err != nil {
		return nil, t.s.wrapErr(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r secretRow
		var blob sql.RawBytes
		if err := rows.Scan(&r.Prj, &r.Org, &r.Gen, &r.id, &blob); err != nil {
			return out, t.s.wrapErr(err)
		}
		r.Wrapped = bytes.Clone(blob)
		clear(blob)
		out = append(out, r)
	}
	return out, t.s.wrapErr(rows.Err())
}
