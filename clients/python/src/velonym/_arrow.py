"""Columns of pyarrow."""

from __future__ import annotations

from typing import Any

from ._columns import Column, Numbers, Result, number_refused
from ._errors import UnsupportedType


def of_arrow(a: Any, numbers: Numbers, distinct: bool) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = a.type
    if a.null_count == len(a):
        return Column([], lambda results: a, lambda i: [])
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    view = getattr(pa.types, "is_string_view", lambda t: False)
    if pa.types.is_integer(value):
        if numbers != "text":
            raise number_refused(f"an array of {kind}: each value")
        value, into = pa.string(), pa.string()
    elif pa.types.is_string(value) or pa.types.is_large_string(value) or view(value):
        into = kind
        if view(value):
            value = pa.large_string()
    else:
        raise UnsupportedType(f"an array of {kind}: identifiers are texts; convert them with cast(pa.string())")
    texts = a.cast(value)
    there = pc.is_valid(texts)
    if distinct:
        unique = pc.unique(texts.drop_null())
        codes = pc.index_in(texts, value_set=unique)
        values = unique.to_pylist()
    else:
        codes = pc.if_else(there, pc.subtract(pc.cumulative_sum(pc.cast(there, pa.int64())), 1), None)
        values = texts.drop_null().to_pylist()

    def rebuild(results: list[Result]) -> Any:
        done = pc.take(pa.array(results, type=value), codes)
        if pa.types.is_dictionary(into):
            done = done.dictionary_encode().cast(into)
        elif done.type != into:
            done = done.cast(into)
        return chunked_as(a, done)

    def positions(i: int) -> list[int]:
        found: list[int] = pc.indices_nonzero(pc.fill_null(pc.equal(codes, i), False)).to_pylist()
        return found

    return Column(values, rebuild, positions)


def chunked_as(a: Any, done: Any) -> Any:
    """Return done in chunks of the lengths of a's."""
    import pyarrow as pa

    if not isinstance(a, pa.ChunkedArray):
        return done
    whole = done.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return done  # it has more text than one chunk can hold
    at, chunks = 0, []
    for c in a.chunks:
        chunks.append(whole.slice(at, len(c)))
        at += len(c)
    return pa.chunked_array(chunks, type=whole.type)
