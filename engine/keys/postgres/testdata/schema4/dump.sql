
CREATE SCHEMA velonym;

CREATE TABLE velonym.budget (
    jti bytea NOT NULL,
    spent bigint NOT NULL,
    expires bigint NOT NULL
);

CREATE TABLE velonym.change_counter (
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
    sever_at bigint
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

CREATE TABLE velonym.seal_list (
    bucket integer NOT NULL,
    doc bytea NOT NULL
);

INSERT INTO velonym.change_counter VALUES (9);

INSERT INTO velonym.generation VALUES ('beta', '', 0, 'active', false, 1795940302188443, NULL, '\x5c7e99a8e01232ab4bd19ffdeec29cf5fac4b7869a51f01240e203657cc12f17000741384c2f2207da0e994c95384f7ba366329a23f351ee5bce994b');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 0, 'deactivated', false, 1795940302178658, NULL, '\xe926b6904c4c392a94b129b72d6a0fd0c55f1ae6b81d3181326834a90a09194ee382dc3aade510d27b99603d2f6f94819b8cf687a847c927aace67c0');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 1, 'active', false, 1795940302192723, NULL, '\xdf6e56b72e6c189a6505d8af92d95e80cc6d3c3a876b91b42df72575e96beba2fead1b4707096395da7cdd5f9d09674d1b29a52e668b6240d8eaff42');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 0, 'deactivated', false, 1795940302178658, NULL, '\x63cec18c672c8350742855a38b9af0e9132c8a5648002852b5aab96265ebcfaef7e973587bf656f2563d8d2689e0b11f6673456fa7c394f41d624cdb');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 1, 'active', false, 1795940302192723, NULL, '\xeceb87663d67d156322761d2d99f9b58a22dbf36e3a6aa983b8c30c9d0a5903d586c1d9a9cbcc559d63d5fd325bdecb84ba2fbd9983a84afc1a925bf');
INSERT INTO velonym.generation VALUES ('gone', '', 0, 'destroyed', false, 1795940302190210, 1795940302195354, NULL);

INSERT INTO velonym.meta VALUES ('check', '\x466c9a04557fd6a6033d613800e761fd21aaab6d801a45e1c929c02046f08e9d0e04a1f0f30c7ff8d338878e3a88dd1e388121b5fac1');
INSERT INTO velonym.meta VALUES ('issuer', '\xc6dd782b3740041a9bf19dc37ac75155c1f854f59970af2e945392252a4cd50f71590e7c6ae28a68cbd1d67dd7e91dc7463d37383e9c4fd9a8e397f6');
INSERT INTO velonym.meta VALUES ('receipt', '\xbe02eabbc9f682b00f79d79fce77ca59a332869184d57cbd81407281a008ce898a8ed38662cd81b67b251d537884e78fb5baa79e6bc57dae8029c920');
INSERT INTO velonym.meta VALUES ('sealkey', '\x0834279fb65540feaaf1da9acc262ddb13eb1db6604914ff23dbf0a1e4f1fc7e37b9179f634f98e3029d05a9519406e9260e252416e4c52c62da5124');
INSERT INTO velonym.meta VALUES ('clock', '\x00066165efbfc962000000000000000000066165efbfc9627676a11004844bda2280772dbf81f5a30000000ae8b2f78dfe64f6bc319fe207d55c1c22de8fd57d');
INSERT INTO velonym.meta VALUES ('seals', '\x9358b295771adb5896d9abea593ebfd456b89d3dfa0af5f0cc74e0bdd9556555b515ce3e3f6b12d44fc22b0e30065292aeed49676f1a70dba30dd986003c898b51d55a30c9fb442e431074ac9c8aa49b1534e72d29edfeb75a21ce9ac1e4d5d74314cd25d9e488e46ca38e50864f9db242461f8574d074c21c9f63815ed9a8c5e0dc51775d1e9b6fd5a431231e112259163ed53fdb112ed9ffbb');

INSERT INTO velonym.project VALUES ('beta', 'irreversible', 'same', 'hex', 0, '{""}', NULL, false, 1795940302188443, NULL, '', '\x6b6c4b1ec0104e3e8029cca04bcd4ebb', '\x9fcbfa47d1a501359b6d25e2447d8e8b', 0, NULL, NULL);
INSERT INTO velonym.project VALUES ('alpha', 'reversible', 'same', 'pair62', 0, '{north,south}', 32503636800000000, false, 1795940302178658, NULL, '', '\xe973d90ddca5fea267a047dcc2a7cf4c', '\x0ce09b68dd757dfdbe2109b9ec2e343d', 0, NULL, NULL);
INSERT INTO velonym.project VALUES ('gone', 'reversible', 'same', 'pair62', 0, '{""}', 32503636800000000, false, 1795940302190210, 1795940302195354, 'severed', '\x825efa5d1997d50f364a5851a9204727', '\x8e29088796c7f463040e885aaae33205', 0, NULL, NULL);

INSERT INTO velonym.receipt OVERRIDING SYSTEM VALUE VALUES (1, 'gone', '\x7b2276223a312c2270726f6a656374223a22676f6e65222c226f726773223a5b7b226f7267223a22222c2267656e65726174696f6e73223a5b7b2267656e223a302c2263726561746564223a22323032362d31312d32395430383a31383a32322e31393032315a222c22696d706f72746564223a66616c73657d5d7d5d2c22726561736f6e223a2273657665726564222c22726574656e74696f6e223a22323939392d31322d33315431323a30303a30305a222c2264657374726f796564223a22323032362d31312d32395430383a31383a32322e3139353335345a222c22696d706f72746564223a66616c73652c227075626c69635f6b6579223a22615152546251634248304f69526e6f413957354f682f567777704c47724442732f636462742b2f5a4941303d222c227369676e6174757265223a22704874553158457248786657372f32496453714b796f6b377547356a5968387977595346385a4c6d5434686967454d4b43674e705978637437756434732f53322f6d3157776a63466b67316454445a366238574841513d3d227d');

INSERT INTO velonym.revocation VALUES ('\x7265766f6b65642d696e2d736368656d612d31', 9223372036854775807, 8);
INSERT INTO velonym.revocation VALUES ('\x616e6f74686572', 9223372036854775807, 9);

INSERT INTO velonym.schema_version VALUES (4);

INSERT INTO velonym.seal_list VALUES (78, '\x0004626574619fcbfa47d1a501359b6d25e2447d8e8b');
INSERT INTO velonym.seal_list VALUES (723, '\x0005616c7068610ce09b68dd757dfdbe2109b9ec2e343d');
INSERT INTO velonym.seal_list VALUES (59, '\x0004676f6e658e29088796c7f463040e885aaae33205');

SELECT pg_catalog.setval('velonym.receipt_id_seq', 1, true);

ALTER TABLE ONLY velonym.budget
    ADD CONSTRAINT budget_pkey PRIMARY KEY (jti);

ALTER TABLE ONLY velonym.generation
    ADD CONSTRAINT generation_pkey PRIMARY KEY (prj, org, gen);

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

ALTER TABLE ONLY velonym.seal_list
    ADD CONSTRAINT seal_list_pkey PRIMARY KEY (bucket);

CREATE INDEX budget_expires ON velonym.budget USING btree (expires);

CREATE INDEX issued_expires ON velonym.issued USING btree (expires, jti);

CREATE INDEX issued_prj ON velonym.issued USING btree (prj, expires);

CREATE INDEX issued_src ON velonym.issued USING btree (src_prj, expires) WHERE (src_prj <> ''::text);

CREATE UNIQUE INDEX one_active ON velonym.generation USING btree (prj, org) WHERE (state = 'active'::text);

CREATE INDEX revocation_expires ON velonym.revocation USING btree (expires);

CREATE INDEX revocation_seq ON velonym.revocation USING btree (seq);

ALTER TABLE ONLY velonym.generation
    ADD CONSTRAINT generation_prj_fkey FOREIGN KEY (prj) REFERENCES velonym.project(name);

