"""Columns of pyarrow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._columns import Column, Fold, Numbers, number_refused
from ._errors import UnsupportedType


def of_arrow(a: Any, numbers: Numbers, fold: Fold) -> Column:
    import pyarrow as pa

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

    def renew(done: Any) -> Any:
        if pa.types.is_dictionary(into):
            done = done.dictionary_encode().cast(into)
        elif done.type != into:
            done = done.cast(into)
        return chunked_as(a, done)

    return of_texts(a.cast(value), fold, renew)


def of_texts(texts: Any, fold: Fold, renew: Callable[[Any], Any]) -> Column:
    """Return the column of an array of texts. renew makes the caller's object from an array of
    large_string of the same length."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if texts.type != pa.large_string():
        texts = texts.cast(pa.large_string())
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
        if isinstance(texts, pa.ChunkedArray):  # of no chunk, or as some versions do
            texts = pa.concat_arrays(texts.chunks) if texts.num_chunks else pa.array([], pa.large_string())
    some = texts.slice(0, 1 << 10)
    if fold == "always" or (fold == "worth" and 2 * len(pc.unique(some)) < len(some)):
        folded = texts.dictionary_encode()
        values, codes = folded.dictionary, folded.indices
    elif texts.null_count:
        there = pc.is_valid(texts)
        codes = pc.if_else(there, pc.subtract(pc.cumulative_sum(pc.cast(there, pa.int64())), 1), None)
        values = texts.drop_null()
    else:
        return Column(texts, renew, lambda i: [i], array=True)

    def positions(i: int) -> list[int]:
        found: list[int] = pc.indices_nonzero(pc.fill_null(pc.equal(codes, i), False)).to_pylist()
        return found

    return Column(values, lambda results: renew(pc.take(results, codes)), positions, array=True)


def chunked_as(a: Any, done: Any) -> Any:
    """Return done divided into chunks as long as those of a."""
    import pyarrow as pa

    if not isinstance(a, pa.ChunkedArray):
        return done
    whole = done.combine_chunks() if isinstance(done, pa.ChunkedArray) else done
    if isinstance(whole, pa.ChunkedArray):
        return done  # it has more text than one chunk can hold
    at, chunks = 0, []
    for c in a.chunks:
        chunks.append(whole.slice(at, len(c)))
        at += len(c)
    return pa.chunked_array(chunks, type=whole.type)
