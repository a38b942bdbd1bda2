"""Measures the clients on this machine against what people do without them, a Series.map with hmac.

    VELONYM_BINARY=./velonym python bench/bench.py             # 5 million rows, some minutes
    VELONYM_BINARY=./velonym python bench/bench.py --quick     # whether it works

Every round runs each case once, so that all of them meet the same machine. Printed are medians, in
values a second from frame to frame, and how many times the hmac loop of the same round that is.
"""

from __future__ import annotations

import argparse
import hmac
import os
import pathlib
import random
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pandas as pd
import polars as pl

import velonym

KEY = bytes(range(32))
Case = Callable[[], Any]


@contextmanager
def rig(binary: str) -> Iterator[tuple[str, str, str]]:
    """Give the folder of a keystore, a token, and the address of a server."""
    with tempfile.TemporaryDirectory() as folder:
        home = str(pathlib.Path(folder) / "home")
        env = {**os.environ, "VELONYM_DIR": home}

        def run(*args: str) -> str:
            return subprocess.run([binary, *args], env=env, capture_output=True, text=True, check=True).stdout.strip()

        run("init")
        run("project", "create", "bench", "--retention", "1y")
        token = run("token", "create", "--project", "bench", "--op", "pseudonymise")
        server = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0"], env=env, stderr=subprocess.PIPE, text=True
        )
        try:
            assert server.stderr
            url = next(m[1] for line in server.stderr if (m := re.search(r'"url":"([^"]+)"', line)))
            threading.Thread(target=server.stderr.read, daemon=True).start()
            yield home, token, url
        finally:
            server.terminate()
            server.wait(30)


def identifiers(n: int) -> list[str]:
    """Return n numbers of 13 digits, nearly all of them different."""
    r = random.Random(1)
    return [str(r.randrange(10**12, 10**13)) for _ in range(n)]


def hmac_map(s: Any) -> Any:
    return s.map(lambda v: hmac.digest(KEY, v.encode(), "sha256").hex())


def cases(ids: list[str], binary: str, home: str, token: str, url: str) -> dict[str, Case]:
    local = velonym.Local(token, command=binary, env={"VELONYM_DIR": home})
    client = velonym.Client(url, token)
    text = pd.DataFrame({"id": pd.Series(ids, dtype="str"), "n": range(len(ids))})
    objects = pd.DataFrame({"id": pd.Series(ids, dtype=object), "n": range(len(ids))})
    table = pl.DataFrame({"id": ids, "n": range(len(ids))})
    arrow = table.to_arrow()
    con = duckdb.connect()
    con.register("given", arrow)
    con.execute("CREATE TABLE register AS SELECT id::VARCHAR AS id, n FROM given")
    velonym.duckdb_function(con, "pseudonymise", local)

    def function() -> int:
        con.execute("CREATE OR REPLACE TABLE done AS SELECT pseudonymise(id) AS id, n FROM register")
        return con.execute("SELECT count(id) FROM done").fetchall()[0][0]

    return {
        "pandas, Local": lambda: local.frame(text, ["id"]),
        "pandas of objects, Local": lambda: local.frame(objects, ["id"]),
        "list, Local": lambda: local.pseudonymise(ids),
        "polars, Local": lambda: local.frame(table, ["id"]),
        "pyarrow, Local": lambda: local.frame(arrow, ["id"]),
        "DuckDB relation, Local": lambda: local.frame(con.table("register"), ["id"]).to_arrow_table(),
        "DuckDB function, Local": function,
        "pandas, Client": lambda: client.frame(text, ["id"]),
        "pandas of objects, Client": lambda: client.frame(objects, ["id"]),
        "list, Client": lambda: client.pseudonymise(ids),
        "polars, Client": lambda: client.frame(table, ["id"]),
    }


def timed(work: Case) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    parser.add_argument("--r", metavar="RSCRIPT", help="the command Rscript: measures the R package too, over HTTP")
    parser.add_argument("--quick", action="store_true", help="few rows, one round")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.rounds = 20_000, 1
    binary = os.environ.get("VELONYM_BINARY", "velonym")
    ids = identifiers(args.rows)
    looped = pd.Series(ids[: max(1, args.rows // 10)], dtype="str")  # its rate does not depend on their number
    with rig(binary) as (home, token, url):
        all_cases = {n: c for n, c in cases(ids, binary, home, token, url).items() if args.only in n}
        rates: dict[str, list[float]] = {n: [] for n in all_cases}
        ratios: dict[str, list[float]] = {n: [] for n in all_cases}
        loops = []
        for _ in range(args.rounds):
            loop = len(looped) / timed(lambda: hmac_map(looped))
            loops.append(loop)
            for name, work in all_cases.items():
                rate = len(ids) / timed(work)
                rates[name].append(rate)
                ratios[name].append(rate / loop)
        print(f"{args.rows} rows, medians of {args.rounds} rounds")
        print(f"{'Series.map with hmac':28} {statistics.median(loops) / 1e6:7.2f} M/s")
        for name in all_cases:
            rate, ratio = statistics.median(rates[name]), statistics.median(ratios[name])
            print(f"{name:28} {rate / 1e6:7.2f} M/s {ratio:7.1f} x hmac")
        if args.r:
            script = pathlib.Path(__file__).resolve().parents[2] / "r" / "bench" / "bench.R"
            rows = min(args.rows, 1_000_000)
            env = {**os.environ, "VELONYM_TOKEN": token}
            subprocess.run([args.r, "--vanilla", script, url, str(rows), str(args.rounds)], env=env, check=True)


if __name__ == "__main__":
    main()
