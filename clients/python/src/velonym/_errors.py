"""Exceptions. Messages contain positions and codes, and no value or token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class BadValue:
    """A value that cannot be transformed: its position in the caller's object, and the code."""

    index: int
    code: str


class VelonymError(Exception):
    """Any failure of this package."""


class UnsupportedType(VelonymError, TypeError):
    """An object, or an item of it, is of a type that holds no identifiers."""


class UnknownColumn(VelonymError, LookupError):
    """A frame has no such column, or several of that name."""


class ConnectionFailed(VelonymError):
    """No answer: the server cannot be reached, or the connection was lost."""


class InvalidAnswer(VelonymError):
    """The answer violates the contract; nothing of it is used."""


class CommandFailed(VelonymError):
    """The command of a `Local` failed."""


class ProblemError(VelonymError):
    """The server refused. Each code of the contract has a subclass."""

    code: str = ""
    """The contract's code; empty where the answer, a proxy's page say, has none."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        errors: Sequence[BadValue] = (),
        error_count: int = 0,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors: list[BadValue] = list(errors)
        """The bad values that were named, by their position in what was given."""
        self.error_count = max(error_count, len(self.errors))
        self.retry_after = retry_after
        self.request_id = request_id
        """What the server's log calls the request."""


class UnexpectedStatus(ProblemError):
    """A status without a code of the contract: a proxy's page, or another server."""


class BadRequest(ProblemError):
    code = "BAD_REQUEST"


class MissingToken(ProblemError):
    code = "MISSING_TOKEN"


class InvalidToken(ProblemError):
    code = "INVALID_TOKEN"


class ExpiredToken(ProblemError):
    code = "EXPIRED_TOKEN"


class RevokedToken(ProblemError):
    code = "REVOKED_TOKEN"


class ForbiddenOperation(ProblemError):
    code = "FORBIDDEN_OPERATION"


class UnknownDomain(ProblemError):
    code = "UNKNOWN_DOMAIN"


class RetentionExpired(ProblemError):
    code = "RETENTION_EXPIRED"


class NotFound(ProblemError):
    code = "NOT_FOUND"


class MethodNotAllowed(ProblemError):
    code = "METHOD_NOT_ALLOWED"


class RequestTimeout(ProblemError):
    code = "TIMEOUT"


class TooLarge(ProblemError):
    code = "TOO_LARGE"


class UnsupportedMediaType(ProblemError):
    code = "UNSUPPORTED_MEDIA_TYPE"


class UnprocessableValues(ProblemError):
    code = "UNPROCESSABLE_VALUES"


class QuotaExceeded(ProblemError):
    code = "QUOTA_EXCEEDED"


class HeaderTooLarge(ProblemError):
    code = "HEADER_TOO_LARGE"


class InternalError(ProblemError):
    code = "INTERNAL"


class Overloaded(ProblemError):
    code = "OVERLOADED"


class Unavailable(ProblemError):
    code = "UNAVAILABLE"


class HTTPVersionNotSupported(ProblemError):
    code = "HTTP_VERSION_NOT_SUPPORTED"


BY_CODE: dict[str, type[ProblemError]] = {c.code: c for c in ProblemError.__subclasses__() if c is not UnexpectedStatus}

VALUE_CODES = frozenset(
    {
        "NOT_A_PSEUDONYM",
        "VALUE_NOT_TEXT",
        "VALUE_TOO_LONG",
        "VALUE_NOT_IN_ALPHABET",
        "VALUE_LENGTH",
        "VALUE_EMPTY",
        "NOT_A_STRING",
    }
)
"""The codes of single values; another text in an answer could be a value, and is not repeated."""


class ValuesRefused(UserWarning):
    """With a token of psn.err "item": some values have no result and became missing."""


def unprocessable(
    bad: Sequence[BadValue], count: int = 0, status: int | None = None, request_id: str | None = None
) -> UnprocessableValues:
    """Return the error of values that cannot be transformed, worded with the first of them."""
    count = max(count, len(bad))
    text = f"{count} of the values cannot be transformed"
    if bad:
        listed = ", ".join(f"{b.code} at {b.index}" for b in bad[:5])
        text += f": {listed}" + (", …" if count > 5 else "")
    return UnprocessableValues(text, status=status, errors=bad, error_count=count, request_id=request_id)
