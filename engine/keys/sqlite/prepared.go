package sqlite

import (
	"context"
	"database/sql"

	"github.com/velonym/velonym/engine/keys"
)

// Queries that a token costs which was not seen before. SQLite takes several times as
// long to parse them as to run them.
const (
	metaQuery     = "SELECT value FROM meta WHERE name = ?"
	sealListQuery = "SELECT doc FROM seal_list WHERE bucket = ?"
	changeQuery   = "SELECT n FROM change_number"
	projectQuery  = "SELECT " + projectColumns + " FROM project WHERE name = ?"
)

// prepare parses the frequent queries once for each connection. The one that reads
// secrets is not among them: what a statement copied is to go with it. Within a
// transaction no other connection may be waited for, so this is done at the start; a
// file of an older schema goes without until it is opened again.
func (s *Store) prepare(ctx context.Context) error {
	var schema int
	if err := s.db.QueryRowContext(ctx, "SELECT version FROM schema_version").Scan(&schema); err != nil || schema != keys.SchemaVersion {
		return s.fault(err)
	}
	prepared := map[string]*sql.Stmt{}
	for _, q := range []string{metaQuery, sealListQuery, changeQuery, projectQuery, manyZeros} {
		st, err := s.db.PrepareContext(ctx, q)
		if err != nil {
			return s.fault(err)
		}
		prepared[q] = st
	}
	s.prepared = prepared
	return nil
}

// row is QueryRowContext of the transaction.
func (t *tx) row(query string, args ...any) *sql.Row {
	if st := t.s.prepared[query]; st != nil {
		return t.t.StmtContext(t.ctx, st).QueryRowContext(t.ctx, args...)
	}
	return t.t.QueryRowContext(t.ctx, query, args...)
}

// rows is QueryContext of the transaction.
func (t *tx) rows(query string, args ...any) (*sql.Rows, error) {
	if st := t.s.prepared[query]; st != nil {
		return t.t.StmtContext(t.ctx, st).QueryContext(t.ctx, args...)
	}
	return t.t.QueryContext(t.ctx, query, args...)
}
