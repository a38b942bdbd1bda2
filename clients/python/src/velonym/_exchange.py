"""The contract's requests and answers, without a connection.

An exchange is a generator. It yields what to do (Post, Pause) and is sent what came of it
(Reply, Failure, None), so that the synchronous and the asynchronous transport share it.
"""

from __future__ import annotations

import email.utils
import json
import random
import secrets
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._claims import Claims, Operation
from ._errors import (
    BY_CODE,
    VALUE_CODES,
    BadValue,
    ConnectionFailed,
    InvalidAnswer,
    ProblemError,
    TooLarge,
    UnexpectedStatus,
    UnprocessableValues,
    ValuesRefused,
    unprocessable,
)
from ._texts import Texts, json_array

LONGEST_PAUSE = 120.0
"""The longest pause in seconds, whatever a server asks for."""


JSON = "application/json"
CSV = "text/csv"


@dataclass
class Post:
    """Send body as a request with this id, and read at most `most` bytes of the answer."""

    body: bytes
    content_type: str
    request_id: str
    most: int

    @property
    def accept(self) -> str:
        return JSON if self.content_type == JSON else f"{self.content_type}, {JSON};q=0.5"


@dataclass
class Pause:
    seconds: float


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Failure:
    """There is no answer, or an incomplete one."""

    reason: str
    sent: bool
    """The request was sent at least in part, so the server may have processed it."""
    permanent: bool = False


Action = Post | Pause
Outcome = Reply | Failure | None
Exchange = Generator[Action, Outcome, Any]
"""The generator returns the results, in the same kind of object as the texts."""


@dataclass
class Batching:
    """The sizes of requests, and the number of attempts."""

    values: int = 50_000
    bytes: int = 8 << 20
    attempts: int = 10
    pause: float = 0.25
    """Seconds before the second attempt; doubled before each further one, up to 30."""
    repeat_spends: bool = False
    """Repeat a request that the server may have processed, although its token has a budget."""


@dataclass
class Conversation:
    """The exchanges of one token. It remembers the largest number of values of a request."""

    claims: Claims
    batching: Batching
    most: int = field(init=False)
    lines: bool = field(init=False)
    """Values are sent as lines of CSV where possible, which costs both sides less than JSON."""

    def __post_init__(self) -> None:
        self.most = min(self.batching.values, self.claims.values_per_request or self.batching.values)
        # CSV has no place for the codes of values that have no result.
        self.lines = not self.claims.item

    def cut(self, operation: Operation, n: int) -> list[tuple[int, int]]:
        """Return the ranges of n values, one for each request."""
        if self.claims.counts_occurrences(operation):
            limit = self.claims.values_per_request
            if limit is not None and n > limit:
                raise self._divided(n)
            return [(0, n)] if n else []
        return [(i, min(i + self.most, n)) for i in range(0, n, self.most)]

    @staticmethod
    def _divided(n: int) -> TooLarge:
        return TooLarge(
            f"{n} values are one document (policy document) and too many for one request: "
            "give each document a call of its own, or use the command, which takes a file"
        )

    def exchange(self, operation: Operation, values: Texts, offset: int) -> Exchange:
        """Transform values; offset is their position in the caller's object."""
        body, content_type = self._encode(values, offset)
        whole = self.claims.counts_occurrences(operation)
        if len(body) > self.batching.bytes and len(values) > 1 and not whole:
            return (yield from self._halves(operation, values, offset))
        attempt = 0
        error: ProblemError | ConnectionFailed
        while True:
            attempt += 1
            request_id = secrets.token_hex(16)
            outcome = yield Post(body, content_type, request_id, len(body) * 8 + (4 << 20))
            if isinstance(outcome, Reply):
                if outcome.status == 200:
                    return results(outcome, values, offset)
                if outcome.status == 415 and content_type != JSON:
                    self.lines = False
                    return (yield from self.exchange(operation, values, offset))
                error, wait = refusal(outcome, offset, len(values), request_id)
                if isinstance(error, TooLarge) or outcome.status == 413:
                    if len(values) == 1:
                        raise error
                    if whole:
                        raise self._divided(len(values))
                    self.most = max(1, min(self.most, len(values) // 2))
                    return (yield from self._halves(operation, values, offset))
                again = self._may_repeat(outcome, error)
            else:
                assert isinstance(outcome, Failure)
                error, wait = ConnectionFailed(outcome.reason), None
                again = not outcome.permanent and (not outcome.sent or self._spends_nothing())
                if outcome.sent and not outcome.permanent and not again:
                    error = ConnectionFailed(outcome.reason + self._unrepeated())
            if not again:
                raise error
            if attempt >= self.batching.attempts:
                error.args = (f"given up after {attempt} attempts: {error}",)
                raise error
            pause = min(self.batching.pause * 2 ** min(attempt - 1, 16), 30.0)
            pause = pause / 2 + random.uniform(0, pause / 2)
            yield Pause(max(pause, min(wait or 0.0, LONGEST_PAUSE)))

    def _encode(self, values: Texts, offset: int) -> tuple[bytes, str]:
        """Return the body of a request and its media type."""
        lines = values.lines() if self.lines else None
        return (encode(values.to_list(), offset), JSON) if lines is None else (lines, CSV)

    def _spends_nothing(self) -> bool:
        return self.batching.repeat_spends or not self.claims.budget

    @staticmethod
    def _unrepeated() -> str:
        return (
            "; it is not repeated, since the values may have been counted and the token has a budget: "
            "repeat_spends=True repeats all the same"
        )

    def _may_repeat(self, reply: Reply, error: ProblemError) -> bool:
        if reply.status == 429:
            # Nothing was spent. Without Retry-After the budget is, and waiting does not help.
            return error.retry_after is not None or error.code != "QUOTA_EXCEEDED"
        if reply.status not in (502, 503, 504):
            return False
        if not self._spends_nothing():
            error.args = (f"{error}{self._unrepeated()}",)
            return False
        return True

    def _halves(self, operation: Operation, values: Texts, offset: int) -> Exchange:
        # most may have been lowered by another batch meanwhile.
        step = max(1, min(self.most, (len(values) + 1) // 2))
        done = []
        for at in range(0, len(values), step):
            end = min(at + step, len(values))
            done.append((yield from self.exchange(operation, values.part(at, end), offset + at)))
        return values.joined(done)


def encode(values: Sequence[str], offset: int) -> bytes:
    """Return the body of a request. Texts that are not valid Unicode are refused."""
    try:
        return f'{{"data":{json_array(values)}}}'.encode()
    except UnicodeEncodeError:
        pass
    raise unprocessable([BadValue(offset + i, "VALUE_NOT_TEXT") for i, v in enumerate(values) if not is_unicode(v)])


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse(body: bytes) -> object:
    """Return the parsed JSON of body, or None, since the parser's error would contain the body."""
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed


def results(reply: Reply, values: Texts, offset: int) -> Any:
    """Return the results in an answer of status 200 after checking them against the contract."""
    if reply.headers.get("content-type", "").partition(";")[0].strip().lower() == CSV:
        try:
            data = values.of_lines(reply.body)
        except ValueError as e:
            wrong = str(e)
        else:
            return checked(data, values)
        raise InvalidAnswer(f"the answer is not the CSV that the contract says: {wrong}")
    answer = parse(reply.body)
    if not isinstance(answer, dict):
        page = reply.body.lstrip()[:1] == b"<"
        raise InvalidAnswer(
            "the answer is a page (HTML or XML): is the URL that of the server, and is there no proxy "
            "that asks for a login?"
            if page
            else "the answer is not the JSON that the contract says"
        )
    data = answer.get("data")
    if not isinstance(data, list):
        raise InvalidAnswer("the answer has no array named data")
    check_length(data, values)
    if set(map(type, data)) - {str}:
        if any(v is not None and not isinstance(v, str) for v in data):
            raise InvalidAnswer("the answer has results that are no strings")
        bad, count = bad_values(answer, offset, len(values))
        missing = sum(v is None for v in data)
        if not bad or max(count, len(bad)) != missing or any(data[b.index - offset] is not None for b in bad):
            raise InvalidAnswer("the answer has nulls that it gives no reason for")
        listed = ", ".join(f"{b.code} at {b.index}" for b in bad[:5])
        warnings.warn(ValuesRefused(f"{missing} values have no result: {listed}"), stacklevel=2)
    given = values.to_list()
    if "" in given and any(v == "" and r != "" for v, r in zip(given, data, strict=True)):
        raise InvalidAnswer("a result came back for an empty value")
    return checked(values.of_list(data), values)


def check_length(data: Any, values: Texts) -> None:
    if len(data) != len(values):
        raise InvalidAnswer(f"{len(data)} results came back for {len(values)} values")


def checked(data: Any, values: Texts) -> Any:
    """Return data if they are plausible results of values."""
    check_length(data, values)
    if values.emptied(data):  # a norm step of the token may empty white space
        raise InvalidAnswer("an empty result came back for a value")
    if values.unchanged(data):
        raise InvalidAnswer("the values came back as they were sent")
    return data


def bad_values(answer: dict[object, object], offset: int, n: int) -> tuple[list[BadValue], int]:
    """Return the bad values that an answer lists, and their total number."""
    bad: list[BadValue] = []
    listed = answer.get("errors")
    for item in listed if isinstance(listed, list) else []:
        index = item.get("index") if isinstance(item, dict) else None
        code = item.get("code") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < n:
            raise InvalidAnswer("the answer refuses a value that was not sent")
        known = isinstance(code, str) and code in VALUE_CODES
        bad.append(BadValue(offset + index, str(code) if known else "NOT_A_PSEUDONYM"))
    count = answer.get("error_count")
    return bad, count if type(count) is int and 0 <= count <= n else len(bad)


def refusal(reply: Reply, offset: int, n: int, request_id: str) -> tuple[ProblemError, float | None]:
    """Return the error of an unsuccessful answer, and the seconds that it asks to wait.

    Of the server's texts only codes of the contract are used: others could hold values.
    """
    wait = retry_after(reply.headers.get("retry-after"))
    answer = parse(reply.body)
    code = answer.get("code") if isinstance(answer, dict) else None
    cls = BY_CODE.get(code, UnexpectedStatus) if isinstance(code, str) else UnexpectedStatus
    if isinstance(answer, dict) and (cls is UnprocessableValues or (reply.status == 422 and "errors" in answer)):
        bad, count = bad_values(answer, offset, n)
        return unprocessable(bad, count, reply.status, request_id), wait
    text = f"the server answered {reply.status}"
    if cls.code:
        text += f" {cls.code}"
    if 300 <= reply.status < 400:
        text += ": a redirect, which is not followed: give the address that it leads to"
    elif reply.status in (404, 405):
        text += ": is the URL that of the server, with its base path?"
    elif cls.code == "QUOTA_EXCEEDED" and wait is None:
        text += ": the token's budget is spent: have another token made"
    elif cls.code == "FORBIDDEN_OPERATION":
        text += ": the token is for another operation"
    return cls(text, status=reply.status, retry_after=wait, request_id=request_id), wait


def retry_after(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
