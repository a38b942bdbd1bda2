"""The transport to the command on this machine: `velonym run` as a child process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from ._arrow_texts import ArrowTexts
from ._claims import Claims, Operation, read_claims
from ._columns import has_pyarrow
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
from ._kept import FLAGS as KEPT
from ._kept import Ended, Keeper
from ._texts import ListTexts, Texts
from ._transport import Advance

# --again: a server takes values that are pseudonyms too.
FLAGS = ("--on-error", "null", "--json", "--again")
LINES = ("--format", "csv", "--no-header", "--column", "1")
NDJSON = ("--format", "ndjson", "--column", "v")

PART = 1 << 18
"""Number of values that are converted to text at a time."""

BLOCK = 4 << 20
"""Number of bytes of results that are converted to values at a time."""


class CommandTransport:
    """Gives values to `velonym run`. Where pyarrow is there and the command takes Arrow, a process is
    kept for many calls; else each has one, and gets lines of CSV, or NDJSON where lines cannot carry
    one of the values. The token goes there in its environment, never in an argument, and values in
    pipes, never in a file."""

    def __init__(self, token: str, command: str, options: Sequence[str], env: Mapping[str, str] | None) -> None:
        self._token = checked_token(token)
        self.claims: Claims = read_claims(self._token)
        self.command = command
        self.options = list(options)
        self._env = env
        self._keeper = Keeper(lambda: self._start(KEPT, -1))
        self._keeps = has_pyarrow()

    def with_token(self, token: str) -> CommandTransport:
        return CommandTransport(token, self.command, self.options, self._env)

    def close(self) -> None:
        self._keeper.close()

    def transform(self, operation: Operation, values: Sequence[str], advance: Advance) -> list[str | None]:
        if self._may_keep(operation) and 0 < len(values) <= PART:
            import pyarrow as pa

            with contextlib.suppress(UnicodeEncodeError, pa.ArrowException):
                array = pa.array(values, pa.large_string())
                if (kept := self._kept(array)) is not None:
                    advance(len(values))
                    texts: list[str | None] = kept.to_pylist()
                    return texts
        done: list[str | None] = self._transform(operation, ListTexts(values), advance)
        return done

    def takes_arrays(self, operation: Operation) -> bool:
        return not self.claims.budget and not self.claims.item

    def transform_array(self, operation: Operation, values: Any, advance: Advance) -> Any:
        if self._may_keep(operation) and len(values) and (kept := self._kept(values)) is not None:
            advance(len(values))
            return kept
        return self._transform(operation, ArrowTexts(values), advance)

    def _may_keep(self, operation: Operation) -> bool:
        # A document is a run of its own, and so is what a budget is spent on: a value without a
        # result would go once more.
        return (
            self._keeps
            and self.claims.operation in (None, operation)
            and self.takes_arrays(operation)
            and not self.claims.counts_occurrences(operation)
        )

    def _kept(self, array: Any) -> Any:
        """Return the results that a process that is kept has for an array, or None where another
        must say why it has none."""
        try:
            results = self._keeper.transform(array)
        except Ended as e:
            ended = e
        else:
            if len(results) != len(array):
                raise InvalidAnswer(f"{len(results)} results came back for {len(array)} values")
            return None if results.null_count else results
        answer = Answer(ended.status, ended.stderr, None)
        if not ended.begun and not refused_code(answer.stderr):
            self._keeps = False  # a command without Arrow; if something else is wrong, the next one says so
            return None
        self._check(answer, len(array))
        raise CommandFailed("the command ended before it had answered")

    def _transform(self, operation: Operation, values: Texts, advance: Advance) -> Any:
        if self.claims.operation not in (None, operation):
            raise BY_CODE["FORBIDDEN_OPERATION"](f"the token is not for {operation}")
        n = len(values)
        if not n:
            return values.of_list([])
        # A field of CSV that is empty says not whether its value was: then, and only then, the
        # values go once more, which would spend a budget twice.
        lines = None if self.claims.budget else in_lines(values)
        if lines is not None:
            answer = self._run(LINES, lines, values)
            self._check(answer, n)
            if not answer.summary.get("errors"):
                if len(answer.results) != n:
                    raise InvalidAnswer(f"{len(answer.results)} results came back for {n} values")
                advance(n)
                return answer.results
        texts = values.to_list()
        foreign = [BadValue(i, "VALUE_NOT_TEXT") for i, v in enumerate(texts) if not is_unicode(v)]
        if foreign:
            raise unprocessable(foreign)
        answer = self._run(NDJSON, [as_lines(texts)], None)
        self._check(answer, n)
        results = self._named(parse_lines(answer.results), answer.bad(n), answer.summary.get("errors", 0))
        if len(results) != n:
            raise InvalidAnswer(f"{len(results)} results came back for {n} values")
        advance(n)
        return values.of_list(results)

    def _run(self, flags: Sequence[str], given: Sequence[bytes], into: Texts | None) -> Answer:
        """Give bodies to a process. Its output is the results: bytes, or values as those of into are."""
        return conversed(self._start(flags, 0), given, into)

    def _start(self, flags: Sequence[str], buffering: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self.command, "run", *flags, *FLAGS, *self.options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=buffering,
                pipesize=1 << 20,
                env={**os.environ, **(self._env or {}), "VELONYM_TOKEN": self._token},
            )
        except OSError as e:
            reason = e.strerror or type(e).__name__
        raise CommandFailed(f"the command velonym cannot be started: {reason}: Local(token, command=PATH) names it")

    def _check(self, answer: Answer, n: int) -> None:
        """Raise the error of a process that failed."""
        if answer.status == 0:
            return
        bad = answer.bad(n)
        if bad:
            raise unprocessable([BadValue(i, code) for i, code in bad.items()], answer.summary.get("errors", 0))
        outcome = answer.summary.get("outcome") or refused_code(answer.stderr)
        if outcome in BY_CODE:
            raise BY_CODE[outcome](f"the command refused: {outcome}")
        raise CommandFailed(
            f"the command ended with status {answer.status}: the same run in a terminal, velonym run "
            "--token-file TOKEN --column v, says why"
        )

    def _named(self, results: list[str | None], bad: Mapping[int, str], count: int) -> list[str | None]:
        """Return results, of which those that are missing are an error, or a warning."""
        missing = [i for i, r in enumerate(results) if r is None]
        if count or missing:
            named = [BadValue(i, bad.get(i, "NOT_A_PSEUDONYM")) for i in missing]
            if not self.claims.item:
                raise unprocessable(named, count)
            listed = ", ".join(f"{b.code} at {b.index}" for b in named[:5])
            warnings.warn(ValuesRefused(f"{len(named)} values have no result: {listed}"), stacklevel=2)
        return results


@dataclass
class Answer:
    """The output and status of a process."""

    status: int
    stderr: bytes
    results: Any
    summary: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.summary = summary_of(self.stderr)

    def bad(self, n: int) -> dict[int, str]:
        """Return the codes that the summary names, by the position of their value."""
        bad = {}
        for f in self.summary.get("failures", []):
            code = f.get("code")
            if isinstance(f.get("line"), int) and 1 <= f["line"] <= n:
                bad[f["line"] - 1] = code if code in VALUE_CODES else "NOT_A_PSEUDONYM"
        return bad


def in_lines(values: Texts) -> list[bytes] | None:
    bodies = []
    for at in range(0, len(values), PART):
        body = values.part(at, min(at + PART, len(values))).lines()
        if body is None:
            return None
        bodies.append(body)
    return bodies


def conversed(child: subprocess.Popen[bytes], given: Sequence[bytes], into: Texts | None) -> Answer:
    """Write the input, read the results concurrently, and wait for the end of the process."""
    assert child.stdin and child.stdout and child.stderr
    said: list[bytes] = []
    threads = [
        threading.Thread(target=write_all, args=(child.stdin, given), daemon=True),
        threading.Thread(target=lambda stream: said.append(stream.read()), args=(child.stderr,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    results, wrong, read = None, "", False
    try:
        results = read_blocks(child.stdout, into) if into is not None else b"".join(pieces(child.stdout))
        read = True
    except ValueError as e:
        wrong = str(e)
    finally:
        if not read:
            child.kill()
        for thread in threads:
            thread.join()
        status = child.wait()
        child.stdout.close()
        child.stderr.close()
    answer = Answer(status, said[0] if said else b"", results)
    if wrong:
        raise InvalidAnswer(f"the command wrote something else than results: {wrong}")
    return answer


def write_all(stream: IO[bytes], bodies: Sequence[bytes]) -> None:
    # A process that ends early says so itself.
    with contextlib.suppress(BrokenPipeError), stream:
        for body in bodies:
            view = memoryview(body)
            while view:
                view = view[stream.write(view) :]


def pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(1 << 20):
        yield piece


def read_blocks(stream: IO[bytes], into: Texts) -> Any:
    """Return the results in lines of CSV, which are read into values while others are still to come."""
    parts, rest, size, quoted = [], [], 0, False
    for piece in pieces(stream):
        rest.append(piece)
        size += len(piece)
        if size < BLOCK or quoted:
            continue
        block = b"".join(rest)
        quoted = b'"' in block  # a line end may be within the quotes
        if quoted:
            rest = [block]
            continue
        end = block.rfind(b"\n") + 1
        parts.append(into.of_lines(block[:end]))
        rest, size = [block[end:]], len(block) - end
    parts.append(into.of_lines(b"".join(rest)))
    return into.joined(parts)


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
    """Return the code of the contract at the start of an error, or ''."""
    for line in stderr.decode(errors="replace").splitlines():
        code = line.removeprefix("velonym: ").partition(":")[0]
        if code in BY_CODE:
            return code
    return ""


def as_lines(values: list[str]) -> bytes:
    """Return a line {"v":…} for each of at least one value, in one call of the encoder."""
    array = json.dumps(values, ensure_ascii=False, separators=(BETWEEN, ":"))
    return ('{"v":' + array[1:-1] + "}\n").encode()


BETWEEN = '}\n{"v":'
"""The text between two values. A JSON string contains no line end."""


def parse_lines(out: bytes) -> list[str | None]:
    results: object = None
    if out.startswith(b'{"v":') and out.endswith(b"}\n"):
        with contextlib.suppress(ValueError):
            results = json.loads(b"[" + out[5:-2].replace(BETWEEN.encode(), b",") + b"]")
    if isinstance(results, list) and set(map(type, results)) <= {str, type(None)}:
        return results
    raise InvalidAnswer("the command wrote something else than results")
