"""Lists, series and arrays: type, index, order and missing values stay; the way back gives what was there."""

from __future__ import annotations

import asyncio
import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Rig

import velonym

IDS = ["1973080520045", "", "高橋", "1973080520045", ' "quoted", \\ ', "Παπαδοπούλου"]


@pytest.fixture(scope="module")
def psn(rig: Rig) -> dict[str, str]:
    """The pseudonyms of IDS, from the command and not from a client."""
    import json
    import subprocess

    lines = "".join(json.dumps({"v": v}) + "\n" for v in IDS)
    out = subprocess.run(
        [rig.binary, "run", "--column", "v", "--format", "ndjson", "--quiet"],
        input=lines.encode(),
        env={**rig.env, "VELONYM_TOKEN": rig.forward},
        capture_output=True,
        check=True,
    ).stdout
    return dict(zip(IDS, (json.loads(line)["v"] for line in out.splitlines()), strict=True))


@pytest.mark.parametrize("way", ["client", "local"])
def test_lists(rig: Rig, psn: dict[str, str], way: str) -> None:
    forward = rig.client() if way == "client" else rig.local()
    back = rig.client(rig.back) if way == "client" else rig.local(rig.back)
    nan = float("nan")
    given = [IDS[0], None, nan, *IDS[1:], pd.NA, pd.NaT, np.float32("nan"), decimal.Decimal("NaN")]
    done = forward.pseudonymise(given)
    assert [psn[v] if isinstance(v, str) else v for v in given] == [
        d if isinstance(d, str) or d is None else given[i] for i, d in enumerate(done)
    ]
    assert all(d is g for d, g in zip(done, given, strict=True) if not isinstance(g, str))
    assert all(type(d) is str for d, g in zip(done, given, strict=True) if isinstance(g, str))
    assert back.reverse([v for v in done if isinstance(v, str)]) == [IDS[0], *IDS[1:]]
    assert forward.pseudonymise([]) == []
    assert forward.pseudonymise([None]) == [None]
    assert forward.pseudonymise((IDS[0], None)) == (psn[IDS[0]], None)


def test_pandas(rig: Rig, psn: dict[str, str]) -> None:
    client, back = rig.client(), rig.client(rig.back)
    index = pd.MultiIndex.from_tuples([(i % 2, "x") for i in range(len(IDS) + 2)], names=["a", "b"])
    want = [*map(psn.get, IDS), None, None]
    for dtype in [object, "str", "string", "string[pyarrow]", pd.ArrowDtype(pa.large_string()), "category"]:
        s = pd.Series([*IDS, None, np.nan], index=index, name="id", dtype=dtype)
        s.attrs["source"] = "here"
        before = s.copy()
        done = client.pseudonymise(s)
        assert [None if pd.isna(v) else v for v in done] == want, dtype
        assert done.index.equals(index) and done.index.names == ["a", "b"] and done.name == "id"
        assert done.attrs == {"source": "here"}
        assert done.dtype == s.dtype or (dtype == "category" and isinstance(done.dtype, pd.CategoricalDtype))
        if dtype is object:
            assert done.iloc[-2] is None and done.iloc[-1] is s.iloc[-1]
        pd.testing.assert_series_equal(s, before)
        pd.testing.assert_series_equal(back.reverse(done).astype(object), s.astype(object))
    assert client.pseudonymise(pd.Index([IDS[0]], name="n")).equals(pd.Index([psn[IDS[0]]], name="n"))
    assert len(client.pseudonymise(pd.Series([], dtype=object))) == 0


def test_pandas_duplicated_index(rig: Rig, psn: dict[str, str]) -> None:
    s = pd.Series(IDS, index=[7] * len(IDS))
    done = rig.client().pseudonymise(s)
    assert list(done) == list(map(psn.get, IDS)) and list(done.index) == [7] * len(IDS)


def test_categories(rig: Rig) -> None:
    """What no row holds is not sent and does not stay as a category; categories that become one are one."""
    s = pd.Series(["b", "a", None, "b"], dtype=pd.CategoricalDtype(["secret", "b", "a"], ordered=True))
    done = rig.client().pseudonymise(s)
    assert "secret" not in done.cat.categories and len(done.cat.categories) == 2 and done.cat.ordered
    assert done[0] == done[3] != done[1] and done.isna().tolist() == [False, False, True, False]
    trimmed = rig.client(rig.token("same", "pseudonymise", "--norm", "trim"))
    same = trimmed.pseudonymise(pd.Series(["a", " a", "b"], dtype="category"))
    assert same[0] == same[1] == done[1] and len(same.cat.categories) == 2


def test_polars(rig: Rig, psn: dict[str, str]) -> None:
    client, back = rig.client(), rig.client(rig.back)
    want = [*map(psn.get, IDS), None]
    for dtype in [pl.String, pl.Categorical, pl.Enum([*dict.fromkeys(IDS), "secret"])]:
        s = pl.Series("id", [*IDS, None], dtype=dtype)
        done = client.pseudonymise(s)
        assert done.to_list() == want and done.name == "id"
        assert type(done.dtype) is type(s.dtype)
        assert back.reverse(done).to_list() == s.to_list()
        if isinstance(done.dtype, pl.Enum):
            assert "secret" not in done.dtype.categories
    assert client.pseudonymise(pl.Series([None, None])).to_list() == [None, None]


def test_arrow(rig: Rig, psn: dict[str, str]) -> None:
    client, back = rig.client(), rig.client(rig.back)
    want = [*map(psn.get, IDS), None]
    plain = pa.array([*IDS, None])
    for a in [
        plain,
        plain.cast(pa.large_string()),
        plain.cast(pa.string_view()),
        plain.dictionary_encode(),
        plain.slice(2),
        pa.chunked_array([plain.slice(0, 2), plain.slice(2, 0), plain.slice(2)]),
        pa.chunked_array([plain.slice(0, 2).dictionary_encode(), plain.slice(2).dictionary_encode()]),
    ]:
        done = client.pseudonymise(a)
        assert done.to_pylist() == want[-len(a) :]
        assert done.type == a.type and type(done) is type(a)
        if isinstance(a, pa.ChunkedArray):
            assert [len(c) for c in done.chunks] == [len(c) for c in a.chunks]
        assert back.reverse(done).to_pylist() == a.to_pylist()


def test_numpy(rig: Rig, psn: dict[str, str]) -> None:
    client, back = rig.client(), rig.client(rig.back)
    for dtype in ["U", object, np.dtypes.StringDType()]:
        a = np.array(IDS, dtype=dtype).reshape(2, 3)
        done = client.pseudonymise(a)
        assert done.shape == (2, 3) and done.dtype.kind == a.dtype.kind
        assert done.ravel().tolist() == list(map(psn.get, IDS))
        assert back.reverse(done).tolist() == a.tolist()
    assert client.pseudonymise(np.array(["x", None], dtype=object))[1] is None


def test_other_policies(rig: Rig) -> None:
    """Where equal values get different pseudonyms, every one is sent, and all of a document at once."""
    for project in ["different", "document"]:
        client, back = rig.client(rig.token(project, "pseudonymise")), rig.client(rig.token(project, "reverse"))
        given = ["a", None, "a", "b", ""]
        for x in [
            given,
            pd.Series(given, dtype=object),
            pd.Series(given, dtype="category"),
            pl.Series(given),
            pa.array(given),
            np.array(given, dtype=object),
        ]:
            done: Any = client.pseudonymise(x)
            assert len({*map(str, list(done))}) == 5, (project, type(x))
            there = [v for v in back.reverse(done)]
            there = [v.as_py() if isinstance(v, pa.Scalar) else v for v in there]
            assert [None if v is None or v is pd.NA or v != v else v for v in there] == given
    document = rig.client(rig.token("document", "pseudonymise"), batch_values=2)
    assert document.pseudonymise(["a"] * 5) == document.pseudonymise(["a"] * 5)
    with pytest.raises(velonym.TooLarge, match="one document"):
        rig.client(rig.token("document", "pseudonymise", "--req", "3")).pseudonymise(["a"] * 4)


def test_numbers(rig: Rig) -> None:
    client, back = rig.client(), rig.client(rig.back)
    whole = [20045, -3, 18446744073709551615]
    want = client.pseudonymise(list(map(str, whole)))
    for x in [
        whole,
        pd.Series(whole[:2]),
        pd.Series([*whole[:2], None], dtype="Int64"),
        pd.Series(whole[:2], dtype=pd.ArrowDtype(pa.int64())),
        pd.Series(whole[:2], dtype="category"),
        pl.Series(whole[:2]),
        pa.array([*whole[:2], None]),
        np.array(whole[:2]),
    ]:
        with pytest.raises(velonym.UnsupportedType, match='numbers="text"'):
            client.pseudonymise(x)
        done = client.pseudonymise(x, numbers="text")
        listed = done.to_pylist() if isinstance(done, pa.Array) else list(done)
        assert listed[:2] == want[:2], type(x)
        assert len(listed) == 2 or pd.isna(listed[2]) or listed[2] == want[2]
        back.reverse(done)
    for x in [
        [1.5],
        [True],
        [b"x"],
        ["x", ["y"]],
        pd.Series([1.0, None]),
        pd.Series([True]),
        pd.Series(pd.to_datetime(["2026-01-01"])),
        pl.Series([1.5]),
        pa.array([1.5]),
        np.array([1.5]),
        np.array([b"x"]),
        np.ma.array(["x"], mask=[True]),
        pd.DataFrame({"x": ["y"]}),
        pd.MultiIndex.from_tuples([("a", "b")]),
        "text",
        {"a": "b"},
    ]:
        with pytest.raises(velonym.UnsupportedType):
            client.pseudonymise(x, numbers="text")
    assert client.pseudonymise(pd.Series([None, np.nan], dtype=float)).isna().all()


def test_bad_values_stand_where_the_caller_has_them(rig: Rig) -> None:
    bad = "CANARY\x01"
    given = [None, "a", bad, "a", bad, "b", "\ud800CANARY"]
    for client in [rig.client(), rig.client(batch_values=2, concurrency=1), rig.local()]:
        for x in [given[:6], pd.Series(given[:6], dtype=object), pd.Series(given[:6], dtype="category")]:
            with pytest.raises(velonym.UnprocessableValues) as e:
                client.pseudonymise(x)
            assert [(b.index, b.code) for b in e.value.errors] == [(2, "VALUE_NOT_TEXT"), (4, "VALUE_NOT_TEXT")]
            assert "CANARY" not in str(e.value) + repr(e.value)
        with pytest.raises(velonym.UnprocessableValues) as e:
            client.pseudonymise(["ok", *given[6:]])
        assert [b.index for b in e.value.errors] == [1] and "CANARY" not in str(e.value)
    for x in [pl.Series(given[:6]), pa.array(given[:6]), np.array(given[:6], dtype=object)]:
        with pytest.raises(velonym.UnprocessableValues) as e:
            rig.client().pseudonymise(x)
        assert [b.index for b in e.value.errors] == [2, 4]
    item = rig.token("same", "pseudonymise", "--on-error", "item")
    for client in [rig.client(item), rig.local(item)]:
        with pytest.warns(velonym.ValuesRefused) as w:
            done = client.pseudonymise(["a", bad, "b"])
        assert done[1] is None and isinstance(done[0], str) and isinstance(done[2], str)
        assert "CANARY" not in str(w[0].message)
    with pytest.raises(velonym.UnprocessableValues):
        rig.local().pseudonymise([bad])


def test_local_is_the_server(rig: Rig) -> None:
    """The command and the server give the same, line breaks and empty texts included."""
    forward, back = rig.token("tagged", "pseudonymise"), rig.token("tagged", "reverse")
    given = ["two\nlines", "", "\r\n", "null", "\x00", "tab\t", '"', "\u2028", "  "]
    done = rig.client(forward).pseudonymise(given)
    assert rig.local(forward).pseudonymise(given) == done
    assert rig.local(back).reverse(done) == rig.client(back).reverse(done) == given
    spent = rig.token("same", "pseudonymise", "--max", "2")
    for client in [rig.local(spent), rig.client(spent)]:
        with pytest.raises(velonym.QuotaExceeded):
            client.pseudonymise(["a", "b", "c"])
    with pytest.raises(velonym.ForbiddenOperation):
        rig.local().reverse(["a"])
    with pytest.raises(velonym.InvalidToken):
        rig.local("no.real.token").pseudonymise(["a"])
    with pytest.raises(velonym.CommandFailed, match="cannot be started"):
        velonym.Local(rig.forward, command="/nowhere/velonym").pseudonymise(["a"])


def test_secondary(rig: Rig) -> None:
    there = rig.client(rig.token("tagged", "secondary", "--source", "same"))
    first = rig.client().pseudonymise(["a", None])
    moved = there.secondary(first)
    assert moved[1] is None
    assert moved == rig.client(rig.token("tagged", "pseudonymise")).pseudonymise(["a", None])


def test_batches_and_order(rig: Rig) -> None:
    given = [str(i) for i in range(1000)]
    whole = rig.client().pseudonymise(given)
    assert rig.client(batch_values=7, concurrency=3).pseudonymise(given) == whole
    assert rig.client(batch_bytes=100).pseudonymise(given) == whole
    assert rig.client(rig.token("same", "pseudonymise", "--req", "9")).pseudonymise(given) == whole


def test_async(rig: Rig) -> None:
    async def work() -> None:
        async with velonym.AsyncClient(rig.url, rig.forward, batch_values=3) as client:
            given = [*map(str, range(20)), None]
            assert await client.pseudonymise(given) == rig.client().pseudonymise(given)
            df = pd.DataFrame({"id": given, "n": range(21)})
            pd.testing.assert_frame_equal(await client.frame(df, ["id"]), rig.client().frame(df, ["id"]))
            with pytest.raises(velonym.UnprocessableValues) as e:
                await client.frame(df.assign(id="\x01"), ["id"])
            assert len(e.value.errors) == 21
        async with velonym.AsyncClient(rig.url, rig.back) as client:
            with pytest.raises(velonym.ForbiddenOperation):
                await client.pseudonymise(["a"])

    asyncio.run(work())
