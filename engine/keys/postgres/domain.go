package postgres

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// domainQuery returns a query with one row for each generation of a project, or one row
// if there is none. The columns of the project and of the bucket are in the first row only.
// It locks its tables before it takes its snapshot, so it needs no gate: see View.
func domainQuery(prj string) string {
	return `SELECT c.n, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
		CASE WHEN g.i > 1 THEN NULL ELSE (SELECT value FROM velonym.meta WHERE name = $4) END,
		CASE WHEN g.i > 1 THEN NULL ELSE (SELECT doc FROM velonym.seal_list WHERE bucket = $3) END,
		p.name, p.method, p.policy, p.format, p.tag::bigint, to_json(p.orgs)::text, p.retention, p.imported, p.created, p.severed_at, p.reason,
		p.keys_mac, p.seal, p.grace, p.ended, p.sever_at, p.rotate_every, p.rotate_at,
		g.org, g.gen::bigint, g.state, g.imported, g.created, g.destroyed, s.wrapped
	FROM velonym.change_number AS c
	LEFT JOIN velonym.project AS p ON p.name = $1
	LEFT JOIN (SELECT *, row_number() OVER (ORDER BY org, gen) AS i FROM velonym.generation WHERE prj = $1) AS g ON true
	LEFT JOIN ` + secretTable(prj) + ` AS s ON s.prj = g.prj AND s.org = g.org AND s.gen = g.gen AND g.org = $2
	ORDER BY g.i`
}

// Positions of columns of domainQuery.
const (
	columnMeta, columnSealList, columnProject, columnKey, columnWrapped = 2, 3, 4, 22, 28
)

var errDirect = errors.New("postgres: not an answer in binary form")

// Domain implements [keys.Store].
func (s *Store) Domain(ctx context.Context, q keys.DomainQuery, rows *keys.DomainRows) (bool, error) {
	rows.Reset()
	found, err := s.pool.Query(ctx, domainQuery(q.Prj), pgx.QueryResultFormats{pgx.BinaryFormatCode}, q.Prj, q.Org, int32(q.Bucket), q.Meta)
	if err == nil {
		err = readDomain(found, q, rows)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errDirect), sqlState(err) == "42P01": // undefined_table: an older schema
		rows.Reset()
		return false, nil
	}
	return false, s.wrapErr(err)
}

// readDomain reads the rows of domainQuery and closes them.
func readDomain(found pgx.Rows, q keys.DomainQuery, rows *keys.DomainRows) error {
	defer found.Close()
	first := true
	for ; found.Next(); first = false {
		c := columns(found.RawValues())
		if !isBinary(found.FieldDescriptions()) {
			return errDirect
		}
		if first {
			rows.Change = uint64(c.integer(0))
			rows.Clock = c.time(1)
			rows.Meta = append(rows.Meta[:0], c[columnMeta]...)
			rows.SealList = append(rows.SealList[:0], c[columnSealList]...)
			if c[columnProject] != nil {
				if err := c.project(&rows.Project); err != nil {
					return err
				}
			}
		}
		if c[columnKey] != nil {
			c.key(q.Domain, rows.AddKey())
			clear(c[columnWrapped]) // the copy in the connection's buffer
		}
	}
	return found.Err()
}

func isBinary(fields []pgconn.FieldDescription) bool {
	for i := range fields {
		if fields[i].Format != pgx.BinaryFormatCode {
			return false
		}
	}
	return true
}

// columns are the values of a row in binary form; nil is NULL.
type columns [][]byte

func (c columns) integer(i int) int64 {
	if len(c[i]) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(c[i]))
}

// time reads microseconds since 1970; NULL is the zero time.
func (c columns) time(i int) time.Time {
	if c[i] == nil {
		return time.Time{}
	}
	return time.UnixMicro(c.integer(i)).UTC()
}

func (c columns) flag(i int) bool { return len(c[i]) == 1 && c[i][0] != 0 }

func (c columns) project(p *keys.ProjectRow) error {
	const at = columnProject
	p.Name = string(c[at])
	p.Method, p.Policy, p.Form = spec.Method(c[at+1]), spec.Policy(c[at+2]), spec.Form(c[at+3])
	p.Tag = int(c.integer(at + 4))
	if err := json.Unmarshal(c[at+5], &p.Orgs); err != nil {
		return errDirect
	}
	p.Retention = c.time(at + 6)
	p.Imported = c.flag(at + 7)
	p.Created = c.time(at + 8)
	p.SeveredAt = c.time(at + 9)
	p.Severed = c[at+9] != nil
	p.Reason = string(c[at+10])
	p.KeysMAC = append(p.KeysMAC[:0], c[at+11]...)
	p.Seal = append(p.Seal[:0], c[at+12]...)
	p.Grace = time.Duration(c.integer(at+13)) * time.Second
	p.Ended, p.SeverAt = c.time(at+14), c.time(at+15)
	p.RotateEvery, p.RotateAt = time.Duration(c.integer(at+16))*time.Second, c.time(at+17)
	return nil
}

func (c columns) key(d keys.Domain, k *keys.KeyRow) {
	const at = columnKey
	k.Domain = keys.Domain{Prj: d.Prj, Org: string(c[at])}
	k.Gen = int(c.integer(at + 1))
	k.State = keys.State(c[at+2])
	k.Imported = c.flag(at + 3)
	k.Created, k.Destroyed = c.time(at+4), c.time(at+5)
	k.Wrapped = append(k.Wrapped[:0], c[columnWrapped]...)
}
