
CREATE SCHEMA velonym;

CREATE TABLE velonym.budget (
    jti bytea NOT NULL,
    spent bigint NOT NULL,
    expires bigint NOT NULL
);

CREATE TABLE velonym.change (
    n bigint NOT NULL
);

CREATE TABLE velonym.generation (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    state text NOT NULL,
    imported boolean NOT NULL,
    created bigint NOT NULL,
    destroyed bigint,
    wrapped bytea,
    CONSTRAINT generation_check CHECK (((wrapped IS NULL) = (state = 'destroyed'::text))),
    CONSTRAINT generation_gen_check CHECK (((gen >= 0) AND (gen <= 11))),
    CONSTRAINT generation_state_check CHECK ((state = ANY (ARRAY['active'::text, 'deactivated'::text, 'destroyed'::text])))
);

CREATE TABLE velonym.meta (
    name text NOT NULL COLLATE pg_catalog."C",
    value bytea NOT NULL
);

CREATE TABLE velonym.project (
    name text NOT NULL COLLATE pg_catalog."C",
    method text NOT NULL,
    policy text NOT NULL,
    format text NOT NULL,
    tag integer NOT NULL,
    orgs text[] NOT NULL,
    retention bigint,
    imported boolean NOT NULL,
    created bigint NOT NULL,
    severed_at bigint,
    reason text DEFAULT ''::text NOT NULL
);

CREATE TABLE velonym.receipt (
    id bigint NOT NULL,
    project text NOT NULL,
    doc bytea NOT NULL
);

ALTER TABLE velonym.receipt ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME velonym.receipt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE velonym.revocation (
    jti bytea NOT NULL,
    expires bigint NOT NULL
);

CREATE TABLE velonym.schema_version (
    version integer NOT NULL
);

INSERT INTO velonym.change VALUES (8);

INSERT INTO velonym.generation VALUES ('beta', '', 0, 'active', false, 1795940273383721, NULL, '\x024809a7c6c289c112934164f393df401ae2439e62e37765dff3681214db15124a93143db00a86cbfe84a7e2830d086d191328d24b5c4e76df410580');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 0, 'deactivated', false, 1795940273375727, NULL, '\x0ef8cf9bdf6b1988022f83351179bb451a0e34fc7e3407de6c342a2600d7803641391d16f875f56ffa6b730a5ccd0f4a8ddfcadf0e2d77ec7085cce3');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 1, 'active', false, 1795940273395090, NULL, '\x68ddaca43cc655ef8c596f496fcc123eb1e9e0232f14af118a54bb18e00548408f02fc13222e0b1e6696a20ed7220ec4665a3a2ce2dd68c958c93fdc');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 0, 'deactivated', false, 1795940273375727, NULL, '\xea507c2f6c037661c5a8b6ff79b0768886fe6eddf1815f83c2aa26dea99a89b76190f0955e017cb040f578ff102b3b3e99e5e428dd02067727a49e6d');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 1, 'active', false, 1795940273395090, NULL, '\x248810033d4fdd4620a127cc62a3a83d266dedafed3c7f3d85e31f9ed9d9bcf7051aed634674e4a5eb3ab432ea32b1eb3b427672ee25df3b94ed485a');
INSERT INTO velonym.generation VALUES ('gone', '', 0, 'destroyed', false, 1795940273387699, 1795940273399807, NULL);

INSERT INTO velonym.meta VALUES ('check', '\xbddd23860d89c15b537f17706ab82abbc1a52a93d46af16498d9871f472e6eb682cb09683208edf207d21a9a1789a0ee89a1af94');
INSERT INTO velonym.meta VALUES ('issuer', '\xbbde359139c9ae1684a065e0ec6950cacd347e2de762e34e47c6feb2fef2e4df2c8966fa0106f445ed5d6c2b37aa21acc98774a70ace64e4ffce66f4');
INSERT INTO velonym.meta VALUES ('receipt', '\x341bcd52c61e79c8b8e87365b2dac76a4309e0156efb1d2e70e834ba654f04ebd791e0e60f58c3069dcfea8ae405d2ed28e4efe2451c859fe9cf1e17');

INSERT INTO velonym.project VALUES ('alpha', 'reversible', 'same', 'pair62', 0, '{north,south}', 32503636800000000, false, 1795940273375727, NULL, '');
INSERT INTO velonym.project VALUES ('beta', 'irreversible', 'same', 'hex', 0, '{""}', NULL, false, 1795940273383721, NULL, '');
INSERT INTO velonym.project VALUES ('gone', 'reversible', 'same', 'pair62', 0, '{""}', 32503636800000000, false, 1795940273387699, 1795940273399807, 'severed');

INSERT INTO velonym.receipt OVERRIDING SYSTEM VALUE VALUES (1, 'gone', '\x7b2276223a312c2270726f6a656374223a22676f6e65222c226f726773223a5b7b226f7267223a22222c2267656e65726174696f6e73223a5b7b2267656e223a302c2263726561746564223a22323032362d31312d32395430383a31373a35332e3338373639395a222c22696d706f72746564223a66616c73657d5d7d5d2c22726561736f6e223a2273657665726564222c22726574656e74696f6e223a22323939392d31322d33315431323a30303a30305a222c2264657374726f796564223a22323032362d31312d32395430383a31373a35332e3339393830375a222c22696d706f72746564223a66616c73652c227075626c69635f6b6579223a22744a523677653971676361617552416f4544435967593232392b36474573304b762b7853686d47524c4e413d222c227369676e6174757265223a2272715434346366455a456242656a754b6e5a75344f432b4f335a30525648787a674852777938673849756c75785a54316876356a35412f71793332446b6f4338344339496c775073434a316365345357794d6c4644773d3d227d');

INSERT INTO velonym.revocation VALUES ('\x7265766f6b65642d696e2d736368656d612d31', 9223372036854775807);
INSERT INTO velonym.revocation VALUES ('\x616e6f74686572', 9223372036854775807);

INSERT INTO velonym.schema_version VALUES (1);

SELECT pg_catalog.setval('velonym.receipt_id_seq', 1, true);

ALTER TABLE ONLY velonym.budget
    ADD CONSTRAINT budget_pkey PRIMARY KEY (jti);

ALTER TABLE ONLY velonym.generation
    ADD CONSTRAINT generation_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);

ALTER TABLE ONLY velonym.project
    ADD CONSTRAINT project_pkey PRIMARY KEY (name);

ALTER TABLE ONLY velonym.receipt
    ADD CONSTRAINT receipt_pkey PRIMARY KEY (id);

ALTER TABLE ONLY velonym.revocation
    ADD CONSTRAINT revocation_pkey PRIMARY KEY (jti);

CREATE UNIQUE INDEX one_active ON velonym.generation USING btree (prj, org) WHERE (state = 'active'::text);

ALTER TABLE ONLY velonym.generation
    ADD CONSTRAINT generation_prj_fkey FOREIGN KEY (prj) REFERENCES velonym.project(name);

