"""Texts on their way to whoever transforms them, and how bodies are made of them and read.

Where no text needs a quote, one a line is the quickest way in and out: CSV of one column, which the
list mode of a server and the command take. JSON takes all the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

SPECIAL = '",\r\0'
"""Characters that need quotes in CSV, and NUL, which readers take as a sign of UTF-16."""

STARTS = ("\ufeff", "sep=")
"""Texts that a CSV reader does not treat as a value at the start of a file."""

FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))\r?\n')


class Texts(Protocol):
    """Values without missing ones. What its methods call results is of the implementation's
    own kind: a list, or an array of pyarrow."""

    def __len__(self) -> int: ...

    def part(self, start: int, end: int) -> Texts: ...

    def to_list(self) -> list[str]: ...

    def lines(self) -> bytes | None:
        """Return one value per line, or None if a value cannot be written as a line."""
        ...

    def of_lines(self, body: bytes) -> Any:
        """Return the results in body, of which no value is a missing one. It raises
        ValueError, without the cause, if these are no lines of CSV of one column in UTF-8."""
        ...

    def of_list(self, results: list[str | None]) -> Any: ...

    def joined(self, parts: list[Any]) -> Any:
        """Return the results of all parts as one."""
        ...

    def unchanged(self, results: Any) -> bool:
        """Whether the results equal the values, and are too long for that to be chance."""
        ...

    def emptied(self, results: Any) -> bool:
        """Whether a result is empty although its value is not only white space."""
        ...


LONG = 24
"""Characters of all values together, from which on results that are the values are no chance:
short values of a small alphabet may be their own pseudonyms."""


class ListTexts:
    """Texts in a list."""

    def __init__(self, values: Sequence[str]) -> None:
        self.values = values if isinstance(values, list) else list(values)

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, end: int) -> ListTexts:
        return ListTexts(self.values[start:end])

    def to_list(self) -> list[str]:
        return self.values

    def lines(self) -> bytes | None:
        if not all(self.values):
            return None
        text = "\n".join(self.values)
        if text.startswith(STARTS) or text.count("\n") != len(self.values) - 1 or any(c in text for c in SPECIAL):
            return None
        try:
            return (text + "\n").encode()
        except UnicodeEncodeError:
            return None

    def of_lines(self, body: bytes) -> list[str | None]:
        return read_lines(body)

    def of_list(self, results: list[str | None]) -> list[str | None]:
        return results

    def joined(self, parts: list[list[str | None]]) -> list[str | None]:
        return parts[0] if len(parts) == 1 else [r for part in parts for r in part]

    def unchanged(self, results: list[str | None]) -> bool:
        return results == self.values and sum(map(len, self.values)) >= LONG

    def emptied(self, results: list[str | None]) -> bool:
        return "" in results and any(r == "" and v.strip() for v, r in zip(self.values, results, strict=True))


def read_lines(body: bytes) -> list[str | None]:
    """Return the fields of a CSV with one column, whose last line may lack its end."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise ValueError("the lines are not UTF-8")
    if not text:
        return []
    if not text.endswith("\n"):
        text += "\n"
    if not any(c in text for c in '",\r'):
        lines: list[str | None] = text.split("\n")  # type: ignore[assignment]
        lines.pop()
        return lines
    at = 0
    fields: list[str | None] = []
    while at < len(text):
        field = FIELD.match(text, at)
        if field is None:
            raise ValueError("a quote is out of place, or a line has more than one field")
        quoted = field[1]
        fields.append(field[2] if quoted is None else quoted.replace('""', '"'))
        at = field.end()
    return fields


def json_array(values: Sequence[str]) -> str:
    return json.dumps(values if isinstance(values, list) else list(values), ensure_ascii=False, separators=(",", ":"))
