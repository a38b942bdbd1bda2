"""Pseudonymises a query's result with DuckDB, without a file in clear.

1. COPY through pipes: DuckDB writes to one named pipe, velonym reads from it and writes
   to another one, from which DuckDB reads.
2. A function of SQL, which calls velonym with vectors of values.
"""

import os
import subprocess
import tempfile
import threading
from pathlib import Path

import duckdb
from velonym import Local, duckdb_function

con = duckdb.connect()
con.execute("CREATE TABLE register AS FROM read_csv('register.csv', all_varchar = true)")

with tempfile.TemporaryDirectory() as folder:
    to_velonym, from_velonym = f"{folder}/identifiers.csv", f"{folder}/pseudonyms.csv"
    os.mkfifo(to_velonym)
    os.mkfifo(from_velonym)
    with open(os.open(from_velonym, os.O_RDWR), "wb") as keep_open:  # until velonym has opened it
        command = ["velonym", "run", "--quiet", "--token-file", "token", "--column", "national_id", to_velonym]
        velonym = subprocess.Popen(command, stdout=keep_open)
    copy = con.cursor()
    query = "SELECT record, national_id FROM register"
    writer = threading.Thread(target=copy.execute, args=[f"COPY ({query}) TO '{to_velonym}' (HEADER)"])
    writer.start()
    con.execute(
        f"CREATE TABLE piped AS FROM read_csv('{from_velonym}', header = true, "
        "columns = {'record': 'VARCHAR', 'national_id': 'VARCHAR'})"
    )
    writer.join()
    if velonym.wait() != 0:
        raise SystemExit("velonym failed: do not use the table piped")

duckdb_function(con, "pseudonymise", Local(Path("token").read_text()))
con.execute("CREATE TABLE called AS SELECT record, pseudonymise(national_id) AS national_id FROM register")

con.execute("COPY (FROM piped ORDER BY record::INTEGER) TO 'piped.csv' (HEADER)")
con.execute("COPY (FROM called ORDER BY record::INTEGER) TO 'called.csv' (HEADER)")
