package postgres

import (
	"crypto/sha256"
	"fmt"
	"strings"
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

// upgrades()[i] brings tables of version i+1 to version i+2. New stores are created by
// running all of them, so that new and upgraded stores have the same tables.
func upgrades() []string {
	return []string{`
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
`, `
ALTER TABLE velonym.change_counter RENAME TO change_number;
ALTER TABLE velonym.project
	ADD COLUMN rotate_every bigint NOT NULL DEFAULT 0,
	ADD COLUMN rotate_at bigint;
CREATE INDEX project_retention ON velonym.project (retention) WHERE severed_at IS NULL AND retention IS NOT NULL;
CREATE INDEX project_sever_at ON velonym.project (sever_at) WHERE severed_at IS NULL AND sever_at IS NOT NULL;
CREATE INDEX project_ended ON velonym.project (ended) WHERE severed_at IS NULL AND ended IS NOT NULL;
CREATE INDEX project_rotate_at ON velonym.project (rotate_at) WHERE severed_at IS NULL AND rotate_at IS NOT NULL;
CREATE INDEX receipt_project ON velonym.receipt (project);
CREATE TABLE velonym.scrub_gate ();
CREATE TABLE velonym.scrub_due (part integer PRIMARY KEY);
` + secretTables() + `
CREATE TABLE velonym.generation_5 (
	prj       text COLLATE "C" NOT NULL REFERENCES velonym.project (name),
	org       text COLLATE "C" NOT NULL,
	gen       integer NOT NULL CHECK (gen BETWEEN 0 AND 11),
	state     text NOT NULL CHECK (state IN ('active', 'deactivated', 'destroyed')),
	imported  boolean NOT NULL,
	created   bigint NOT NULL,
	destroyed bigint,
	PRIMARY KEY (prj, org, gen)
);
INSERT INTO velonym.generation_5 SELECT prj, org, gen, state, imported, created, destroyed FROM velonym.generation;
DROP TABLE velonym.generation;
ALTER TABLE velonym.generation_5 RENAME TO generation;
CREATE UNIQUE INDEX one_active ON velonym.generation (prj, org) WHERE state = 'active';
UPDATE velonym.schema_version SET version = 5;
`}
}

// secretParts is the number of tables that hold wrapped secrets, each those of some
// projects. Severing a project rewrites a whole table, because PostgreSQL does not
// overwrite deleted rows, and several tables keep each one small.
const secretParts = 32

// secretPart returns the number of the table with a project's secrets.
func secretPart(prj string) int {
	digest := sha256.Sum256([]byte(prj))
	return int(digest[1]) % secretParts
}

// secretTable returns the name of the table with a project's secrets.
func secretTable(prj string) string { return fmt.Sprintf("velonym.secret_%d", secretPart(prj)) }

// secretTables returns the statements that create these tables and fill them from the
// generations of version 4.
func secretTables() string {
	var b strings.Builder
	for i := range secretParts {
		fmt.Fprintf(&b, `
CREATE TABLE velonym.secret_%[1]d (
	prj     text COLLATE "C" NOT NULL,
	org     text COLLATE "C" NOT NULL,
	gen     integer NOT NULL,
	wrapped bytea NOT NULL,
	PRIMARY KEY (prj, org, gen)
);
INSERT INTO velonym.secret_%[1]d SELECT prj, org, gen, wrapped FROM velonym.generation
	WHERE wrapped IS NOT NULL AND get_byte(sha256(convert_to(prj, 'UTF8')), 1) %% %[2]d = %[1]d;
`, i, secretParts)
	}
	return b.String()
}
