package postgres

import (
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/velonym/velonym/engine/keys"
)

const keyColumns = "g.prj, g.org, g.gen, g.state, g.imported, g.created, g.destroyed, "

// withSecret returns a query of a project's generations with their secrets.
func withSecret(prj string) string {
	return "SELECT " + keyColumns + "s.wrapped FROM velonym.generation AS g LEFT JOIN " + secretTable(prj) + " AS s USING (prj, org, gen) WHERE prj = $1"
}

func scanKey(row pgx.CollectableRow) (keys.KeyRow, error) {
	var k keys.KeyRow
	var created int64
	var destroyed *int64
	err := row.Scan(&k.Prj, &k.Org, &k.Gen, &k.State, &k.Imported, &created, &destroyed, &k.Wrapped)
	k.Created = time.UnixMicro(created).UTC()
	k.Destroyed = fromNull(destroyed)
	// Overwrite the copy in the connection's buffer.
	if raw := row.RawValues(); len(raw) == 8 {
		clear(raw[7])
	}
	return k, err
}

func (t *tx) Keys(prj string) ([]keys.KeyRow, error) {
	return list(t, scanKey, withSecret(prj)+" ORDER BY org, gen", prj)
}

func (t *tx) KeyStates(prj string) ([]keys.KeyRow, error) {
	return list(t, scanKey, "SELECT "+keyColumns+"NULL::bytea FROM velonym.generation AS g WHERE prj = $1 ORDER BY org, gen", prj)
}

func (t *tx) DomainKeys(d keys.Domain) ([]keys.KeyRow, error) {
	return list(t, scanKey, withSecret(d.Prj)+" AND org = $2 ORDER BY gen", d.Prj, d.Org)
}

func (t *tx) AddKey(k keys.KeyRow) error {
	err := t.exec("INSERT INTO velonym.generation VALUES ($1, $2, $3, $4, $5, $6, $7)",
		k.Prj, k.Org, k.Gen, string(k.State), k.Imported, k.Created.UnixMicro(), nullTime(k.Destroyed))
	if err != nil {
		return err
	}
	return t.exec("INSERT INTO "+secretTable(k.Prj)+" VALUES ($1, $2, $3, $4)", k.Prj, k.Org, k.Gen, k.Wrapped)
}

func (t *tx) Deactivate(d keys.Domain, gen int) error {
	return t.execOne("UPDATE velonym.generation SET state = 'deactivated' WHERE prj = $1 AND org = $2 AND gen = $3", d.Prj, d.Org, gen)
}

// EraseKeys deletes secrets, which PostgreSQL does not overwrite: they stay in the
// table's file until [Store.Scrub] replaces it.
func (t *tx) EraseKeys(prj string, at time.Time) error {
	return t.erase(prj, at, "")
}

func (t *tx) EraseKey(d keys.Domain, gen int, at time.Time) error {
	return t.erase(d.Prj, at, " AND org = $2 AND gen = $3", d.Org, gen)
}

func (t *tx) erase(prj string, at time.Time, which string, args ...any) error {
	if err := t.exec("INSERT INTO velonym.scrub_due VALUES ($1) ON CONFLICT DO NOTHING", secretPart(prj)); err != nil {
		return err
	}
	args = append([]any{prj}, args...)
	if err := t.exec("DELETE FROM "+secretTable(prj)+" WHERE prj = $1"+which, args...); err != nil {
		return err
	}
	args = append(args, at.UnixMicro())
	return t.exec(fmt.Sprintf("UPDATE velonym.generation SET state = 'destroyed', destroyed = $%d WHERE prj = $1 AND state <> 'destroyed'%s", len(args), which), args...)
}

// RewrapKeys replaces the secrets of one table at a time, rewrapBatch with a statement.
func (t *tx) RewrapKeys(f func(keys.KeyRow) ([]byte, error)) error {
	for part := range secretParts {
		if err := t.rewrapPart(part, f); err != nil {
			return err
		}
	}
	return t.exec("INSERT INTO velonym.scrub_due SELECT generate_series(0, $1) ON CONFLICT DO NOTHING", secretParts-1)
}

// rewrapBatch is how many secrets one statement replaces.
const rewrapBatch = 5000

func (t *tx) rewrapPart(part int, f func(keys.KeyRow) ([]byte, error)) (err error) {
	rows, err := list(t, scanSecret, fmt.Sprintf("SELECT prj, org, gen, wrapped FROM velonym.secret_%d", part))
	var wrapped [][]byte
	defer func() {
		for _, r := range rows {
			clear(r.Wrapped)
		}
		for _, w := range wrapped {
			clear(w)
		}
	}()
	if err != nil {
		return err
	}
	update := fmt.Sprintf("UPDATE velonym.secret_%d AS s SET wrapped = n.wrapped FROM unnest($1::text[], $2::text[], $3::integer[], $4::bytea[]) AS n (prj, org, gen, wrapped) WHERE s.prj = n.prj AND s.org = n.org AND s.gen = n.gen", part)
	for batch := range slices.Chunk(rows, rewrapBatch) {
		var prjs, orgs []string
		var gens []int32
		first := len(wrapped)
		for _, k := range batch {
			w, err := f(k)
			if err != nil {
				return err
			}
			prjs, orgs, gens, wrapped = append(prjs, k.Prj), append(orgs, k.Org), append(gens, int32(k.Gen)), append(wrapped, w)
		}
		if err := t.exec(update, prjs, orgs, gens, wrapped[first:]); err != nil {
			return err
		}
	}
	return nil
}

func scanSecret(row pgx.CollectableRow) (k keys.KeyRow, err error) {
	err = row.Scan(&k.Prj, &k.Org, &k.Gen, &k.Wrapped)
	// Overwrite the copy in the connection's buffer.
	if raw := row.RawValues(); len(raw) == 4 {
		clear(raw[3])
	}
	return k, err
}
