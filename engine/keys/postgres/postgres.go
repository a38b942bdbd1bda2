// Package postgres keeps a keystore in a PostgreSQL database, for several
// servers. Its tables are in a schema of their own, "velonym".
//
// PostgreSQL never overwrites: what is deleted from its tables stays in its
// write-ahead log until that is recycled, and in every archive, replica and
// backup. Keep those no longer than the retention of the projects allows.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/velonym/velonym/engine/keys"
)

const schema = `
CREATE SCHEMA velonym;
CREATE TABLE velonym.schema_version (version integer NOT NULL);
CREATE TABLE velonym.change (n bigint NOT NULL);
CREATE TABLE velonym.meta (
	name  text COLLATE "C" PRIMARY KEY,
	value bytea NOT NULL
);
CREATE TABLE velonym.project (
	name       text COLLATE "C" PRIMARY KEY,
	method     text NOT NULL,
	policy     text NOT NULL,
	format     text NOT NULL,
	tag        integer NOT NULL,
	orgs       text[] NOT NULL,
	retention  bigint,
	imported   boolean NOT NULL,
	created    bigint NOT NULL,
	severed_at bigint,
	reason     text NOT NULL DEFAULT ''
);
CREATE TABLE velonym.generation (
	prj       text COLLATE "C" NOT NULL REFERENCES velonym.project (name),
	org       text COLLATE "C" NOT NULL,
	gen       integer NOT NULL CHECK (gen BETWEEN 0 AND 11),
	state     text NOT NULL CHECK (state IN ('active', 'deactivated', 'destroyed')),
	imported  boolean NOT NULL,
	created   bigint NOT NULL,
	destroyed bigint,
	wrapped   bytea,
	PRIMARY KEY (prj, org, gen),
	CHECK ((wrapped IS NULL) = (state = 'destroyed'))
);
CREATE UNIQUE INDEX one_active ON velonym.generation (prj, org) WHERE state = 'active';
CREATE TABLE velonym.receipt (
	id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	project text NOT NULL,
	doc     bytea NOT NULL
);
CREATE TABLE velonym.revocation (
	jti     bytea PRIMARY KEY,
	expires bigint NOT NULL
);
CREATE TABLE velonym.budget (
	jti     bytea PRIMARY KEY,
	spent   bigint NOT NULL,
	expires bigint NOT NULL
);
INSERT INTO velonym.schema_version VALUES (1);
INSERT INTO velonym.change VALUES (1);
`

// upgrades[i] brings tables of version i+1 to version i+2. They are what makes new
// stores too, so that both have the same tables.
var upgrades = []string{`
ALTER TABLE velonym.change RENAME TO changes;
ALTER TABLE velonym.project
	ADD COLUMN keys_mac bytea NOT NULL DEFAULT '',
	ADD COLUMN seal bytea NOT NULL DEFAULT '';
CREATE TABLE velonym.seal_list (
	bucket integer PRIMARY KEY,
	doc    bytea NOT NULL
);
UPDATE velonym.schema_version SET version = 2;
`, `
ALTER TABLE velonym.changes RENAME TO counter;
ALTER TABLE velonym.project
	ADD COLUMN grace bigint NOT NULL DEFAULT 604800,
	ADD COLUMN ended bigint,
	ADD COLUMN sever_at bigint;
UPDATE velonym.schema_version SET version = 3;
`, `
ALTER TABLE velonym.counter RENAME TO change_counter;
ALTER TABLE velonym.revocation ADD COLUMN seq bigint NOT NULL DEFAULT 0;
CREATE INDEX revocation_seq ON velonym.revocation (seq);
CREATE INDEX revocation_expires ON velonym.revocation (expires);
CREATE INDEX budget_expires ON velonym.budget (expires);
CREATE TABLE velonym.revocation_rule (
	issuer text COLLATE "C" NOT NULL,
	prj    text COLLATE "C" NOT NULL,
	before bigint NOT NULL,
	seq    bigint NOT NULL,
	PRIMARY KEY (issuer, prj)
);
CREATE TABLE velonym.issued (
	jti     bytea PRIMARY KEY,
	issuer  text NOT NULL,
	kid     text NOT NULL,
	op      text NOT NULL,
	prj     text COLLATE "C" NOT NULL,
	org     text NOT NULL,
	src_prj text COLLATE "C" NOT NULL,
	src_org text NOT NULL,
	issued  bigint NOT NULL,
	expires bigint NOT NULL,
	most    bigint NOT NULL,
	seal    bytea NOT NULL
);
CREATE INDEX issued_expires ON velonym.issued (expires, jti);
CREATE INDEX issued_prj ON velonym.issued (prj, expires);
CREATE INDEX issued_src ON velonym.issued (src_prj, expires) WHERE src_prj <> '';
UPDATE velonym.schema_version SET version = 4;
`}

// Store is a keystore in a PostgreSQL database. It implements [keys.Store].
type Store struct {
	pool     *pgxpool.Pool
	name     string
	password string // never shown
}

var _ keys.Store = (*Store)(nil)

// connectTimeout is how long a server may take to take a connection, unless the
// address has a connect_timeout of its own.
const connectTimeout = 10 * time.Second

// configure reads an address.
func configure(url string) (*pgxpool.Config, error) {
	conf, err := parse(url)
	if err != nil {
		return nil, err
	}
	// A server started with other defaults must not weaken what a commit means.
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

// connect opens a pool and makes sure that there is a server behind it.
func connect(ctx context.Context, url string) (*Store, error) {
	conf, err := configure(url)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, without{err, conf.ConnConfig.Password})
	}
	s := &Store{pool: pool, password: conf.ConnConfig.Password, name: fmt.Sprintf("postgres database %s on %s", conf.ConnConfig.Database, conf.ConnConfig.Host)}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("%w: %s: is it running, and may this user connect? %w", keys.ErrUnreadable, s.name, oneLine{without{err, s.password}})
	}
	return s, nil
}

// oneLine is an error of the driver, which lists one attempt a line.
type oneLine struct{ err error }

func (e oneLine) Error() string {
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ").Replace(e.err.Error())
}

func (e oneLine) Unwrap() error { return e.err }

// Create makes an empty keystore in a database that exists. It never
// overwrites: if there is a schema "velonym" it returns
// [keys.ErrKeystoreExists].
func Create(ctx context.Context, url string) (keys.Store, error) {
	s, err := connect(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) fill(ctx context.Context) error {
	var encoding string
	if err := s.pool.QueryRow(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return s.fault(err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("keys: %s has encoding %s: make one with UTF8", s.name, encoding)
	}
	err := pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		_, err := t.Exec(ctx, schema+strings.Join(upgrades, ""))
		return err
	})
	switch sqlState(err) {
	case "42P06", "23505": // duplicate_schema; the same, lost in a race
		return fmt.Errorf("%w: schema velonym in %s: choose another database, or keep using this keystore", keys.ErrKeystoreExists, s.name)
	}
	return s.fault(err)
}

// Open opens an existing keystore at an address of either form that [IsAddress]
// knows, and never makes or changes one. No error holds the password. Errors:
// [keys.ErrUnreadable], [keys.ErrNoKeystore], [keys.ErrForeign],
// [keys.ErrSchema], [keys.ErrCorrupt].
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

func (s *Store) check(ctx context.Context) error {
	var hasSchema, hasVersion bool
	err := s.pool.QueryRow(ctx, "SELECT to_regnamespace('velonym') IS NOT NULL, to_regclass('velonym.schema_version') IS NOT NULL").Scan(&hasSchema, &hasVersion)
	if err != nil {
		return s.fault(err)
	}
	if !hasSchema {
		return fmt.Errorf("%w in %s: make one with velonym init, or name its database", keys.ErrNoKeystore, s.name)
	}
	if !hasVersion {
		return fmt.Errorf("%w: schema velonym in %s is something else's: name the right database", keys.ErrForeign, s.name)
	}
	var version int
	if err := s.pool.QueryRow(ctx, "SELECT version FROM velonym.schema_version").Scan(&version); err != nil {
		return s.fault(err)
	}
	if version > keys.SchemaVersion {
		return fmt.Errorf("%w: the keystore in %s was made by a newer version of velonym (schema %d, this one reads %d): use that version", keys.ErrSchema, s.name, version, keys.SchemaVersion)
	}
	if version < keys.OldestSchema {
		return fmt.Errorf("%w: the keystore in %s has schema %d, this version reads %d", keys.ErrSchema, s.name, version, keys.SchemaVersion)
	}
	return nil
}

func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// fault gives an error of the driver its place, and its sentinel.
func (s *Store) fault(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%w: %s lacks a row that it must have: restore it from a backup; it is left as it is", keys.ErrCorrupt, s.name)
	}
	err = oneLine{without{err, s.password}}
	switch sqlState(err) {
	case "42P01", "42703", "XX001", "XX002": // undefined_table, undefined_column, data_corrupted, index_corrupted
		return fmt.Errorf("%w: %s: restore it from a backup; it is left as it is: %w", keys.ErrCorrupt, s.name, err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("%w: %s: the user must own schema velonym: %w", keys.ErrUnreadable, s.name, err)
	}
	return fmt.Errorf("keys: %s: %w", s.name, err)
}

// Name names the database and its host.
func (s *Store) Name() string { return s.name }

// Close closes the connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// View implements [keys.Store]. The table is locked, against Scrub alone, before
// the first statement takes the snapshot: to a snapshot from before a TRUNCATE,
// the table is empty.
func (s *Store) View(ctx context.Context, f func(keys.Tx) error) error {
	t, err := s.pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: `
		BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
		LOCK TABLE velonym.generation IN ACCESS SHARE MODE`})
	if err != nil {
		return s.fault(err)
	}
	defer t.Rollback(context.WithoutCancel(ctx))
	return f(&tx{s: s, t: t, ctx: ctx})
}

// Update implements [keys.Store]. The lock on the one row of the schema's version
// is what serialises it.
func (s *Store) Update(ctx context.Context, f func(keys.Tx) error) error {
	t, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return s.fault(err)
	}
	defer t.Rollback(context.WithoutCancel(ctx))
	if err := lock(ctx, t); err != nil {
		return s.fault(err)
	}
	if err := f(&tx{s: s, t: t, ctx: ctx}); err != nil {
		return err
	}
	return s.fault(t.Commit(ctx))
}

func lock(ctx context.Context, t pgx.Tx) error {
	var n int64
	return t.QueryRow(ctx, "SELECT version FROM velonym.schema_version FOR UPDATE").Scan(&n)
}

// Change implements [keys.Store].
func (s *Store) Change(ctx context.Context, meta string) (n uint64, clock time.Time, value []byte, err error) {
	var signed int64
	err = s.pool.QueryRow(ctx, "SELECT n, clock_timestamp(), (SELECT value FROM velonym.meta WHERE name = $1) FROM velonym.change_counter", meta).Scan(&signed, &clock, &value)
	return uint64(signed), clock, value, s.fault(err)
}

// Scrub implements [keys.Store]: it moves what is alive to a new file of the
// table. VACUUM FULL would carry dead rows over for the sake of any old snapshot
// in the database; TRUNCATE waits for those that read the table, and leaves
// nothing. The server removes the old file at its next checkpoint.
func (s *Store) Scrub(ctx context.Context) error {
	return s.fault(pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		if err := lock(ctx, t); err != nil {
			return err
		}
		_, err := t.Exec(ctx, `
			LOCK TABLE velonym.generation IN ACCESS EXCLUSIVE MODE;
			CREATE TEMPORARY TABLE velonym_keep ON COMMIT DROP AS SELECT * FROM velonym.generation;
			TRUNCATE velonym.generation;
			INSERT INTO velonym.generation SELECT * FROM velonym_keep;`)
		return err
	}))
}
