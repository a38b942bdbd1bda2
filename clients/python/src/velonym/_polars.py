"""Columns of polars."""

from __future__ import annotations

from typing import Any

from ._columns import Column, Fold, Numbers, Result, has_pyarrow, number_refused
from ._errors import UnsupportedType


def is_text(dtype: Any) -> bool:
    import polars as pl

    return dtype in (pl.String, pl.Categorical, pl.Enum)


def result_type(dtype: Any) -> Any:
    """Return the type of a replaced column of dtype, before its values are known."""
    import polars as pl

    return dtype if dtype in (pl.Categorical, pl.Null) else pl.String


def of_polars(s: Any, numbers: Numbers, fold: Fold) -> Column:
    import polars as pl

    dtype = s.dtype
    if dtype == pl.Null or s.null_count() == len(s):
        return Column([], lambda results: s.clone(), lambda i: [])
    if not is_text(dtype):
        if not dtype.is_integer():
            raise UnsupportedType(
                f"a series of {dtype}: identifiers are texts; convert them with cast(pl.String) (numbers that "
                "became floats: cast(pl.Int64) first)"
            )
        if numbers != "text":
            raise number_refused(f"a series of {dtype}: each value")
    texts = s.cast(pl.String)

    def renewed(done: Any) -> Any:
        done = done.alias(s.name)
        if dtype == pl.Categorical:
            return done.cast(dtype)
        if dtype == pl.Enum:
            return done.cast(pl.Enum(done.drop_nulls().unique(maintain_order=True)))
        return done

    if has_pyarrow():
        from ._arrow import of_texts

        return of_texts(texts.to_arrow(), fold, lambda results: renewed(pl.Series(results)))
    there = texts.is_not_null()
    if fold != "never":
        unique = texts.drop_nulls().unique(maintain_order=True)

        def expand(results: list[Result]) -> Any:
            new = pl.Series(results, dtype=pl.String)
            return texts.replace_strict(unique, new, default=None, return_dtype=pl.String)

        def positions(i: int) -> list[int]:
            found: list[int] = (texts == unique[i]).fill_null(False).arg_true().to_list()
            return found
    else:
        unique = texts.drop_nulls()

        def expand(results: list[Result]) -> Any:
            new = pl.Series(results, dtype=pl.String)
            place = there.cum_sum().cast(pl.Int64) - 1
            return new.gather(pl.select(pl.when(there).then(place)).to_series())

        def positions(i: int) -> list[int]:
            return [there.arg_true()[i]]

    return Column(unique.to_list(), lambda results: renewed(expand(results)), positions)
