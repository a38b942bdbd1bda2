#!/usr/bin/env bash
# Replaces the column national_id of the table visits by pseudonyms. psql connects as PGHOST,
# PGDATABASE … say.
set -euo pipefail

# 1. A staging table, for a velonym that runs beside psql. Only the key and the identifier
#    leave the table. The update is one transaction: readers see all identifiers or all
#    pseudonyms.
psql -qAtX -v ON_ERROR_STOP=1 -c "COPY (SELECT visit, national_id FROM visits WHERE national_id <> '') TO STDOUT (FORMAT csv, HEADER)" > ids.csv
velonym run --quiet --force --token-file token --column national_id -o pseudonyms.csv ids.csv
psql -qX -v ON_ERROR_STOP=1 --single-transaction <<'SQL'
CREATE TEMPORARY TABLE staging (visit bigint PRIMARY KEY, national_id text NOT NULL);
\copy staging FROM 'pseudonyms.csv' (FORMAT csv, HEADER)
UPDATE visits SET national_id = staging.national_id FROM staging WHERE visits.visit = staging.visit;
SQL
rm ids.csv # identifiers in clear

# 2. COPY … TO PROGRAM, for a velonym that runs beside the server, as the server's user. The
#    role needs the privileges of pg_execute_server_program. COPY fails if velonym does.
psql -qX -v ON_ERROR_STOP=1 <<SQL
COPY (SELECT national_id, diagnosis FROM visits_raw WHERE national_id <> '')
  TO PROGRAM 'velonym run --quiet --force --token-file $PWD/token --column national_id -o $PWD/export.csv'
  (FORMAT csv, HEADER);
CREATE TABLE research (national_id text, diagnosis text);
COPY research FROM PROGRAM 'cat $PWD/export.csv' (FORMAT csv, HEADER);
SQL
