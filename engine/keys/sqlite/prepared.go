package sqlite

import (
	"context"
	"database/sql"

	"github.com/velonym/velonym/engine/keys"
)

// The queries that the verification of an unknown token makes. SQLite takes several times
// as long to parse them as to run them.
const (
	metaQuery     = "SELECT value FROM meta WHERE name = ?"
	sealListQuery = "SELECT doc FROM seal_list WHERE bucket = ?"
	changeQuery   = "SELECT n FROM change_number"
	projectQuery  = "SELECT " + projectColumns + " FROM project WHERE name = ?"
)

// prepare prepares the frequent queries. Preparing within a transaction could wait for
// another connection, so Open does it. A file of an older schema has no prepared queries
// until it is opened again.
func (s *Store) prepare(ctx context.Context) error {
	var schema int
	if err := s.db.QueryRowContext(ctx, "SELECT version FROM schema_version").Scan(&schema); err != nil || schema != keys.SchemaVersion {
		return s.wrapErr(err)
	}
	prepared := map[string]*sql.Stmt{}
	for _, q := range []string{metaQuery, sealListQuery, changeQuery, projectQuery, keysQuery} {
		st, err := s.db.PrepareContext(ctx, q)
		if err != nil {
			return s.wrapErr(err)
		}
		prepared[q] = st
	}
	s.prepared = prepared
	if !s.readOnly {
		s.readers.most = maxReaders
	}
	return nil
}

// row is QueryRowContext with a prepared query if there is one.
func (t *tx) row(query string, args ...any) *sql.Row {
	if st := t.s.prepared[query]; st != nil {
		return t.t.StmtContext(t.ctx, st).QueryRowContext(t.ctx, args...)
	}
	return t.t.QueryRowContext(t.ctx, query, args...)
}

// rows is QueryContext with a prepared query if there is one.
func (t *tx) rows(query string, args ...any) (*sql.Rows, error) {
	if st := t.s.prepared[query]; st != nil {
		return t.t.StmtContext(t.ctx, st).QueryContext(t.ctx, args...)
	}
	return t.t.QueryContext(t.ctx, query, args...)
}
