"""Frames: the chosen columns of a pandas, polars, pyarrow or DuckDB table, and the same table with others
in their place.

A frame is put together only when all of its columns are there; the caller's stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import narwhals as nw

from ._errors import UnknownColumn, UnsupportedType

Columns = Sequence[Hashable] | Mapping[Hashable, str]


def chosen(columns: Columns) -> dict[Hashable, str | None]:
    """Return the columns with their own tokens, if they have such."""
    if isinstance(columns, str) or not columns:
        raise ValueError('name the columns as a list, ["id"], or as {column: token}')
    if isinstance(columns, Mapping):
        return dict(columns)
    if len(set(columns)) != len(columns):
        raise UnknownColumn("a column is named twice")
    return dict.fromkeys(columns)


def is_a(df: Any, library: str, name: str) -> bool:
    return any(b.__module__.partition(".")[0].lstrip("_") == library and b.__name__ == name for b in type(df).__mro__)


class Frame:
    """A frame taken apart into its chosen series."""

    def __init__(self, series: dict[Hashable, Any], assemble: Callable[[dict[Hashable, Any]], Any]) -> None:
        self.series = series
        self.assemble = assemble


def frame_of(df: Any, names: Sequence[Hashable]) -> Frame:
    if is_a(df, "pandas", "DataFrame"):
        return _of_pandas(df, names)
    if is_a(df, "duckdb", "DuckDBPyRelation"):
        return _of_duckdb(df, names)
    try:
        frame: Any = nw.from_native(df, eager_only=True)
    except TypeError:
        frame = None
    if frame is None or not hasattr(frame, "get_column"):
        raise UnsupportedType(
            f"a {type(df).__name__} is no frame: give a pandas or polars DataFrame, a polars LazyFrame, a pyarrow "
            "Table or a DuckDB relation"
        )
    _check(names, list(frame.columns))
    series = {n: frame.get_column(n).to_native() for n in names}

    def assemble(done: dict[Hashable, Any]) -> Any:
        made = (nw.from_native(s, series_only=True).alias(n) for n, s in done.items())
        return frame.with_columns(*made).to_native()

    return Frame(series, assemble)


def _check(names: Sequence[Hashable], there: Sequence[Hashable]) -> None:
    for n in names:
        match there.count(n):
            case 0:
                raise UnknownColumn(f"no column {n!r}: there are {', '.join(map(repr, there))}")
            case 1:
                pass
            case many:
                raise UnknownColumn(f"{many} columns are called {n!r}: give them different names first")


def _of_pandas(df: Any, names: Sequence[Hashable]) -> Frame:
    there = list(df.columns)
    for n in names:
        if n not in there and n in df.index.names:
            raise UnknownColumn(f"{n!r} is a level of the index: reset_index() first makes it a column")
    _check(names, there)
    place = {n: there.index(n) for n in names}

    def assemble(done: dict[Hashable, Any]) -> Any:
        made = df.copy(deep=False)
        for n, s in done.items():
            made.isetitem(place[n], s)
        return made

    return Frame({n: df.iloc[:, i] for n, i in place.items()}, assemble)


def _of_duckdb(relation: Any, names: Sequence[Hashable]) -> Frame:
    # The rows are read once and become a relation of the same connection.
    table = relation.to_arrow_table()
    inner = frame_of(table, names)

    def assemble(done: dict[Hashable, Any]) -> Any:
        velonym_result = inner.assemble(done)  # noqa: F841 (the SQL names it)
        return relation.query("velonym_source", "SELECT * FROM velonym_result")

    return Frame(inner.series, assemble)


def lazily(
    lazy: Any, names: Sequence[Hashable], transform: Callable[[Any], Any], by_batches: bool, numbers: str
) -> Any:
    """Return a polars LazyFrame whose columns are replaced when it is collected."""
    import polars as pl

    from ._polars import is_text, result_type

    schema = lazy.collect_schema()
    _check(names, schema.names())
    for n in names:
        if not (is_text(schema[n]) or schema[n] == pl.Null or (schema[n].is_integer() and numbers == "text")):
            raise UnsupportedType(
                f'column {n!r} is of type {schema[n]}: identifiers are texts; cast it (whole numbers: numbers="text")'
            )
    replaced = pl.Schema({n: result_type(t) if n in names else t for n, t in schema.items()})

    def batch(df: Any) -> Any:
        return transform(df).cast(replaced)

    # Rows must not be chosen, nor columns left out, by what they hold before they are replaced.
    return lazy.map_batches(
        batch,
        schema=replaced,
        predicate_pushdown=False,
        projection_pushdown=False,
        slice_pushdown=False,
        streamable=by_batches,
    )
