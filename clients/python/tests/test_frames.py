"""Frames: the named columns are replaced, all else stays, and nothing is when something fails."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Liar, Rig, reversed_values, send

import velonym

DATA = {"id": ["a", None, "b", "a"], "n": [1, 2, 3, 4], "doctor": ["x", "y", "", "x"]}


def test_pandas_frame(rig: Rig) -> None:
    client = rig.client()
    df = pd.DataFrame(DATA, index=pd.MultiIndex.from_tuples([(1, 1), (1, 1), (2, 1), (2, 2)], names=["i", "j"]))
    df["kind"] = pd.Categorical(["k", "l", "k", None])
    before = df.copy(deep=True)
    done = client.frame(df, ["id", "kind"])
    assert list(done.columns) == ["id", "n", "doctor", "kind"] and done.index.equals(df.index)
    assert done["id"].tolist()[0] == client.pseudonymise(["a"])[0] and pd.isna(done["id"].iloc[1])
    pd.testing.assert_frame_equal(done[["n", "doctor"]], df[["n", "doctor"]])
    pd.testing.assert_frame_equal(df, before)
    pd.testing.assert_frame_equal(rig.client(rig.back).frame(done, ["id", "kind"]), df, check_categorical=False)

    two = client.frame(df, {"id": rig.forward, "doctor": rig.token("tagged", "pseudonymise")})
    assert two["id"].tolist()[0] == done["id"].tolist()[0] and len(two["doctor"].iloc[0]) > len(two["id"].iloc[0])
    with pytest.raises(velonym.UnknownColumn, match=r"'ID'.*'id', 'n'"):
        client.frame(df, ["ID"])
    with pytest.raises(velonym.UnknownColumn, match="reset_index"):
        client.frame(df, ["i"])
    doubled = pd.DataFrame([["a", "b", "c"]], columns=["x", "x", "y"])
    with pytest.raises(velonym.UnknownColumn, match="2 columns"):
        client.frame(doubled, ["x"])
    assert client.frame(doubled, ["y"]).iloc[0].tolist() == ["a", "b", *client.pseudonymise(["c"])]
    with pytest.raises(velonym.UnsupportedType, match="'n'"):
        client.frame(df, ["n"])
    with pytest.raises(ValueError, match="list"):
        client.frame(df, "id")  # type: ignore[arg-type]


def test_other_frames(rig: Rig) -> None:
    client, back = rig.client(), rig.client(rig.back)
    want = client.pseudonymise(DATA["id"])
    df = pl.DataFrame(DATA)
    done = client.frame(df, ["id"])
    assert done["id"].to_list() == want and done.columns == df.columns
    assert back.frame(done, ["id"]).equals(df)
    table = pa.table(DATA).replace_schema_metadata({"origin": "here"})
    replaced = client.frame(table, ["id"])
    assert replaced["id"].to_pylist() == want and replaced.schema.metadata == {b"origin": b"here"}
    assert back.frame(replaced, ["id"]).equals(table)
    for x in [df, table]:
        with pytest.raises(velonym.UnknownColumn, match="'n'"):
            client.frame(x, ["ID"])
    with pytest.raises(velonym.UnsupportedType, match="no frame"):
        client.frame([1], ["x"])
    numbers = client.frame(df, ["n"], numbers="text")
    assert numbers["n"].to_list() == client.pseudonymise(["1", "2", "3", "4"])


def test_lazy(rig: Rig) -> None:
    client = rig.client()
    df = pl.DataFrame(DATA)
    lazy = client.frame(df.lazy(), ["id"])
    assert isinstance(lazy, pl.LazyFrame)
    first = client.pseudonymise(["a"])[0]
    assert lazy.collect().equals(client.frame(df, ["id"]))
    assert lazy.filter(pl.col("id") == first).select("n").collect()["n"].to_list() == [1, 4]
    assert lazy.select("n").head(2).collect()["n"].to_list() == [1, 2]
    numbers = client.frame(df.lazy(), ["n"], numbers="text").collect()
    assert numbers["n"].dtype == pl.String
    with pytest.raises(velonym.UnsupportedType, match="'n'"):
        client.frame(df.lazy(), ["n"])


def test_duckdb(rig: Rig) -> None:
    client = rig.client()
    con = duckdb.connect()
    con.execute("CREATE TABLE register AS SELECT * FROM (VALUES ('a', 1), (NULL, 2), ('', 3), ('a', 4)) t(id, n)")
    done = client.frame(con.table("register"), ["id"])
    a = client.pseudonymise(["a"])[0]
    assert done.fetchall() == [(a, 1), (None, 2), ("", 3), (a, 4)]
    assert done.join(con.table("register").set_alias("r"), "n").aggregate("count(*)").fetchall() == [(4,)]
    velonym.duckdb_function(con, "pseudonymise", client)
    velonym.duckdb_function(con, "back", rig.client(rig.back))
    rows = con.execute("SELECT pseudonymise(id), back(pseudonymise(id)), n FROM register ORDER BY n").fetchall()
    assert rows == [(a, "a", 1), (None, None, 2), ("", "", 3), (a, "a", 4)]
    assert con.execute("SELECT count(DISTINCT pseudonymise(i::VARCHAR)) FROM range(5000) t(i)").fetchall() == [(5000,)]
    with pytest.raises(duckdb.Error) as e:
        con.execute("SELECT pseudonymise('CANARY' || chr(1))")
    assert "VALUE_NOT_TEXT" in str(e.value) and "CANARY" not in str(e.value)
    velonym.duckdb_function(con, "other", rig.client(rig.token("different", "pseudonymise")))
    assert con.execute("SELECT count(DISTINCT other('x')) FROM range(10)").fetchall() == [(10,)]


def test_nothing_is_half_assigned(liar: Liar) -> None:
    """The second column fails: the caller's frame is what it was, and no frame comes back."""

    def second_fails(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        if "x" in data:
            send(request, 502, b"<html>Bad gateway")
        else:
            reversed_values(request, data, n)

    liar.answer = second_fails
    client = velonym.Client(liar.url, "opaque", attempts=1)
    for df in [pd.DataFrame(DATA), pl.DataFrame(DATA), pa.table(DATA)]:
        before = df.copy() if isinstance(df, pd.DataFrame) else df.slice(0)
        liar.asked.clear()
        with pytest.raises(velonym.UnexpectedStatus):
            client.frame(df, ["id", "doctor"])
        assert len(liar.asked) == 2 and df.equals(before)


def test_progress(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.client(batch_values=2).frame(pd.DataFrame(DATA), ["id", "doctor"], progress=True)
    assert "values" in capsys.readouterr().err
    rig.client().pseudonymise(np.array(["a"]))
    assert capsys.readouterr().err == ""
