"""Texts in an array of pyarrow: bodies are made of its buffers and read into such, and no text
becomes an object of Python."""

from __future__ import annotations

from typing import Any

from ._texts import LONG, SPECIAL, STARTS, read_lines


class ArrowTexts:
    """An array of large_string without nulls."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def part(self, start: int, end: int) -> ArrowTexts:
        return ArrowTexts(self.array.slice(start, end - start))

    def to_list(self) -> list[str]:
        texts: list[str] = self.array.to_pylist()
        return texts

    def lines(self) -> bytes | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        n = len(self.array)
        if n == 0 or pc.min(pc.binary_length(self.array)).as_py() == 0:
            return None
        one = pa.LargeListArray.from_arrays(pa.array([0, n], pa.int64()), self.array)
        end = pa.scalar("\n", pa.large_string())
        # A second, empty list item would be another line; the last line end is put behind it.
        body: bytes = pc.binary_join(one, end)[0].as_buffer().to_pybytes()
        if body.startswith(tuple(s.encode() for s in STARTS)) or body.count(b"\n") != n - 1:
            return None
        if any(c.encode() in body for c in SPECIAL):
            return None
        return body + b"\n"

    def of_lines(self, body: bytes) -> Any:
        import pyarrow as pa

        made = None if any(c in body for c in (b'"', b"\r", b",")) else split_lines(body)
        return pa.array(read_lines(body), pa.large_string()) if made is None else made

    def of_list(self, results: list[str | None]) -> Any:
        import pyarrow as pa

        return pa.array(results, pa.large_string())

    def joined(self, parts: list[Any]) -> Any:
        import pyarrow as pa

        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def unchanged(self, results: Any) -> bool:
        import pyarrow.compute as pc

        return bool(results.equals(self.array)) and (pc.sum(pc.binary_length(self.array)).as_py() or 0) >= LONG

    def emptied(self, results: Any) -> bool:
        import pyarrow.compute as pc

        empty = pc.equal(results, "")
        if not pc.any(empty).as_py():
            return False
        return any(v.strip() for v in self.array.filter(empty).to_pylist())


def split_lines(body: bytes) -> Any:
    """Return the lines of body as an array, or None where NumPy is not there to find them."""
    import pyarrow as pa

    try:
        import numpy as np
    except ImportError:
        return None
    if body and not body.endswith(b"\n"):
        body += b"\n"
    octets = np.frombuffer(body, dtype=np.uint8)
    ends = np.flatnonzero(octets == ord("\n"))
    n = len(ends)
    if n == 0:
        return pa.array([], pa.large_string())
    wide = int(ends[0]) + 1
    if len(octets) == wide * n and int(ends[-1]) == len(octets) - 1 and (np.diff(ends) == wide).all():
        text = octets.reshape(n, wide)[:, :-1].tobytes()
        offsets = np.arange(n + 1, dtype=np.int64) * (wide - 1)
    else:
        text = octets[octets != ord("\n")].tobytes()
        offsets = np.zeros(n + 1, dtype=np.int64)
        offsets[1:] = ends - np.arange(n)
    made = pa.LargeStringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(text))
    try:
        made.validate(full=True)
    except pa.ArrowInvalid:
        made = None  # its error would hold what was read
    if made is None:
        raise ValueError("the lines are not UTF-8")
    return made
