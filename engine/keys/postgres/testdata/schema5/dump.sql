
CREATE SCHEMA velonym;

CREATE TABLE velonym.budget (
    jti bytea NOT NULL,
    spent bigint NOT NULL,
    expires bigint NOT NULL
);

CREATE TABLE velonym.change_number (
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
    CONSTRAINT generation_5_gen_check CHECK (((gen >= 0) AND (gen <= 11))),
    CONSTRAINT generation_5_state_check CHECK ((state = ANY (ARRAY['active'::text, 'deactivated'::text, 'destroyed'::text])))
);

CREATE TABLE velonym.issued (
    jti bytea NOT NULL,
    issuer text NOT NULL,
    kid text NOT NULL,
    op text NOT NULL,
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL,
    src_prj text NOT NULL COLLATE pg_catalog."C",
    src_org text NOT NULL,
    issued bigint NOT NULL,
    expires bigint NOT NULL,
    most bigint NOT NULL,
    seal bytea NOT NULL
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
    seal bytea DEFAULT '\x'::bytea NOT NULL,
    grace bigint DEFAULT 604800 NOT NULL,
    ended bigint,
    sever_at bigint,
    rotate_every bigint DEFAULT 0 NOT NULL,
    rotate_at bigint
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
    expires bigint NOT NULL,
    seq bigint DEFAULT 0 NOT NULL
);

CREATE TABLE velonym.revocation_rule (
    issuer text NOT NULL COLLATE pg_catalog."C",
    prj text NOT NULL COLLATE pg_catalog."C",
    before bigint NOT NULL,
    seq bigint NOT NULL
);

CREATE TABLE velonym.schema_version (
    version integer NOT NULL
);

CREATE TABLE velonym.scrub_due (
    part integer NOT NULL
);

CREATE TABLE velonym.scrub_gate (
);

CREATE TABLE velonym.seal_list (
    bucket integer NOT NULL,
    doc bytea NOT NULL
);

CREATE TABLE velonym.secret_0 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_1 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_10 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_11 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_12 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_13 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_14 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_15 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_16 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_17 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_18 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_19 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_2 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_20 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_21 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_22 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_23 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_24 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_25 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_26 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_27 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_28 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_29 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_3 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_30 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_31 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_4 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_5 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_6 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_7 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_8 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE velonym.secret_9 (
    prj text NOT NULL COLLATE pg_catalog."C",
    org text NOT NULL COLLATE pg_catalog."C",
    gen integer NOT NULL,
    wrapped bytea NOT NULL
);

INSERT INTO velonym.change_number VALUES (9);

INSERT INTO velonym.generation VALUES ('beta', '', 0, 'active', false, 1795940305598196, NULL);
INSERT INTO velonym.generation VALUES ('alpha', 'north', 0, 'deactivated', false, 1795940305584023, NULL);
INSERT INTO velonym.generation VALUES ('alpha', 'north', 1, 'active', false, 1795940305627064, NULL);
INSERT INTO velonym.generation VALUES ('alpha', 'south', 0, 'deactivated', false, 1795940305584023, NULL);
INSERT INTO velonym.generation VALUES ('alpha', 'south', 1, 'active', false, 1795940305627064, NULL);
INSERT INTO velonym.generation VALUES ('gone', '', 0, 'destroyed', false, 1795940305608028, 1795940305641814);

INSERT INTO velonym.meta VALUES ('master key fingerprint', '\x656565352d393534322d393332662d32316330');
INSERT INTO velonym.meta VALUES ('check', '\x9950dd9a8e51e127f78fbf7c175207d340a2b696d94187ba4b246991f071b54cb4265e3dfc0356b057c53ed1f40c1126d909b50fd905');
INSERT INTO velonym.meta VALUES ('issuer', '\xeda95908b0d21a6f41281bef84a3b32f261e5515908dda9106d2c20daa40ed2a488d8944081b683b45fc529246da2f9b3574fb32254b242e9bbf2602');
INSERT INTO velonym.meta VALUES ('receipt', '\x17ff01a2ab6e824c5d79b9c31865f465efe9ae844e269d2b56315ccd4b3aff08656c6298c7eed6450cdf4e71fbfbe228cf59a304564abae947ed20b2');
INSERT INTO velonym.meta VALUES ('sealkey', '\x834496d875196307736d10374b06220f9b69400b47c453a35d0a3afd55ad97f48001613a8aaa7d15045c8e9a45cf880287b9a8d72f46d3ed9c97f3e7');
INSERT INTO velonym.meta VALUES ('clock', '\x00066165eff3bf97000000000000000000066165eff3bf977676a11004844bda2280772dbf81f5a30000000ae8e6db6f6995cde9c7e37435e8926fa0e54dfe22');
INSERT INTO velonym.meta VALUES ('seals', '\x764f8b52c0cec566b64e8bbf76978d8c63f839026e4861d7a7c4e624be7c3fd5c0d2af7f6ce46d948f6a03c250fecb0ae47adccd6cf33918b6855391f7ca6cc123df6576bf8074494096788b0c96f4d40f97f78117fad3cbe63982939dbdcf1fbd96de254c0fc73dcd9cda850aa63f5a7a83f9d76a384728b5ad94810296e2a5ffc886bec7374ac8590825343b2de80b8268196f4e0252e6a2d4');

INSERT INTO velonym.project VALUES ('beta', 'irreversible', 'same', 'hex', 0, '{""}', NULL, false, 1795940305598196, NULL, '', '\x8b3020a8a44cfb8a15f95f020cc747c5', '\xe693f2927fe2ed60222d544973a6abcf', 0, NULL, NULL, 0, NULL);
INSERT INTO velonym.project VALUES ('alpha', 'reversible', 'same', 'pair62', 0, '{north,south}', 32503636800000000, false, 1795940305584023, NULL, '', '\x0358d2638fcae63e4af8e8432aa012d5', '\x41c5576173a49b0bd9f52eda61cf8740', 0, NULL, NULL, 0, NULL);
INSERT INTO velonym.project VALUES ('gone', 'reversible', 'same', 'pair62', 0, '{""}', 32503636800000000, false, 1795940305608028, 1795940305641814, 'severed', '\x0cbe937c0c0a65cda7add6fb653fd35d', '\x91e42e97c8e747ff561f7449468ad9a6', 0, NULL, NULL, 0, NULL);

INSERT INTO velonym.receipt OVERRIDING SYSTEM VALUE VALUES (1, 'gone', '\x7b2276223a322c2270726f6a656374223a22676f6e65222c226f726773223a5b7b226f7267223a22222c2267656e65726174696f6e73223a5b7b2267656e223a302c2263726561746564223a22323032362d31312d32395430383a31383a32352e3630383032385a222c22696d706f72746564223a66616c73652c2266696e6765727072696e74223a22373062662d356630372d666165622d31373137227d5d7d5d2c22726561736f6e223a2273657665726564222c22726574656e74696f6e223a22323939392d31322d33315431323a30303a30305a222c2264657374726f796564223a22323032362d31312d32395430383a31383a32352e3634313831345a222c226d61737465725f6b6579223a22656565352d393534322d393332662d32316330222c22636c6f636b223a226461746162617365222c22696d706f72746564223a66616c73652c227075626c69635f6b6579223a22715a6872696c79704c33496f5a4b6571353350303832682b6e656c36412b516836654e766f4e627946576f3d222c227369676e6174757265223a22675a543076784a78582b6f694c576b74684a6c734f715a32677131476b68776437353162624f7678615342782f737a3161524a6d704e2f574168436d474467417551466f416e49354a414d353978456d4154637444773d3d227d');

INSERT INTO velonym.revocation VALUES ('\x7265766f6b65642d696e2d736368656d612d31', 9223372036854775807, 8);
INSERT INTO velonym.revocation VALUES ('\x616e6f74686572', 9223372036854775807, 9);

INSERT INTO velonym.schema_version VALUES (5);

INSERT INTO velonym.seal_list VALUES (78, '\x000462657461e693f2927fe2ed60222d544973a6abcf');
INSERT INTO velonym.seal_list VALUES (723, '\x0005616c70686141c5576173a49b0bd9f52eda61cf8740');
INSERT INTO velonym.seal_list VALUES (59, '\x0004676f6e6591e42e97c8e747ff561f7449468ad9a6');

INSERT INTO velonym.secret_14 VALUES ('beta', '', 0, '\x4ed248c68eadb52c095d25632ab080a4ecca7ae519561af9526f5126bf676739b499b90664f681a31fd435d8437c939bf0f831dab1d1ea87a937faec');

INSERT INTO velonym.secret_19 VALUES ('alpha', 'north', 0, '\x4c4215ad82bde77b2765faa0d10319c22e038d21ca4f1194247cbe5e8529ecca80e52dd7d64b08ac564054006855998424fe46c4c28cdda41ed08df0');
INSERT INTO velonym.secret_19 VALUES ('alpha', 'south', 0, '\x4552b6f65f9f76fc63ff8909762862e3b2e76d672912960e34e618f1f107779fc5d9aca82bb262db22df143f24d5ac99104dc9d7327910840de641f2');
INSERT INTO velonym.secret_19 VALUES ('alpha', 'north', 1, '\x71a33bab02b3388589b76f933ed43b066bedb504aff553f96fdf73cb2655f5a20531aed7ffae8356b222dcd0826b2573cc415b88837b39acdf9d6157');
INSERT INTO velonym.secret_19 VALUES ('alpha', 'south', 1, '\x4292da90f46d1a4f92d4f41e217c96cdf1cbd7f53be4dce51f58b9da173e546075629448489a15276c70bf53f7a12e6b0194fe1bc679a42876ae0399');

SELECT pg_catalog.setval('velonym.receipt_id_seq', 1, true);

ALTER TABLE ONLY velonym.budget
    ADD CONSTRAINT budget_pkey PRIMARY KEY (jti);

ALTER TABLE ONLY velonym.generation
    ADD CONSTRAINT generation_5_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.issued
    ADD CONSTRAINT issued_pkey PRIMARY KEY (jti);

ALTER TABLE ONLY velonym.meta
    ADD CONSTRAINT meta_pkey PRIMARY KEY (name);

ALTER TABLE ONLY velonym.project
    ADD CONSTRAINT project_pkey PRIMARY KEY (name);

ALTER TABLE ONLY velonym.receipt
    ADD CONSTRAINT receipt_pkey PRIMARY KEY (id);

ALTER TABLE ONLY velonym.revocation
    ADD CONSTRAINT revocation_pkey PRIMARY KEY (jti);

ALTER TABLE ONLY velonym.revocation_rule
    ADD CONSTRAINT revocation_rule_pkey PRIMARY KEY (issuer, prj);

ALTER TABLE ONLY velonym.scrub_due
    ADD CONSTRAINT scrub_due_pkey PRIMARY KEY (part);

ALTER TABLE ONLY velonym.seal_list
    ADD CONSTRAINT seal_list_pkey PRIMARY KEY (bucket);

ALTER TABLE ONLY velonym.secret_0
    ADD CONSTRAINT secret_0_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_10
    ADD CONSTRAINT secret_10_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_11
    ADD CONSTRAINT secret_11_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_12
    ADD CONSTRAINT secret_12_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_13
    ADD CONSTRAINT secret_13_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_14
    ADD CONSTRAINT secret_14_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_15
    ADD CONSTRAINT secret_15_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_16
    ADD CONSTRAINT secret_16_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_17
    ADD CONSTRAINT secret_17_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_18
    ADD CONSTRAINT secret_18_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_19
    ADD CONSTRAINT secret_19_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_1
    ADD CONSTRAINT secret_1_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_20
    ADD CONSTRAINT secret_20_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_21
    ADD CONSTRAINT secret_21_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_22
    ADD CONSTRAINT secret_22_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_23
    ADD CONSTRAINT secret_23_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_24
    ADD CONSTRAINT secret_24_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_25
    ADD CONSTRAINT secret_25_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_26
    ADD CONSTRAINT secret_26_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_27
    ADD CONSTRAINT secret_27_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_28
    ADD CONSTRAINT secret_28_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_29
    ADD CONSTRAINT secret_29_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_2
    ADD CONSTRAINT secret_2_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_30
    ADD CONSTRAINT secret_30_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_31
    ADD CONSTRAINT secret_31_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_3
    ADD CONSTRAINT secret_3_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_4
    ADD CONSTRAINT secret_4_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_5
    ADD CONSTRAINT secret_5_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_6
    ADD CONSTRAINT secret_6_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_7
    ADD CONSTRAINT secret_7_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_8
    ADD CONSTRAINT secret_8_pkey PRIMARY KEY (prj, org, gen);

ALTER TABLE ONLY velonym.secret_9
    ADD CONSTRAINT secret_9_pkey PRIMARY KEY (prj, org, gen);

CREATE INDEX budget_expires ON velonym.budget USING btree (expires);

CREATE INDEX issued_expires ON velonym.issued USING btree (expires, jti);

CREATE INDEX issued_prj ON velonym.issued USING btree (prj, expires);

CREATE INDEX issued_src ON velonym.issued USING btree (src_prj, expires) WHERE (src_prj <> ''::text);

CREATE UNIQUE INDEX one_active ON velonym.generation USING btree (prj, org) WHERE (state = 'active'::text);

CREATE INDEX project_ended ON velonym.project USING btree (ended) WHERE ((severed_at IS NULL) AND (ended IS NOT NULL));

CREATE INDEX project_retention ON velonym.project USING btree (retention) WHERE ((severed_at IS NULL) AND (retention IS NOT NULL));

CREATE INDEX project_rotate_at ON velonym.project USING btree (rotate_at) WHERE ((severed_at IS NULL) AND (rotate_at IS NOT NULL));

CREATE INDEX project_sever_at ON velonym.project USING btree (sever_at) WHERE ((severed_at IS NULL) AND (sever_at IS NOT NULL));

CREATE INDEX receipt_project ON velonym.receipt USING btree (project);

CREATE INDEX revocation_expires ON velonym.revocation USING btree (expires);

CREATE INDEX revocation_seq ON velonym.revocation USING btree (seq);

ALTER TABLE ONLY velonym.generation
    ADD CONSTRAINT generation_5_prj_fkey FOREIGN KEY (prj) REFERENCES velonym.project(name);

