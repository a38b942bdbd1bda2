"""Columns: the texts within a list, a series or an array, and the same object with results in their place.

A column gives its texts, each different one once where that is enough, and makes a new object
of the caller's type from their results. Missing values are never sent and stay as they came.
"""

from __future__ import annotations

import decimal
import numbers as abstract
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ._errors import UnsupportedType

Numbers = Literal["refuse", "text"]
Result = str | None

Fold = Literal["never", "worth", "always"]
"""Whether equal values become one: never, since their results differ; where a look at the first
ones says that it saves work; always, since each is counted."""

SAMPLE = 10_000


@dataclass
class Column:
    values: Any
    """The values to send: a list of str, or an array of large_string without nulls."""
    rebuild: Callable[[Any], Any]
    """Makes an object like the caller's from the results, which are like values."""
    positions: Callable[[int], list[int]]
    """Returns the positions of value i in the caller's object."""
    array: bool = False
    """Whether values is a pyarrow array."""


def worth_folding(fold: Fold, values: Sequence[Any], different: Callable[[Sequence[Any]], int]) -> bool:
    """Return whether equal values are sent once; different counts the distinct values of a sample."""
    if fold != "worth" or len(values) <= SAMPLE:
        return fold != "never"
    return 2 * different(values[:SAMPLE]) < SAMPLE


def named_column_of(name: object, x: Any, numbers: Numbers, fold: Fold) -> Column:
    """Return column_of(x) for a column of a frame; errors name the column."""
    try:
        return column_of(x, numbers, fold)
    except UnsupportedType as e:
        e.args = (f"column {name!r}: {e}",)
        raise


def column_of(x: Any, numbers: Numbers, fold: Fold) -> Column:
    """Return the column of x; fold decides whether equal texts become one value."""
    if numbers not in ("refuse", "text"):
        raise ValueError('numbers must be "refuse" or "text"')
    if isinstance(x, list | tuple):
        return of_list(x, numbers, fold)
    root = type(x).__module__.partition(".")[0]
    name = type(x).__name__
    if root == "numpy" and name == "ndarray":
        return of_numpy(x, numbers, fold)
    for base in type(x).__mro__:
        match base.__module__.partition(".")[0], base.__name__:
            case "pandas", "Series":
                return of_pandas(x, numbers, fold)
            case "pandas", "Index":
                return of_pandas_index(x, numbers, fold)
            case "polars", "Series":
                from ._polars import of_polars

                return of_polars(x, numbers, fold)
            case "pyarrow", "Array" | "ChunkedArray":
                from ._arrow import of_arrow

                return of_arrow(x, numbers, fold)
    raise UnsupportedType(
        f"a {type(x).__name__} holds no column of identifiers: give a list, a pandas or polars Series, a "
        "pyarrow Array or a NumPy array (a data frame: frame(df, columns=[…]))"
    )


def is_missing(v: object) -> bool:
    """Return whether v is None, NaN, NaT or NA."""
    if v is None:
        return True
    if isinstance(v, str):
        return False
    if isinstance(v, float | decimal.Decimal | abstract.Real):
        return bool(v != v)
    if type(v).__module__.partition(".")[0] == "pandas":
        return type(v).__name__ in ("NAType", "NaTType")
    return type(v).__name__ in ("datetime64", "timedelta64") and bool(v != v)


def text_of(v: object, numbers: Numbers, where: str) -> str:
    """Return the text of one item that is not missing."""
    if isinstance(v, str):
        return str(v)
    if isinstance(v, abstract.Integral) and not isinstance(v, bool) and type(v).__name__ not in ("bool_",):
        if numbers == "text":
            return str(int(v))
        raise number_refused(where)
    raise UnsupportedType(f"{where} is of type {type(v).__name__}: identifiers are texts; convert them first")


def number_refused(where: str) -> UnsupportedType:
    return UnsupportedType(
        f'{where} is a whole number: numbers="text" transforms its decimal text, and a reverse then gives texts back'
    )


def of_list(x: Sequence[Any], numbers: Numbers, fold: Fold) -> Column:
    kind = tuple if isinstance(x, tuple) else list
    if set(map(type, x)) <= {str}:
        texts, at = list(x), None
    else:
        at = [i for i, v in enumerate(x) if not is_missing(v)]
        texts = [text_of(x[i], numbers, f"item {i}") for i in at]
    values, expand, places = folded(texts, fold)

    def rebuild(results: list[Result]) -> Any:
        done: list[Any] = expand(results)
        if at is not None:
            whole = list(x)
            for i, r in zip(at, done, strict=True):
                whole[i] = r
            done = whole
        return kind(done)

    def positions(i: int) -> list[int]:
        return places(i) if at is None else [at[k] for k in places(i)]

    return Column(values, rebuild, positions)


def folded(
    texts: list[str], fold: Fold
) -> tuple[list[str], Callable[[list[Result]], list[Any]], Callable[[int], list[int]]]:
    """Return what to send for texts, how results become as many as texts, and where a value stands."""
    if not worth_folding(fold, texts, lambda some: len(set(some))):
        return texts, list, lambda i: [i]
    values = list(dict.fromkeys(texts))

    def expand(results: list[Result]) -> list[Any]:
        return list(map(dict(zip(values, results, strict=True)).__getitem__, texts))

    return values, expand, lambda i: [k for k, t in enumerate(texts) if t == values[i]]


def of_numpy(x: Any, numbers: Numbers, fold: Fold) -> Column:
    import numpy as np

    if isinstance(x, np.ma.MaskedArray):
        raise UnsupportedType("a masked array: give x.astype(object).filled(None)")
    if x.dtype.kind in "iu" and numbers != "text":
        raise number_refused(f"the array's type {x.dtype}")
    if x.dtype.kind == "f" and np.isnan(x).all():
        return Column([], lambda results: x.copy(), lambda i: [])
    if x.dtype.kind not in "UOTiu":
        raise UnsupportedType(
            f"an array of {x.dtype}: identifiers are texts; convert them with astype(str), or astype(object) "
            "where some are missing"
        )
    inner = of_list(x.ravel().tolist(), numbers, fold)

    def rebuild(results: list[Result]) -> Any:
        done = inner.rebuild(results)
        if x.dtype.kind == "T":
            flat = np.array(done, dtype=x.dtype)
        elif x.dtype.kind == "O" or None in done:
            flat = object_array(done)
        else:
            flat = np.array(done, dtype=np.str_)
        return flat.reshape(x.shape)

    return Column(inner.values, rebuild, inner.positions)


def object_array(items: Iterable[Any]) -> Any:
    import numpy as np

    whole = list(items)
    made: Any = np.empty(len(whole), dtype=object)
    made[:] = whole
    return made


def of_pandas_index(x: Any, numbers: Numbers, fold: Fold) -> Column:
    import pandas as pd

    if isinstance(x, pd.MultiIndex):
        raise UnsupportedType("a MultiIndex: give one level, index.get_level_values(name)")
    inner = of_pandas(pd.Series(x), numbers, fold)
    return Column(inner.values, lambda r: pd.Index(inner.rebuild(r), name=x.name), inner.positions, inner.array)


def of_pandas(s: Any, numbers: Numbers, fold: Fold) -> Column:
    import pandas as pd

    dtype = s.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return of_categorical(s, numbers, fold)
    texts = (dtype.kind == "O" and not pd.api.types.is_extension_array_dtype(dtype)) or isinstance(
        dtype, pd.StringDtype
    )
    into: Any = dtype
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        kind = dtype.pyarrow_dtype
        texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not texts:
            into = pd.ArrowDtype(pa.string())
    elif not texts:
        # What pandas itself makes of texts, and the nullable type for a nullable one.
        into = "string" if pd.api.types.is_extension_array_dtype(dtype) else None
    if not texts:
        if s.isna().all():
            return Column([], lambda results: s.copy(), lambda i: [])
        if not pd.api.types.is_integer_dtype(dtype):
            raise UnsupportedType(
                f"a series of {dtype}: identifiers are texts; convert them with astype('string') (numbers that "
                "became floats because some are missing: astype('Int64').astype('string'))"
            )
        if numbers != "text":
            raise number_refused(f"a series of {dtype}: each value")
    if texts and into is dtype and (isinstance(dtype, pd.ArrowDtype | pd.StringDtype)) and has_pyarrow():
        from ._arrow import of_texts

        given = pa_array(s)

        def renew(results: Any) -> Any:
            done = pd.Series(dtype.__from_arrow__(results.cast(given.type)), index=s.index, name=s.name)
            return done.__finalize__(s)

        return of_texts(given, fold, renew)
    items = s.to_numpy(dtype=object)
    column = of_objects(items, numbers, fold)

    def rebuild(results: list[Result]) -> Any:
        done = pd.Series(column.rebuild(results), index=s.index, name=s.name, dtype=into)
        return done.__finalize__(s)

    return Column(column.values, rebuild, column.positions, column.array)


def pa_array(s: Any) -> Any:
    """Return a series of texts as a pyarrow array; missing values are null."""
    import pyarrow as pa

    return pa.array(s.array, from_pandas=True)


def has_pyarrow() -> bool:
    try:
        import pyarrow as pa
    except ImportError:
        return False
    return pa is not None


def of_objects(items: Any, numbers: Numbers, fold: Fold) -> Column:
    """Return the column of a one-dimensional NumPy array of objects."""
    import numpy as np
    import pandas as pd

    codes: Any = None
    if pd.api.types.infer_dtype(items, skipna=True) != "string":
        inner = of_list(items.tolist(), numbers, fold)
        return Column(inner.values, lambda r: object_array(inner.rebuild(r)), inner.positions)
    if worth_folding(fold, items, lambda some: len(pd.unique(some))):
        codes, unique = pd.factorize(items)
        there = codes >= 0

        def spread(results: list[Result]) -> Any:
            return object_array(results)[codes[there]]

        values = [str(v) for v in unique]
    else:
        there = ~pd.isna(items)

        def spread(results: list[Result]) -> Any:
            return object_array(results)

        values = items[there].tolist()

    def rebuild(results: list[Result]) -> Any:
        if there.all():
            return spread(results)
        done = items.copy()
        if there.any():
            done[there] = spread(results)
        return done

    def positions(i: int) -> list[int]:
        found = np.flatnonzero(codes == i) if codes is not None else np.flatnonzero(there)[i : i + 1]
        places: list[int] = found.tolist()
        return places

    return Column(values, rebuild, positions)


def of_categorical(s: Any, numbers: Numbers, fold: Fold) -> Column:
    """Each category that occurs is one value. Categories that do not occur are dropped: they are
    identifiers in clear."""
    import numpy as np
    import pandas as pd

    if fold == "never":
        inner = of_pandas(s.astype(s.cat.categories.dtype), numbers, fold)

        def renew(results: Any) -> Any:
            return inner.rebuild(results).astype("category").__finalize__(s)

        return Column(inner.values, renew, inner.positions, inner.array)
    used = s.cat.remove_unused_categories()
    categories = of_pandas(pd.Series(used.cat.categories), numbers, fold)
    codes = used.cat.codes.to_numpy()

    def rebuild(results: list[Result]) -> Any:
        new = categories.rebuild(results)
        if new.is_unique and not new.isna().any():
            return used.cat.rename_categories(new.tolist()).__finalize__(s)
        # Categories that became one (a norm step of the token), or have no result.
        done = pd.Series(object_array([None, *new])[codes + 1], index=s.index, name=s.name)
        return done.astype(pd.CategoricalDtype(new.dropna().unique(), ordered=used.cat.ordered)).__finalize__(s)

    def positions(i: int) -> list[int]:
        where = np.isin(codes, categories.positions(i))
        found: list[int] = np.flatnonzero(where).tolist()
        return found

    return Column(categories.values, rebuild, positions, categories.array)
