"""The ways to whoever does the work: a server, or the command on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ._claims import Claims, Operation

Advance = Callable[[int], object]
"""Is told how many more values are done; it may be called from several threads."""


class Transport(Protocol):
    """Transforms texts with one token. It is safe for use by several threads."""

    @property
    def claims(self) -> Claims: ...

    def transform(self, operation: Operation, values: Sequence[str], advance: Advance) -> list[str | None]:
        """Return a result for each of the values, in their order, or raise and return none.

        Only with a token of psn.err "item" can a result be None. Indexes in errors are
        positions in values.
        """
        ...

    def takes_arrays(self, operation: Operation) -> bool:
        """Say whether transform_array does what transform does: every result is a text."""
        ...

    def transform_array(self, operation: Operation, values: Any, advance: Advance) -> Any:
        """Do what transform does with an array of pyarrow: large_string without nulls."""
        ...

    def with_token(self, token: str) -> Transport:
        """Return the same way with another token; it shares what can be shared."""
        ...

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """A Transport for asynchronous programs."""

    @property
    def claims(self) -> Claims: ...

    async def transform(self, operation: Operation, values: Sequence[str], advance: Advance) -> list[str | None]: ...

    def takes_arrays(self, operation: Operation) -> bool: ...

    async def transform_array(self, operation: Operation, values: Any, advance: Advance) -> Any: ...

    def with_token(self, token: str) -> AsyncTransport: ...

    async def close(self) -> None: ...
