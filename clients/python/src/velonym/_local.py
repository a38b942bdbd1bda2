"""The way to the command on this machine: `velonym run` as a child process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ._claims import Claims, Operation, read_claims
from ._errors import (
    BY_CODE,
    VALUE_CODES,
    BadValue,
    CommandFailed,
    InvalidAnswer,
    ValuesRefused,
    unprocessable,
)
from ._exchange import is_unicode
from ._http import checked_token
from ._transport import Advance

# --again: a server takes values that are pseudonyms too.
FLAGS = ("--column", "v", "--format", "ndjson", "--on-error", "null", "--json", "--again")


class CommandTransport:
    """Gives values to `velonym run` as NDJSON, one call a process. The token goes there in its
    environment, never in an argument, and values in pipes, never in a file."""

    def __init__(self, token: str, command: str, options: Sequence[str], env: Mapping[str, str] | None) -> None:
        self._token = checked_token(token)
        self.claims: Claims = read_claims(self._token)
        self.command = command
        self.options = list(options)
        self._env = env

    def with_token(self, token: str) -> CommandTransport:
        return CommandTransport(token, self.command, self.options, self._env)

    def close(self) -> None:
        pass

    def transform(self, operation: Operation, values: Sequence[str], advance: Advance) -> list[str | None]:
        if self.claims.operation not in (None, operation):
            raise BY_CODE["FORBIDDEN_OPERATION"](f"the token is not for {operation}")
        if not values:
            return []
        foreign = [BadValue(i, "VALUE_NOT_TEXT") for i, v in enumerate(values) if not is_unicode(v)]
        if foreign:
            raise unprocessable(foreign)
        try:
            run = subprocess.run(
                [self.command, "run", *FLAGS, *self.options],
                input=as_lines(values),
                capture_output=True,
                env={**os.environ, **(self._env or {}), "VELONYM_TOKEN": self._token},
                check=False,
            )
        except OSError as e:
            reason = e.strerror or type(e).__name__
        else:
            done = self._results(run, len(values))
            advance(len(values))
            return done
        raise CommandFailed(f"the command velonym cannot be started: {reason}: Local(token, command=PATH) names it")

    def _results(self, run: subprocess.CompletedProcess[bytes], n: int) -> list[str | None]:
        summary = summary_of(run.stderr)
        bad = {}
        for f in summary.get("failures", []):
            code = f.get("code")
            if isinstance(f.get("line"), int) and 1 <= f["line"] <= n:
                bad[f["line"] - 1] = code if code in VALUE_CODES else "NOT_A_PSEUDONYM"
        count = summary.get("errors", 0)
        if run.returncode != 0 and not bad:
            outcome = summary.get("outcome") or refused_code(run.stderr)
            if outcome in BY_CODE:
                raise BY_CODE[outcome](f"the command refused: {outcome}")
            raise CommandFailed(
                f"the command ended with status {run.returncode}: the same run in a terminal, velonym run "
                "--token-file TOKEN --column v, says why"
            )
        results: list[str | None] = parse_lines(run.stdout) if run.returncode == 0 else [None] * n
        if len(results) != n:
            raise InvalidAnswer(f"{len(results)} results came back for {n} values")
        missing = [i for i, r in enumerate(results) if r is None]
        if count or missing:
            named = [BadValue(i, bad.get(i, "NOT_A_PSEUDONYM")) for i in missing]
            if not self.claims.item or run.returncode != 0:
                raise unprocessable(named, count)
            listed = ", ".join(f"{b.code} at {b.index}" for b in named[:5])
            warnings.warn(ValuesRefused(f"{len(named)} values have no result: {listed}"), stacklevel=2)
        return results


def summary_of(stderr: bytes) -> dict[str, Any]:
    """Return the summary among the lines of standard error."""
    for line in stderr.splitlines():
        if line.startswith(b"{"):
            try:
                summary = json.loads(line)
            except ValueError:
                continue
            if isinstance(summary, dict):
                return summary
    return {}


def refused_code(stderr: bytes) -> str:
    """Return the code of the contract that an error begins with, or ''."""
    for line in stderr.decode(errors="replace").splitlines():
        code = line.removeprefix("velonym: ").partition(":")[0]
        if code in BY_CODE:
            return code
    return ""


def as_lines(values: Sequence[str]) -> bytes:
    """Return a line {"v":…} for each of at least one value, in one call of the encoder."""
    array = json.dumps(list(values), ensure_ascii=False, separators=(BETWEEN, ":"))
    return ('{"v":' + array[1:-1] + "}\n").encode()


BETWEEN = '}\n{"v":'
"""What stands between two values; within a JSON string no line ends."""


def parse_lines(out: bytes) -> list[str | None]:
    results: object = None
    if out.startswith(b'{"v":') and out.endswith(b"}\n"):
        with contextlib.suppress(ValueError):
            results = json.loads(b"[" + out[5:-2].replace(BETWEEN.encode(), b",") + b"]")
    if isinstance(results, list) and set(map(type, results)) <= {str, type(None)}:
        return results
    raise InvalidAnswer("the command wrote something else than results")
