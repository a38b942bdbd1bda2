package sqlite

const schema = `
CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
CREATE TABLE change (n INTEGER NOT NULL) STRICT;
CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE project (
	name       TEXT PRIMARY KEY,
	method     TEXT NOT NULL,
	policy     TEXT NOT NULL,
	format     TEXT NOT NULL,
	tag        INTEGER NOT NULL,
	orgs       BLOB NOT NULL,
	retention  INTEGER,
	imported   INTEGER NOT NULL,
	created    INTEGER NOT NULL,
	severed_at INTEGER,
	reason     TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE generation (
	prj       TEXT NOT NULL REFERENCES project (name),
	org       TEXT NOT NULL,
	gen       INTEGER NOT NULL CHECK (gen BETWEEN 0 AND 11),
	state     TEXT NOT NULL CHECK (state IN ('active', 'deactivated', 'destroyed')),
	imported  INTEGER NOT NULL,
	created   INTEGER NOT NULL,
	destroyed INTEGER,
	wrapped   BLOB,
	PRIMARY KEY (prj, org, gen),
	CHECK ((wrapped IS NULL) = (state = 'destroyed'))
) STRICT;
CREATE UNIQUE INDEX one_active ON generation (prj, org) WHERE state = 'active';
CREATE TABLE receipt (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	project TEXT NOT NULL,
	doc     BLOB NOT NULL
) STRICT;
CREATE TABLE revocation (
	jti     BLOB PRIMARY KEY,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE budget (
	jti     BLOB PRIMARY KEY,
	spent   INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO schema_version VALUES (1);
INSERT INTO change VALUES (1);
`

// upgrades[i] brings tables of version i+1 to version i+2. New stores are created by
// running all of them, so that new and upgraded stores have the same tables.
//
// Since version 5 wrapped secrets have a table of their own. Its rows are appended,
// overwritten by content of the same size, and never deleted, so SQLite moves no row and
// leaves no copy in a gap of a page. Older pages may hold such copies until the first
// Scrub rebuilds the file (entry 'vacuum').
var upgrades = []string{`
ALTER TABLE change RENAME TO changes;
ALTER TABLE project ADD COLUMN keys_mac BLOB NOT NULL DEFAULT x'';
ALTER TABLE project ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
CREATE TABLE seal_list (
	bucket INTEGER PRIMARY KEY,
	doc    BLOB NOT NULL
) STRICT;
UPDATE schema_version SET version = 2;
PRAGMA user_version = 2;
`, `
ALTER TABLE changes RENAME TO counter;
ALTER TABLE project ADD COLUMN grace INTEGER NOT NULL DEFAULT 604800;
ALTER TABLE project ADD COLUMN ended INTEGER;
ALTER TABLE project ADD COLUMN sever_at INTEGER;
UPDATE schema_version SET version = 3;
PRAGMA user_version = 3;
`, `
ALTER TABLE counter RENAME TO change_counter;
ALTER TABLE revocation ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
CREATE INDEX revocation_seq ON revocation (seq);
CREATE INDEX revocation_expires ON revocation (expires);
CREATE INDEX budget_expires ON budget (expires);
CREATE TABLE revocation_rule (
	issuer TEXT NOT NULL,
	prj    TEXT NOT NULL,
	before INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	PRIMARY KEY (issuer, prj)
) STRICT, WITHOUT ROWID;
CREATE TABLE issued (
	jti     BLOB PRIMARY KEY,
	issuer  TEXT NOT NULL,
	kid     TEXT NOT NULL,
	op      TEXT NOT NULL,
	prj     TEXT NOT NULL,
	org     TEXT NOT NULL,
	src_prj TEXT NOT NULL,
	src_org TEXT NOT NULL,
	issued  INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	most    INTEGER NOT NULL,
	seal    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX issued_expires ON issued (expires, jti);
CREATE INDEX issued_prj ON issued (prj, expires);
CREATE INDEX issued_src ON issued (src_prj, expires) WHERE src_prj <> '';
UPDATE schema_version SET version = 4;
PRAGMA user_version = 4;
`, `
ALTER TABLE change_counter RENAME TO change_number;
ALTER TABLE project ADD COLUMN rotate_every INTEGER NOT NULL DEFAULT 0;
ALTER TABLE project ADD COLUMN rotate_at INTEGER;
CREATE INDEX project_retention ON project (retention) WHERE severed_at IS NULL AND retention IS NOT NULL;
CREATE INDEX project_sever_at ON project (sever_at) WHERE severed_at IS NULL AND sever_at IS NOT NULL;
CREATE INDEX project_ended ON project (ended) WHERE severed_at IS NULL AND ended IS NOT NULL;
CREATE INDEX project_rotate_at ON project (rotate_at) WHERE severed_at IS NULL AND rotate_at IS NOT NULL;
CREATE INDEX receipt_project ON receipt (project);
CREATE TABLE secret (
	id      INTEGER PRIMARY KEY,
	wrapped BLOB NOT NULL
) STRICT;
INSERT INTO secret SELECT rowid, wrapped FROM generation WHERE wrapped IS NOT NULL ORDER BY rowid;
CREATE TABLE generation_5 (
	prj       TEXT NOT NULL REFERENCES project (name),
	org       TEXT NOT NULL,
	gen       INTEGER NOT NULL CHECK (gen BETWEEN 0 AND 11),
	state     TEXT NOT NULL CHECK (state IN ('active', 'deactivated', 'destroyed')),
	imported  INTEGER NOT NULL,
	created   INTEGER NOT NULL,
	destroyed INTEGER,
	secret    INTEGER,
	PRIMARY KEY (prj, org, gen),
	CHECK ((secret IS NULL) = (state = 'destroyed'))
) STRICT, WITHOUT ROWID;
INSERT INTO generation_5 SELECT prj, org, gen, state, imported, created, destroyed, iif(wrapped IS NULL, NULL, rowid) FROM generation;
DROP TABLE generation;
ALTER TABLE generation_5 RENAME TO generation;
CREATE UNIQUE INDEX one_active ON generation (prj, org) WHERE state = 'active';
INSERT INTO meta VALUES ('vacuum', x'01');
UPDATE schema_version SET version = 5;
PRAGMA user_version = 5;
`}
