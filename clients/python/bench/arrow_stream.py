"""Measures `velonym run` on an Arrow stream, file to file, against pyarrow and a loop of hmac.

    VELONYM_BINARY=./velonym python bench/arrow_stream.py            # 5 million rows
    VELONYM_BINARY=./velonym python bench/arrow_stream.py --quick    # whether it works

One of ten columns is replaced, nearly all of its values different. Rounds alternate; printed are
medians in rows a second, the start of the command with them, and their ratio.
"""

from __future__ import annotations

import argparse
import hmac
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

import pyarrow as pa

KEY = bytes(range(32))


def write(path: pathlib.Path, rows: int) -> None:
    """A register as frames hold one: categories as dictionaries, days as numbers."""
    r = random.Random(1)
    part = 1 << 16
    writer = None
    for begin in range(0, rows, part):
        n = min(part, rows - begin)
        numbers = pa.array(range(n), pa.int32())

        def category(values: list[str], numbers: pa.Array = numbers, n: int = n) -> pa.Array:
            index = pa.array([i % len(values) for i in range(n)], pa.int8())
            return pa.DictionaryArray.from_arrays(index, pa.array(values))

        batch = pa.record_batch(
            {
                "id": [str(r.randrange(10**12, 10**13)) for _ in range(n)],
                "row": numbers,
                "born": numbers.cast(pa.date32()),
                "sex": category(["f", "m", "x"]),
                "town": category(["Esch", "Wiltz", "Diekirch", "Clervaux"]),
                "code": [f"E{i % 100:02}" for i in range(n)],
                "seen": numbers.cast(pa.date32()),
                "amount": numbers.cast(pa.float64()),
                "status": category(["open", "paid"]),
                "repeated": numbers.cast(pa.bool_()),
            }
        )
        writer = writer or pa.ipc.new_stream(str(path), batch.schema)
        writer.write_batch(batch)
    assert writer
    writer.close()


def loop(source: pathlib.Path, to: pathlib.Path) -> None:
    """What people do without the command."""
    with pa.ipc.open_stream(pa.memory_map(str(source))) as r, pa.ipc.new_stream(str(to), r.schema) as w:
        for batch in r:
            ids = [hmac.new(KEY, v.encode(), "sha256").hexdigest() for v in batch.column(0).to_pylist()]
            w.write_batch(batch.set_column(0, r.schema.field(0), pa.array(ids)))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few rows, one round")
    args = parser.parse_args()
    if args.quick:
        args.rows, args.rounds = 100_000, 1
    binary = os.environ.get("VELONYM_BINARY", "velonym")
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        d = pathlib.Path(folder)
        env = {**os.environ, "VELONYM_DIR": str(d / "home")}
        for setup in (["init"], ["project", "create", "bench", "--retention", "1y"]):
            subprocess.run([binary, *setup], env=env, check=True, capture_output=True)
        write(d / "in.arrows", args.rows)
        command = [binary, "run", "--quiet", "--force", "--project", "bench", "--column", "id"]
        command += ["-o", str(d / "out.arrows"), str(d / "in.arrows")]
        times: dict[str, list[float]] = {"velonym run": [], "pyarrow and hmac": []}
        for _ in range(args.rounds):
            times["velonym run"].append(timed(lambda: subprocess.run(command, env=env, check=True)))
            times["pyarrow and hmac"].append(timed(lambda: loop(d / "in.arrows", d / "loop.arrows")))
        with pa.ipc.open_stream(str(d / "out.arrows")) as r:
            assert sum(b.num_rows for b in r) == args.rows
        ratios = [a / b for a, b in zip(times["pyarrow and hmac"], times["velonym run"], strict=True)]
        for name, seconds in times.items():
            print(f"{name:20} {args.rows / statistics.median(seconds) / 1e6:8.2f} M rows/s")
        print(f"{'ratio':20} {statistics.median(ratios):8.1f}")


if __name__ == "__main__":
    main()
