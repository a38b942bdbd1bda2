"""Writes the files of this folder: python3 make.py, with the versions that README.md names."""
import duckdb
import fastparquet
import pandas
import polars
import pyarrow
import pyarrow.parquet

ids = [None if i % 11 == 3 else "" if i % 13 == 5 else f"id{i * 7 % 20:07d}@x" for i in range(60)]
table = pyarrow.table({"n": list(range(60)), "id": ids})
for name, rows in ("pyarrow", [table.slice(0, 30), table.slice(0, 0), table.slice(30)]), ("pyarrow-empty", [table.slice(0, 0)]):
    with pyarrow.parquet.ParquetWriter(name + ".parquet", table.schema, write_page_index=True) as w:
        for part in rows:
            w.write_table(part)
frame = pandas.DataFrame({"n": range(60), "id": ids})
fastparquet.write("fastparquet.parquet", frame)
fastparquet.write("fastparquet-empty.parquet", frame.iloc[:0])
fastparquet.write("fastparquet-category.parquet", frame.astype({"id": "category"}))
polars.DataFrame({"n": range(60), "id": ids}).write_parquet("polars.parquet", row_group_size=25)
polars.DataFrame({"n": range(60), "id": ids}).head(0).write_parquet("polars-empty.parquet")
db = duckdb.connect()
db.register("t", table)
db.execute("copy t to 'duckdb.parquet' (format parquet, dictionary_size_limit 1000)")
db.execute("copy (select * from t where n < 0) to 'duckdb-empty.parquet' (format parquet)")
db.execute("copy t to 'duckdb-delta.parquet' (format parquet, parquet_version v2, dictionary_size_limit 1)")
db.execute("""copy (select n, ('{"id":"' || id || '"}')::json as doc, (n % 2)::varchar::enum('0', '1') as kind from t)
    to 'duckdb-annotated.parquet' (format parquet)""")
