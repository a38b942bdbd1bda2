// Package postgres keeps a keystore in a PostgreSQL database, for several servers. Its
// tables are in a schema of their own, "velonym".
//
// PostgreSQL does not overwrite deleted rows: they stay in its write-ahead log until that
// is recycled, and in every archive, replica and backup. Keep those no longer than the
// retention of the projects allows.
package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/velonym/velonym/engine/keys"
)

// Store is a keystore in a PostgreSQL database. It implements [keys.Store].
type Store struct {
	pool     *pgxpool.Pool
	name     string
	password string // to redact it in errors
}

var (
	_ keys.Store   = (*Store)(nil)
	_ keys.Watcher = (*Store)(nil)
)

// connectTimeout is how long a server may take to accept a connection, unless the address
// sets connect_timeout.
const connectTimeout = 10 * time.Second

// configure parses an address and sets what every connection needs.
func configure(url string) (*pgxpool.Config, error) {
	conf, err := parse(url)
	if err != nil {
		return nil, err
	}
	// Commits must be durable whatever the server's defaults are.
	conf.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	conf.ConnConfig.RuntimeParams["lock_timeout"] = "10000"
	if conf.ConnConfig.RuntimeParams["application_name"] == "" {
		conf.ConnConfig.RuntimeParams["application_name"] = "velonym"
	}
	if conf.ConnConfig.ConnectTimeout == 0 {
		conf.ConnConfig.ConnectTimeout = connectTimeout
	}
	return conf, nil
}

// connect opens a pool and checks that the server answers.
func connect(ctx context.Context, url string) (*Store, error) {
	conf, err := configure(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, redacted{err, conf.ConnConfig.Password})
	}
	s := &Store{pool: pool, password: conf.ConnConfig.Password, name: fmt.Sprintf("postgres database %s on %s", conf.ConnConfig.Database, conf.ConnConfig.Host)}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("%w: %s: %s %w", keys.ErrUnreadable, s.name, remedy(err), oneLine{redacted{err, s.password}})
	}
	return s, nil
}

// remedy says what to do about a connection that failed.
func remedy(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "the server's certificate is not signed by an authority in the file of --tls-root (sslrootcert): name the file of the one that signed it:"
	case errors.As(err, &name):
		return "the server's certificate is for another name than that in the address: connect by a name that it is for:"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has expired, or is not valid yet, by this machine's clock: renew it, or set the clock:"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return "the server does not offer TLS: give it a certificate and set ssl = on there:"
	case strings.HasPrefix(sqlState(err), "28"): // invalid_authorization_specification, invalid_password
		return "it does not let this user in: is the user's name, the password and pg_hba.conf right?"
	}
	return "is it running, and may this user connect?"
}

// oneLine is an error with its text in one line: the driver lists one attempt a line.
type oneLine struct{ err error }

func (e oneLine) Error() string {
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ").Replace(e.err.Error())
}

func (e oneLine) Unwrap() error { return e.err }

// Create creates an empty keystore in an existing database. It never overwrites: if there
// is a schema "velonym" it returns [keys.ErrKeystoreExists].
func Create(ctx context.Context, url string) (keys.Store, error) {
	s, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.createTables(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) createTables(ctx context.Context) error {
	var encoding string
	if err := s.pool.QueryRow(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return s.wrapErr(err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("keys: %s has encoding %s: make one with UTF8", s.name, encoding)
	}
	err := pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		_, err := t.Exec(ctx, schema+strings.Join(upgrades(), ""))
		return err
	})
	switch sqlState(err) {
	case "42P06", "23505": // duplicate_schema; unique_violation if two processes create it at once
		return fmt.Errorf("%w: schema velonym in %s: choose another database, or keep using this keystore", keys.ErrKeystoreExists, s.name)
	}
	return s.wrapErr(err)
}

// Open opens an existing keystore at an address of either form that [IsAddress] accepts.
// It never creates or changes one. No error contains the password. Errors:
// [keys.ErrUnreadable], [keys.ErrNoKeystore], [keys.ErrForeign], [keys.ErrSchema],
// [keys.ErrCorrupt].
func Open(ctx context.Context, url string) (keys.Store, error) {
	s, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.check(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

// check verifies that the database holds a keystore of a known schema.
func (s *Store) check(ctx context.Context) error {
	var hasSchema, hasVersion bool
	err := s.pool.QueryRow(ctx, "SELECT to_regnamespace('velonym') IS NOT NULL, to_regclass('velonym.schema_version') IS NOT NULL").Scan(&hasSchema, &hasVersion)
	if err != nil {
		return s.wrapErr(err)
	}
	if !hasSchema {
		return fmt.Errorf("%w in %s: make one with velonym init, or name its database", keys.ErrNoKeystore, s.name)
	}
	if !hasVersion {
		return fmt.Errorf("%w: schema velonym in %s is something else's: name the right database", keys.ErrForeign, s.name)
	}
	var version int
	if err := s.pool.QueryRow(ctx, "SELECT version FROM velonym.schema_version").Scan(&version); err != nil {
		return s.wrapErr(err)
	}
	if version > keys.SchemaVersion {
		return fmt.Errorf("%w: the keystore in %s was made by a newer version of velonym (schema %d, this one reads %d): use that version", keys.ErrSchema, s.name, version, keys.SchemaVersion)
	}
	if version < keys.OldestSchema {
		return fmt.Errorf("%w: the keystore in %s has schema %d, this version reads %d", keys.ErrSchema, s.name, version, keys.SchemaVersion)
	}
	return nil
}

// sqlState returns the SQLSTATE code of an error of the server, "" for other errors.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// wrapErr adds the database's name, what to do, and a sentinel of package keys to an
// error of the driver.
func (s *Store) wrapErr(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%w: %s lacks a row that it must have: restore it from a backup; it is left as it is", keys.ErrCorrupt, s.name)
	}
	err = oneLine{redacted{err, s.password}}
	switch sqlState(err) {
	case "42P01", "42703", "XX001", "XX002": // undefined_table, undefined_column, data_corrupted, index_corrupted
		return fmt.Errorf("%w: %s: restore it from a backup; it is left as it is: %w", keys.ErrCorrupt, s.name, err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w: %s: the user must own schema velonym: %w", keys.ErrUnreadable, s.name, err)
	}
	return fmt.Errorf("keys: %s: %w", s.name, err)
}

// Name returns the names of the database and its host.
func (s *Store) Name() string { return s.name }

// Close closes the connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// View implements [keys.Store]. It locks the gate, which conflicts only with Scrub,
// before the first statement takes the snapshot: in a snapshot from before a TRUNCATE the
// table would be empty.
func (s *Store) View(ctx context.Context, f func(keys.Tx) error) error {
	t, err := s.beginView(ctx, "scrub_gate")
	if sqlState(err) == "42P01" { // undefined_table: the schema is older than version 5
		t, err = s.beginView(ctx, "generation")
	}
	if err != nil {
		return s.wrapErr(err)
	}
	defer t.Rollback(context.WithoutCancel(ctx))
	return f(&tx{s: s, t: t, ctx: ctx})
}

func (s *Store) beginView(ctx context.Context, gate string) (pgx.Tx, error) {
	return s.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: `
		BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
		LOCK TABLE velonym.` + gate + ` IN ACCESS SHARE MODE`})
}

// Update implements [keys.Store]. A lock on the only row of schema_version serialises
// updates.
func (s *Store) Update(ctx context.Context, f func(keys.Tx) error) error {
	t, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return s.wrapErr(err)
	}
	defer t.Rollback(context.WithoutCancel(ctx))
	if err := lock(ctx, t); err != nil {
		return s.wrapErr(err)
	}
	if err := f(&tx{s: s, t: t, ctx: ctx}); err != nil {
		return err
	}
	return s.wrapErr(t.Commit(ctx))
}

func lock(ctx context.Context, t pgx.Tx) error {
	var n int64
	return t.QueryRow(ctx, "SELECT version FROM velonym.schema_version FOR UPDATE").Scan(&n)
}

// Change implements [keys.Store].
func (s *Store) Change(ctx context.Context, q keys.ChangeQuery) (row keys.ChangeRow, err error) {
	var n int64
	err = s.pool.QueryRow(ctx, "SELECT n, clock_timestamp(), (SELECT value FROM velonym.meta WHERE name = $1), CASE WHEN n <> $2 THEN (SELECT value FROM velonym.meta WHERE name = $3) END FROM velonym.change_number",
		q.Meta, int64(q.Known), q.Changed).Scan(&n, &row.Clock, &row.Meta, &row.Changed)
	row.Number = uint64(n)
	return row, s.wrapErr(err)
}
