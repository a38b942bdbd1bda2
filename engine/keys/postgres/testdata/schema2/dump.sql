
CREATE SCHEMA velonym;

CREATE TABLE velonym.budget (
    jti bytea NOT NULL,
    spent bigint NOT NULL,
    expires bigint NOT NULL
);

CREATE TABLE velonym.changes (
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
    reason text DEFAULT ''::text NOT NULL,
    keys_mac bytea DEFAULT '\x'::bytea NOT NULL,
    seal bytea DEFAULT '\x'::bytea NOT NULL
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

CREATE TABLE velonym.seal_list (
    bucket integer NOT NULL,
    doc bytea NOT NULL
);

INSERT INTO velonym.changes VALUES (9);

INSERT INTO velonym.generation VALUES ('beta', '', 0, 'active', false, 1795940282726527, NULL, '\x91131cbacce72c1cf3d099d0eaedb91b420405d90480891ae44a50bf258d49fdddabf8b322dd73540a350e15f288a0c47ada41fc557a38fa133e9a66');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 0, 'deactivated', false, 1795940282718073, NULL, '\x41795913e5f334db339fc19a4389a6c5511e3843fc0daa64483d2275f789e7499d5a16c42bbffcdf3da61aa797d1a08fc4b43c7e8207386cc6a7aa24');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 1, 'active', false, 1795940282735044, NULL, '\x30caaa16387b878f2ac17d72f8a07776a6acdc76d8048084b307fafc30a913bf4cacf3e407a83f34d3b20f2e5611dd0718223d55bbf2fdacb3b0c686');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 0, 'deactivated', false, 1795940282718073, NULL, '\xd91ca6e882f8e62e5e9144852d2986ba2fc3a5fde547afcdb377c583b3ffc2a80002b77995ce54748098f9cdf7a6802e61b24cc5be55fa951bc995bc');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 1, 'active', false, 1795940282735044, NULL, '\x599e52fa2fe1c21bb61b77a601a2d8950b315d45b78eddcbe51b890b92a2e9827e4f75dc3829d8e7b2e739ad34434690b126a00d9a7161f7d0303978');
INSERT INTO velonym.generation VALUES ('gone', '', 0, 'destroyed', false, 1795940282730543, 1795940282739600, NULL);

INSERT INTO velonym.meta VALUES ('check', '\xd072255cef1a5eef6e3f0b2f0bc13387c7ef3901780221cb2a78382bce01a500ce8a6cab45fd64ebe240cb4893db68dba7d389479f0f');
INSERT INTO velonym.meta VALUES ('issuer', '\x688a46a9e405076c853c4291ff12b0d233389462add5840d43092915c4701250990113f58445577a73bd245e410a8bd8a84c14245bf5283ffd793918');
INSERT INTO velonym.meta VALUES ('receipt', '\xc20806435b649936b04e8ccb7a7b6c567851e630ad642aa4dedfe6f090f43770eaedc3785e81197b4d95658235e677f6a36bb650d2bbb09d76de2ae9');
INSERT INTO velonym.meta VALUES ('sealkey', '\xb8515b01a4b661ea85bf162edb958eaeb68c59c42b81bbdc8b5348c3c9f0039774d6a1255157ab3e9dc8e3c600e8f984db021bbab3142bb2274f430f');
INSERT INTO velonym.meta VALUES ('clock', '\x00066165ee96d779fa218dbdbadddf667207fd11b580e93b');
INSERT INTO velonym.meta VALUES ('seals', '\x5d072f3cefc1b7a799ad81c6118caa40a0e1c3831bd025446af37571da50ad26f9eeb6a9f3d4f74093e323fd152126e4cd61daa218aa50586e20da550c8671f4be8e787628dcb3cd530a3a527ea898bc412f9222d9e58f18200b55549ea3d9f206bb1cf98f44b7f2384ad56ef40fe148929e2355a0b8260fee12eb5e9ac259af0a7cd0a870e94d70807b3b0dde53f63a5608679e9db263422346');

INSERT INTO velonym.project VALUES ('beta', 'irreversible', 'same', 'hex', 0, '{""}', NULL, false, 1795940282726527, NULL, '', '\x5594e8eaa3f25b779af42585783cd5f3', '\xd25fc17ab7b581b37156855bae37f7c4');
INSERT INTO velonym.project VALUES ('alpha', 'reversible', 'same', 'pair62', 0, '{north,south}', 32503636800000000, false, 1795940282718073, NULL, '', '\xd39952c81a804faa0fb85a12a8c1e14a', '\x2a171545b82caf9f278aa16d66d4c09d');
INSERT INTO velonym.project VALUES ('gone', 'reversible', 'same', 'pair62', 0, '{""}', 32503636800000000, false, 1795940282730543, 1795940282739600, 'severed', '\x3c92462d4fca1c6bc28adf72361a7f7c', '\x668811d9ed5846a5b067a869e7a7cff3');

INSERT INTO velonym.receipt OVERRIDING SYSTEM VALUE VALUES (1, 'gone', '\x7b2276223a312c2270726f6a656374223a22676f6e65222c226f726773223a5b7b226f7267223a22222c2267656e65726174696f6e73223a5b7b2267656e223a302c2263726561746564223a22323032362d31312d32395430383a31383a30322e3733303534335a222c22696d706f72746564223a66616c73657d5d7d5d2c22726561736f6e223a2273657665726564222c22726574656e74696f6e223a22323939392d31322d33315431323a30303a30305a222c2264657374726f796564223a22323032362d31312d32395430383a31383a30322e373339365a222c22696d706f72746564223a66616c73652c227075626c69635f6b6579223a2264597749524e4b4f66434c3847624d6d597145543950785873455264616b6755794e6a43645776796d37413d222c227369676e6174757265223a226f3964576763417679732b586850535831676c4133486a70596e7656726b4865507542794e346d674f664d4c4c326e4b76687167742b4976494f75385744375030683041654b38414b64455a504e6770427a624a43413d3d227d');

INSERT INTO velonym.revocation VALUES ('\x7265766f6b65642d696e2d736368656d612d31', 9223372036854775807);
INSERT INTO velonym.revocation VALUES ('\x616e6f74686572', 9223372036854775807);

INSERT INTO velonym.schema_version VALUES (2);

INSERT INTO velonym.seal_list VALUES (78, '\x000462657461d25fc17ab7b581b37156855bae37f7c4');
INSERT INTO velonym.seal_list VALUES (723, '\x0005616c7068612a171545b82caf9f278aa16d66d4c09d');
INSERT INTO velonym.seal_list VALUES (59, '\x0004676f6e65668811d9ed5846a5b067a869e7a7cff3');

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

ALTER TABLE ONLY velonym.seal_list
    ADD CONSTRAINT seal_list_pkey PRIMARY KEY (bucket);

CREATE UNIQUE INDEX one_active ON velonym.generation USING btree (prj, org) WHERE (state = 'active'::text);

ALTER TABLE ONLY velonym.generation
    ADD CONSTRAINT generation_prj_fkey FOREIGN KEY (prj) REFERENCES velonym.project(name);

