"""Velonym replaces identifiers by pseudonyms, under the rules that a signed token carries.

from velonym import Client

client = Client("https://psn.example.org", token)
df = client.frame(df, columns=["national_id"])
"""

from ._claims import Operation
from ._client import AsyncClient, Client, Local, Pseudonymiser
from ._duckdb import duckdb_function
from ._errors import (
    BadRequest,
    BadValue,
    CommandFailed,
    ConnectionFailed,
    ExpiredToken,
    ForbiddenOperation,
    HeaderTooLarge,
    HTTPVersionNotSupported,
    InternalError,
    InvalidAnswer,
    InvalidToken,
    MethodNotAllowed,
    MissingToken,
    NotFound,
    Overloaded,
    ProblemError,
    QuotaExceeded,
    RequestTimeout,
    RetentionExpired,
    RevokedToken,
    TooLarge,
    Unavailable,
    UnexpectedStatus,
    UnknownColumn,
    UnknownDomain,
    UnprocessableValues,
    UnsupportedMediaType,
    UnsupportedType,
    ValuesRefused,
    VelonymError,
)
from ._transport import AsyncTransport, Transport

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncTransport",
    "BadRequest",
    "BadValue",
    "Client",
    "CommandFailed",
    "ConnectionFailed",
    "ExpiredToken",
    "ForbiddenOperation",
    "HTTPVersionNotSupported",
    "HeaderTooLarge",
    "InternalError",
    "InvalidAnswer",
    "InvalidToken",
    "Local",
    "MethodNotAllowed",
    "MissingToken",
    "NotFound",
    "Operation",
    "Overloaded",
    "ProblemError",
    "Pseudonymiser",
    "QuotaExceeded",
    "RequestTimeout",
    "RetentionExpired",
    "RevokedToken",
    "TooLarge",
    "Transport",
    "Unavailable",
    "UnexpectedStatus",
    "UnknownColumn",
    "UnknownDomain",
    "UnprocessableValues",
    "UnsupportedMediaType",
    "UnsupportedType",
    "ValuesRefused",
    "VelonymError",
    "duckdb_function",
]
