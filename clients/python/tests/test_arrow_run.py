"""`velonym run` on Arrow streams and files that pyarrow, polars and pandas write, read back by
them and by DuckDB: values are replaced, all else stays, and a reverse gives the input back."""

from __future__ import annotations

import datetime
import decimal
import json
import pathlib
import random
import uuid
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.orc
import pyarrow.parquet
import pytest

ROWS = 200
DATA = pathlib.Path(pa.__file__).parent / "tests" / "data"


def some(values: list[Any], nulls: bool = True) -> list[Any]:
    """ROWS of the values, in another order, with nulls."""
    r = random.Random(1)
    return [None if nulls and i % 11 == 3 else r.choice(values) for i in range(ROWS)]


UUIDS = [uuid.UUID(int=17**i % 2**128) for i in range(1, 40)]
NUMBERS = list(range(0, 120, 3))


def text(v: Any) -> str | None:
    """The text of a value that is transformed in its place."""
    return v.hex() if isinstance(v, bytes) else None if v is None else str(v)


def dictionary(values: pa.Array, index: pa.DataType) -> pa.Array:
    encoded = values.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(index), encoded.dictionary)


# Columns of every type that can hold identifiers: the column, and the text of its values.
IDENTIFIERS: dict[str, tuple[pa.Array, list[str | None]]] = {}
for size in (8, 16, 32, 64):
    for kind in ("int", "uint"):
        top = 2 ** (size - (kind == "int")) - 1
        v = some([*NUMBERS, top, *([-1, -top - 1] if kind == "int" else [])])
        IDENTIFIERS[f"{kind}{size}"] = (pa.array(v, getattr(pa, f"{kind}{size}")()), [text(x) for x in v])
for name, precision in (("decimal32", 9), ("decimal64", 18), ("decimal128", 38), ("decimal256", 76)):
    v = some([decimal.Decimal(s) for s in ("0", "-1", "123", "9" * precision, "-" + "9" * precision)])
    IDENTIFIERS[name] = (pa.array(v, getattr(pa, name)(precision, 0)), [text(x) for x in v])
v = some(UUIDS)
IDENTIFIERS["uuid"] = (pa.array([u and u.bytes for u in v], pa.uuid()), [text(u) for u in v])
v = some([bytes([i, 255 - i, 7]) for i in range(50)])
IDENTIFIERS["fixed"] = (pa.array(v, pa.binary(3)), [text(x) for x in v])
v = some([f"person {i} {'x' * (i % 30)}" for i in range(60)])
for t in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()):
    IDENTIFIERS[str(t)] = (pa.array(v, t), v)
for index in (pa.int8(), pa.uint16(), pa.int32(), pa.int64()):
    IDENTIFIERS[f"dictionary {index}"] = (dictionary(pa.array(v), index), v)
n = some(NUMBERS)
IDENTIFIERS["dictionary of numbers"] = (dictionary(pa.array(n, pa.int64()), pa.int8()), [text(x) for x in n])

# Columns of every other type, which must stay as they are.
EPOCH = datetime.datetime(2025, 1, 31, 12, 30)
UNION = pa.array([i % 2 for i in range(ROWS)], pa.int8())
OTHERS: dict[str, pa.Array] = {
    "null": pa.nulls(ROWS),
    "bool": pa.array(some([True, False])),
    "half": pa.array(some([1.5, -2.0]), pa.float16()),
    "float": pa.array(some([1.5, -2.25]), pa.float32()),
    "double": pa.array(some([0.1, float("nan")])),
    "date32": pa.array(some([EPOCH.date()])),
    "date64": pa.array(some([EPOCH.date()]), pa.date64()),
    "time32": pa.array(some([datetime.time(1, 2, 3)]), pa.time32("ms")),
    "time64": pa.array(some([datetime.time(1, 2, 3)]), pa.time64("ns")),
    "timestamp": pa.array(some([EPOCH]), pa.timestamp("us")),
    "zoned": pa.array(some([EPOCH]), pa.timestamp("ns", tz="Europe/Luxembourg")),
    "duration": pa.array(some([datetime.timedelta(seconds=5)]), pa.duration("ms")),
    "interval": pa.array(some([pa.MonthDayNano([1, 2, 3])]), pa.month_day_nano_interval()),
    "fraction": pa.array(some([decimal.Decimal("1.25")]), pa.decimal128(9, 2)),
    "list": pa.array(some([[1, 2], [], [None]]), pa.list_(pa.int32())),
    "large list": pa.array(some([["a", None], []]), pa.large_list(pa.string())),
    "fixed list": pa.array(some([[1, 2], [3, None]]), pa.list_(pa.int16(), 2)),
    "list view": pa.array(some([["a"], ["b", "c"]]), pa.list_view(pa.string_view())),
    "large list view": pa.array(some([[1.5]]), pa.large_list_view(pa.float64())),
    "map": pa.array(some([[("k", 1)], []]), pa.map_(pa.string(), pa.int64())),
    "struct": pa.array(some([{"a": 1, "b": "x"}]), pa.struct([("a", pa.int8()), ("b", pa.string())])),
    "sparse union": pa.UnionArray.from_sparse(UNION, [pa.array(range(ROWS)), pa.array(["u"] * ROWS)]),
    "dense union": pa.UnionArray.from_dense(
        UNION, pa.array([i // 2 for i in range(ROWS)], pa.int32()), [pa.array(range(100)), pa.array(["u"] * 100)]
    ),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([50, ROWS], pa.int32()), pa.array(["first", None])),
    "views": pa.array(some(["short", "a long text that does not fit in a view"]), pa.string_view()),
    "categories": dictionary(pa.array(some(["a", "b"])), pa.int8()),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(some(['{"a": 1}']))),
    "tensor": pa.FixedShapeTensorArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), [2]), pa.array([[1, 2]] * ROWS, pa.list_(pa.int32(), 2))
    ),
}


def write(path: pathlib.Path, table: pa.Table, batch: int | None = None, **options: Any) -> None:
    """Writes a file or, by its suffix, a stream."""
    new = pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file
    with new(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as w:
        w.write_table(table, batch)


def read(path: pathlib.Path) -> pa.Table:
    with pa.OSFile(str(path)) as f:
        t = (pa.ipc.open_stream if path.suffix == ".arrows" else pa.ipc.open_file)(f).read_all()
    t.validate(full=True)
    return t


def metadata(table: pa.Table) -> dict[bytes, Any]:
    """The metadata of a schema; where it is JSON, what that says."""
    return {k: json.loads(v) if v[:1] == b"{" else v for k, v in (table.schema.metadata or {}).items()}


class Runs:
    """Runs of the command in a folder."""

    def __init__(self, rig: Any, dir: pathlib.Path) -> None:
        self.rig, self.dir = rig, dir

    def both(
        self, table: pa.Table, columns: list[str], suffix: str = ".arrow", project: str = "same", **options: Any
    ) -> tuple[pa.Table, pa.Table]:
        """The table pseudonymised, and that reversed, through files of the suffix."""
        write(self.dir / f"in{suffix}", table, **options)
        return self.files(f"in{suffix}", columns, project)

    def files(self, name: str, columns: list[str], project: str = "same") -> tuple[pa.Table, pa.Table]:
        suffix = pathlib.Path(name).suffix
        self.run(name, f"out{suffix}", columns, "--project", project)
        self.run(f"out{suffix}", f"back{suffix}", columns, "--project", project, "--op", "reverse")
        return read(self.dir / f"out{suffix}"), read(self.dir / f"back{suffix}")

    def run(self, name: str, out: str, columns: list[str], *options: str) -> None:
        named = [a for c in columns for a in ("--column", c)]
        self.rig.run("run", "--quiet", "--force", *options, *named, "-o", str(self.dir / out), str(self.dir / name))


@pytest.fixture
def runs(rig: Any, tmp_path: pathlib.Path) -> Runs:
    return Runs(rig, tmp_path)


def plain(column: pa.ChunkedArray) -> list[Any]:
    return [x.decode() if isinstance(x, bytes) else x for x in column.to_pylist()]


@pytest.mark.parametrize("suffix", [".arrow", ".arrows"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_every_type(runs: Runs, suffix: str, compression: str | None) -> None:
    named = list(IDENTIFIERS)
    table = pa.table({**{k: a for k, (a, _) in IDENTIFIERS.items()}, **OTHERS}).replace_schema_metadata(
        {"owner": "register"}
    )
    texts = pa.table({k: pa.array(t, pa.string()) for k, (_, t) in IDENTIFIERS.items()})
    for batch in (None, 7):
        options = {"compression": compression, "emit_dictionary_deltas": suffix == ".arrows"}
        out, back = runs.both(table, named, suffix, batch=batch, **options)
        as_text, _ = runs.both(texts, named, suffix)
        for name in named:
            assert plain(out[name]) == plain(as_text[name]), name
            assert out.schema.field(name).type != table.schema.field(name).type or not name.startswith(
                ("int", "uint", "dec", "fix")
            ), name
        for name in OTHERS:
            assert out[name].combine_chunks().equals(table[name].combine_chunks()) or name == "double", name
        assert out.schema.metadata[b"owner"] == b"register"
        assert back.schema.equals(table.schema, check_metadata=True)
        for name in named:
            assert back[name].to_pylist() == table[name].to_pylist(), name


@pytest.mark.parametrize("suffix", [".arrow", ".arrows"])
def test_sliced(runs: Runs, suffix: str) -> None:
    """Arrays that begin within a byte of their validity, whose offsets do not begin at 0."""
    table = pa.table({k: a for k, (a, _) in IDENTIFIERS.items()})
    sliced = pa.concat_tables([table.slice(13, 50), table.slice(1, 1), table.slice(0, 0), table.slice(100)])
    out, back = runs.both(sliced, list(IDENTIFIERS), suffix)
    whole, _ = runs.both(table, list(IDENTIFIERS), suffix)
    assert back.equals(sliced)
    for name in IDENTIFIERS:
        w = plain(whole[name])
        assert plain(out[name]) == w[13:63] + w[1:2] + w[100:], name


def test_nested(runs: Runs) -> None:
    person = pa.struct(
        [("id", pa.int64()), ("names", pa.list_(pa.string())), ("mail", pa.dictionary(pa.int8(), pa.string()))]
    )
    rows = some([{"id": i, "names": ["a", None, f"n{i}"], "mail": f"m{i % 5}@x"} for i in range(30)])
    table = pa.table(
        {"person": pa.array(rows, person), "people": pa.array(some([rows[:3], [], rows[4:6]]), pa.list_(person))}
    )
    columns = ["person.id", "person.names", "person.mail", "people.id"]
    for t in (table, table.slice(9, 77)):
        out, back = runs.both(t, columns)
        assert back.to_pylist() == t.to_pylist()
        assert back.schema == t.schema
        for was, now in zip(t["person"].to_pylist(), out["person"].to_pylist(), strict=True):
            assert (was is None) == (now is None)
            if was:
                assert len(now["id"]) >= 16 and now["mail"] != was["mail"] and now["names"][1] is None


def test_different(runs: Runs) -> None:
    """Where equal values are to differ, a dictionary is decoded."""
    for project in ("different", "document"):
        table = pa.table({k: a for k, (a, _) in IDENTIFIERS.items()})
        for suffix in (".arrow", ".arrows"):
            out, back = runs.both(table, list(IDENTIFIERS), suffix, project)
            for name in table.column_names:
                seen = [x for x in plain(out[name]) if x is not None]
                assert len(set(seen)) == len(seen), name
                assert back[name].to_pylist() == table[name].to_pylist(), name


def test_pandas(runs: Runs) -> None:
    df = pd.DataFrame(
        {
            "id": pd.array(some(NUMBERS), dtype="Int64"),
            "number": pd.array(some(NUMBERS, nulls=False), dtype="uint16"),
            "town": pd.Categorical(some(["Esch", "Wiltz"])),
            "level": pd.Categorical(some(NUMBERS)),
            "name": some(["a", "b"]),
        },
        index=pd.Index([f"row {i}" for i in range(ROWS)], name="key"),
    )
    pa.feather.write_feather(df.reset_index(), str(runs.dir / "in.feather"))
    write(runs.dir / "in.arrow", pa.Table.from_pandas(df))
    columns = ["id", "number", "town", "level"]
    for name in ("in.feather", "in.arrow"):
        out, back = runs.files(name, columns)
        want = df.reset_index() if name == "in.feather" else df
        pd.testing.assert_frame_equal(back.to_pandas(), want)
        seen = out.to_pandas()
        assert seen["town"].dtype == "category" and seen["id"].isna().sum() == want["id"].isna().sum()
        pd.testing.assert_series_equal(seen["name"], want["name"])


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_polars(runs: Runs, compression: Any) -> None:
    df = pl.DataFrame(
        {
            "id": pl.Series(some(NUMBERS), dtype=pl.Int64),
            "text": some([f"person {i} with a long name" for i in range(40)]),
            "town": pl.Series(some(["Esch", "Wiltz"]), dtype=pl.Categorical),
            "kind": pl.Series(some(["x", "y"]), dtype=pl.Enum(["x", "y", "z"])),
            "when": pl.Series(some([EPOCH])),
            "list": pl.Series(some([["a"], []]), dtype=pl.List(pl.String)),
        }
    )
    for level in (pl.CompatLevel.oldest(), pl.CompatLevel.newest()):
        df.write_ipc(runs.dir / "in.arrow", compression=compression, compat_level=level)
        df.write_ipc_stream(runs.dir / "in.arrows", compression=compression, compat_level=level)
        for suffix, again in ((".arrow", pl.read_ipc), (".arrows", pl.read_ipc_stream)):
            columns = ["id", "text", "town", "list"]
            out, _ = runs.files(f"in{suffix}", columns)
            assert again(runs.dir / f"back{suffix}").equals(df)
            seen = again(runs.dir / f"out{suffix}")
            assert seen.select("kind", "when").equals(df.select("kind", "when"))
            assert seen["id"].dtype == pl.String and seen["town"].to_list() == plain(out["town"])
            in_duckdb = duckdb.sql("select count(distinct id), count(town) from out").fetchall()
            assert in_duckdb == [(df["id"].drop_nulls().n_unique(), ROWS - df["town"].null_count())]


def test_parquet_and_arrow(runs: Runs) -> None:
    """What one format remembers of a column restores it in the other."""
    table = pa.table({k: IDENTIFIERS[k][0] for k in ("int8", "int64", "uint32", "decimal128", "uuid", "fixed")})
    same, d = ("--project", "same"), runs.dir
    write(d / "in.arrow", table)
    runs.run("in.arrow", "out.arrow", table.column_names, *same)
    pa.parquet.write_table(read(d / "out.arrow"), str(d / "out.parquet"))
    runs.run("out.parquet", "back.parquet", table.column_names, *same, "--op", "reverse")
    assert pa.parquet.read_table(str(d / "back.parquet")).equals(table)
    pa.parquet.write_table(table, str(d / "in.parquet"))
    runs.run("in.parquet", "out.parquet", table.column_names, *same)
    write(d / "out.arrow", pa.parquet.read_table(str(d / "out.parquet")))
    runs.run("out.arrow", "back.arrow", table.column_names, *same, "--op", "reverse")
    assert read(d / "back.arrow").equals(table)


def test_parquet_of_pandas(runs: Runs) -> None:
    """pandas reads what becomes of its file, whose types it keeps within Arrow's schema."""
    df = pd.DataFrame({"id": pd.array(some(NUMBERS), dtype="Int64"), "name": some(["a", "b"])})
    df.to_parquet(runs.dir / "in.parquet")
    runs.run("in.parquet", "out.parquet", ["id"], "--project", "same")
    out = pd.read_parquet(runs.dir / "out.parquet")
    assert out["id"].isna().equals(df["id"].isna()) and out["id"].dropna().str.len().min() >= 16
    runs.run("out.parquet", "back.parquet", ["id"], "--project", "same", "--op", "reverse")
    pd.testing.assert_frame_equal(pd.read_parquet(runs.dir / "back.parquet"), df)


def test_data_of_pyarrow(runs: Runs) -> None:
    """Files that came with pyarrow, as they are and as Arrow: each column of text or numbers."""
    feather = DATA / "feather" / "v0.17.0.version.2-compression.lz4.feather"
    (runs.dir / "in.feather").write_bytes(feather.read_bytes())
    tables = {"feather": read(runs.dir / "in.feather")}
    for p in (DATA / "parquet").glob("*.parquet"):
        tables[p.name] = pa.parquet.read_table(str(p))
    for p in (DATA / "orc").glob("*.orc"):
        tables[p.name] = pa.orc.read_table(str(p))
    assert len(tables) > 5
    for name, table in tables.items():
        table = table.slice(0, 2000)
        fit = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_string(f.type)]
        if not fit:
            continue
        out, back = runs.both(table, fit, batch=64, compression="zstd")
        assert out.num_rows == table.num_rows, name
        assert back.equals(table), name
        assert back.schema.equals(table.schema), name
        assert metadata(back) == metadata(table), name


def test_refused(runs: Runs) -> None:
    """What identifies nobody, and streams that are damaged, leave nothing."""
    write(runs.dir / "in.arrows", pa.table({**OTHERS, "id": IDENTIFIERS["string"][0]}))
    for name in (
        "bool",
        "half",
        "float",
        "double",
        "date32",
        "time64",
        "timestamp",
        "duration",
        "fraction",
        "interval",
        "null",
    ):
        with pytest.raises(AssertionError, match=f'column "{name}" is of type'):
            runs.files("in.arrows", [name])
    for name in ("struct", "map", "sparse union"):
        with pytest.raises(AssertionError, match=f'column "{name}'):
            runs.files("in.arrows", [name])
    whole = (runs.dir / "in.arrows").read_bytes()
    for cut in (len(whole) - 8, len(whole) - 9, len(whole) // 2):
        (runs.dir / "cut.arrows").write_bytes(whole[:cut])
        with pytest.raises(AssertionError, match="cut"):
            runs.files("cut.arrows", ["id"])
    assert not (runs.dir / "out.arrows").exists()
