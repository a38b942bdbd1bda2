
CREATE SCHEMA velonym;

CREATE TABLE velonym.budget (
    jti bytea NOT NULL,
    spent bigint NOT NULL,
    expires bigint NOT NULL
);

CREATE TABLE velonym.counter (
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
    expires bigint NOT NULL
);

CREATE TABLE velonym.schema_version (
    version integer NOT NULL
);

CREATE TABLE velonym.seal_list (
    bucket integer NOT NULL,
    doc bytea NOT NULL
);

INSERT INTO velonym.counter VALUES (9);

INSERT INTO velonym.generation VALUES ('beta', '', 0, 'active', false, 1795940292641489, NULL, '\xfe74707f404ae062462cb6fe3928c79085a53c31d849cd4757a864d5d7c9cd98271434b14111b9b2002ed748607c178d65e7ab528a8f28e5cca95523');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 0, 'deactivated', false, 1795940292636348, NULL, '\xec3bd056c4fafd94ee20f74f0b7d0f30bbce0158ee771a11186f587d273891f4d7e0b7b1557e2cac2b6a204a0c9e0b611e103ae8056d37ebce111909');
INSERT INTO velonym.generation VALUES ('alpha', 'north', 1, 'active', false, 1795940292652723, NULL, '\xafd0adf0f138b0ee98f286ef2478d2f2ea1052103f90ff4baf54bb8ef7b4a02c8df8832595941648dd703d5ae1d964370443d6af1147233251a8e418');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 0, 'deactivated', false, 1795940292636348, NULL, '\xda71893f2b8c89388071b4dedd569a1d1209a977254bbe8166ac60733f60fb3f18d3913af2e35f4b34cbc4190e221270a1ddc5d321336726b3ac37d4');
INSERT INTO velonym.generation VALUES ('alpha', 'south', 1, 'active', false, 1795940292652723, NULL, '\x01db9cd438f0cdc570aa90d0b5f7da87ed6cf52324c5844da7ac853222797382fbc69b3744b34676a75d59c3c5ae91ca462e6177af491c14b9a1fd54');
INSERT INTO velonym.generation VALUES ('gone', '', 0, 'destroyed', false, 1795940292645895, 1795940292659667, NULL);

INSERT INTO velonym.meta VALUES ('check', '\x9d93534b3ea79a9aaee05b302a5ca6cbdeff1403663a8745e5e2d790b05b00a044cce6488ff4090de75e99d094d10ce7de6c92e77e82');
INSERT INTO velonym.meta VALUES ('issuer', '\x6a8e93e04cffa4b5fc4dcd3fda1e0a50027d93ccd6aa4b8b25104871ab0574a91424bb9fcfd82834b08f86a1313df4107d5669cf244397f463566ca6');
INSERT INTO velonym.meta VALUES ('receipt', '\x9c5f5254cc4049624c285f1b22f846776851d1f92c51d9c5d2ed359bb94e3bf6dbf682c669fa7d308bb5aa1229dad4341434d7cd376c02877fc060a5');
INSERT INTO velonym.meta VALUES ('sealkey', '\x32a83057facc0c8b006179001b0f7d1f78fd1ea2dab62aef7b35310973cb1a6fdc2ba045f5383e914889f0c4e174d73cac20a8740e724891e2cd0b84');
INSERT INTO velonym.meta VALUES ('clock', '\x00066165ef2e2ebc9dc8952e11af943f6ea96844a11c5d27');
INSERT INTO velonym.meta VALUES ('seals', '\xe2c5d400ecd95496b24b510520ed12f85657a6488bed6728927b4fdc6a62af060d2f69cb83a8f9fa8c8267b0f507f05b307ebed5932f3378fae66650d71990833052ed2577bbc3984768ffec336bf17f655136fc1f36c9d32a282b5f607ccb28bf4d6af2f55135bac575563b0a333758ecb53ef3f17df8fb41a7b1027c701337c4ef33eeefe1569467f4b9bb46ae929a372d0474ee6a94247045');

INSERT INTO velonym.project VALUES ('beta', 'irreversible', 'same', 'hex', 0, '{""}', NULL, false, 1795940292641489, NULL, '', '\x83a1fe2cc3f3490ea745c65f33b581a2', '\x2a0783a60ba145a041c5d2568dfda784', 0, NULL, NULL);
INSERT INTO velonym.project VALUES ('alpha', 'reversible', 'same', 'pair62', 0, '{north,south}', 32503636800000000, false, 1795940292636348, NULL, '', '\x888655fc741d7f0936069a54ca854d72', '\x6d287b9e3a31539b0ebe31e554383aee', 0, NULL, NULL);
INSERT INTO velonym.project VALUES ('gone', 'reversible', 'same', 'pair62', 0, '{""}', 32503636800000000, false, 1795940292645895, 1795940292659667, 'severed', '\x5fdc2416afdba5001b4c0bddae8eb97c', '\xf7df3273c049c225202398beb197a4a5', 0, NULL, NULL);

INSERT INTO velonym.receipt OVERRIDING SYSTEM VALUE VALUES (1, 'gone', '\x7b2276223a312c2270726f6a656374223a22676f6e65222c226f726773223a5b7b226f7267223a22222c2267656e65726174696f6e73223a5b7b2267656e223a302c2263726561746564223a22323032362d31312d32395430383a31383a31322e3634353839355a222c22696d706f72746564223a66616c73657d5d7d5d2c22726561736f6e223a2273657665726564222c22726574656e74696f6e223a22323939392d31322d33315431323a30303a30305a222c2264657374726f796564223a22323032362d31312d32395430383a31383a31322e3635393636375a222c22696d706f72746564223a66616c73652c227075626c69635f6b6579223a2245516c66614242334a35652f435a486b45414c6e6c656634382b61324e355164505a77374a2b714b554e593d222c227369676e6174757265223a2276376d3631324638662b374c6d766e323047535a794246474a7a4a304a417a65633848695679595a654d626252694c4635664d2f5648534c2f584a754a4f626f532f4f6c4e615668656946726c576d57752b326a41673d3d227d');

INSERT INTO velonym.revocation VALUES ('\x7265766f6b65642d696e2d736368656d612d31', 9223372036854775807);
INSERT INTO velonym.revocation VALUES ('\x616e6f74686572', 9223372036854775807);

INSERT INTO velonym.schema_version VALUES (3);

INSERT INTO velonym.seal_list VALUES (78, '\x0004626574612a0783a60ba145a041c5d2568dfda784');
INSERT INTO velonym.seal_list VALUES (723, '\x0005616c7068616d287b9e3a31539b0ebe31e554383aee');
INSERT INTO velonym.seal_list VALUES (59, '\x0004676f6e65f7df3273c049c225202398beb197a4a5');

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

