"""Columns of more values than a look at the first ones covers, and the ways that only they take."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Liar, Rig, reversed_values

import velonym

N = 25_000
DIFFERENT = [f"{i * 7919 % 100_003:013d}" for i in range(N - 4)] + ["0", "0", "高橋", "x" * 300]
REPEATED = [f"doctor {i % 50}" for i in range(N)]
ODD = [*DIFFERENT[:-4], 'a "quote", a comma', "two\nlines", "\r\n", ""]


def texts_of(x: Any) -> list[str | None]:
    items = x.to_pylist() if isinstance(x, pa.Array | pa.ChunkedArray) else list(x)
    return [None if v is None or v is pd.NA or v != v else str(v) for v in items]


@pytest.mark.parametrize("pyarrow", [True, False])
@pytest.mark.parametrize("way", ["client", "local"])
def test_every_kind(rig: Rig, way: str, pyarrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is the list's, value by value, and missing ones stay where they are."""
    if not pyarrow:
        monkeypatch.setattr("velonym._columns.has_pyarrow", lambda: False)
        monkeypatch.setattr("velonym._local.has_pyarrow", lambda: False)
        monkeypatch.setattr("velonym._polars.has_pyarrow", lambda: False)
    make = rig.client if way == "client" else rig.local
    token = rig.token("tagged", "pseudonymise")  # the project takes texts of every kind
    forward, back = make(token), make(rig.token("tagged", "reverse"))
    for given in [DIFFERENT, REPEATED, ODD]:
        different = list(dict.fromkeys(given))
        want = dict(zip(different, rig.client(token).pseudonymise(different), strict=True))
        holes: list[str | None] = [None if i % 1000 == 7 else v for i, v in enumerate(given)]
        kinds: list[Any] = [given, holes, np.array(holes, dtype=object)]
        kinds += [pd.Series(holes, dtype=t, index=range(N, 0, -1)) for t in ["str", "string", object, "category"]]
        kinds += [pl.Series(holes), pl.Series(given)]
        if pyarrow:
            whole = pa.array(holes)
            kinds += [pa.chunked_array([whole[:5], whole[5:]]), pa.array(given, pa.large_string())]
        for x in kinds:
            before = texts_of(x)
            done = forward.pseudonymise(x)
            assert type(done) is type(x)
            assert texts_of(done) == [None if v is None else want[v] for v in before]
            assert texts_of(back.reverse(done)) == before
            assert texts_of(x) == before
            if isinstance(x, pd.Series):
                assert done.index.equals(x.index) and (done.dtype == x.dtype or x.dtype == "category")


@pytest.mark.parametrize("way", ["client", "local"])
def test_bad_values(rig: Rig, way: str) -> None:
    forward = rig.client(batch_values=9000) if way == "client" else rig.local()
    bad = [*DIFFERENT]
    bad[3], bad[20_000] = "CANARY\x01", "CANARY\x02"
    for x in [bad, pd.Series([None, *bad], dtype="str")[1:], pa.array(bad), pl.Series(bad)]:
        with pytest.raises(velonym.UnprocessableValues) as e:
            forward.pseudonymise(x)
        places = {b.index for b in e.value.errors}
        assert places and places <= {3, 20_000}
        assert "CANARY" not in str(e.value) + repr(e.value) + repr(vars(e.value))
    assert len(forward.pseudonymise(pa.array(DIFFERENT))) == N, "it works again after a failure"


def test_a_budget_counts_each_different_value_once(rig: Rig) -> None:
    different = len(set(DIFFERENT))
    for make in [rig.client, rig.local]:
        token = rig.token("same", "pseudonymise", "--max", str(2 * different))
        for x in [DIFFERENT, pa.array(DIFFERENT)]:
            make(token).pseudonymise(x)
        with pytest.raises(velonym.QuotaExceeded):
            make(token).pseudonymise(["a"])


def test_few_repeats_are_sent_as_they_are(liar: Liar) -> None:
    """Finding the few equal values would be more work than sending them; many are found."""
    import test_answers

    client = velonym.Client(liar.url, test_answers.jwt(op="pseudonymise"), concurrency=1)
    liar.answer = reversed_values
    for x in [DIFFERENT, pd.Series(DIFFERENT, dtype="str"), pd.Series(DIFFERENT, dtype=object)]:
        liar.asked.clear()
        client.pseudonymise(x)
        assert sum(map(len, liar.asked)) == N
    for x in [REPEATED, pd.Series(REPEATED, dtype="str"), pd.Series(REPEATED, dtype=object)]:
        liar.asked.clear()
        client.pseudonymise(x)
        assert sum(map(len, liar.asked)) == 50


def test_one_process_serves_many_calls(rig: Rig) -> None:
    local = rig.local()
    keeper = local._transport._keeper  # type: ignore[attr-defined]
    want = rig.client().pseudonymise(DIFFERENT)
    assert local.pseudonymise(pa.array(DIFFERENT)).to_pylist() == want
    if not local._transport._keeps:  # type: ignore[attr-defined]
        pytest.skip("the command takes no Arrow")
    first = keeper._idle.processes[0].child
    for _ in range(3):
        assert local.pseudonymise(["0"]) == want[-3:-2]
    assert [p.child.pid for p in keeper._idle.processes] == [first.pid]
    with pytest.raises(velonym.UnprocessableValues):
        local.pseudonymise(["\x01"])
    results: dict[int, list[str]] = {}

    def call(i: int) -> None:
        results[i] = local.pseudonymise(pa.array(DIFFERENT)).to_pylist()

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(results[i] == want for i in range(4))
    children = [p.child for p in keeper._idle.processes]
    children[0].kill()
    children[0].wait()
    assert local.pseudonymise(pa.array(DIFFERENT)).to_pylist() == want, "one that was killed is replaced"
    local.close()
    assert all(c.poll() is not None for c in [first, *children])
    assert local.pseudonymise(["0"]) == want[-3:-2]
    local.close()
