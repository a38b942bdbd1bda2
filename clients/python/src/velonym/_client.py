"""Client, AsyncClient and Local: what users call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from ._claims import Operation
from ._columns import Column, Fold, Numbers, column_of, named_column_of
from ._errors import BadValue, UnprocessableValues, unprocessable
from ._exchange import Batching
from ._frames import Columns, chosen, frame_of, is_a, lazily
from ._http import AsyncHTTPTransport, HTTPTransport
from ._local import CommandTransport
from ._transport import Advance, AsyncTransport, Transport

T = TypeVar("T")


@contextmanager
def _progress(wanted: bool, total: int) -> Iterator[Callable[[int], object]]:
    """Give a function that is told of values done: a bar where tqdm is installed."""
    bar = None
    if wanted:
        try:
            from tqdm.auto import tqdm

            bar = tqdm(total=total, unit=" values", unit_scale=True)
        except ImportError:
            pass
    if bar is None:
        yield lambda n: None
        return
    lock = threading.Lock()

    def advance(n: int) -> None:
        with lock:
            bar.update(n)

    with bar:
        yield advance


def _placed(error: UnprocessableValues, column: Column) -> UnprocessableValues:
    """Return error with positions in the caller's object in place of those among the values sent."""
    bad = sorted(BadValue(at, b.code) for b in error.errors for at in column.positions(b.index))
    return unprocessable(bad, error.error_count, error.status, error.request_id)


def _fallback(operation: Operation | None, transport: Transport | AsyncTransport) -> Operation:
    return operation or transport.claims.operation or "pseudonymise"


def _fold(transport: Transport | AsyncTransport, operation: Operation) -> Fold:
    claims = transport.claims
    if not claims.repeats_are_equal(operation):
        return "never"
    return "always" if claims.budget or claims.rate else "worth"


def _listed(column: Column) -> list[str]:
    values: list[str] = column.values.to_pylist() if column.array else column.values
    return values


def _of_list(column: Column, results: list[str | None]) -> Any:
    """Return results in the kind of the column's values."""
    if not column.array:
        return results
    import pyarrow as pa

    return pa.array(results, pa.large_string())


def _transformed(transport: Transport, operation: Operation, column: Column, advance: Advance) -> Any:
    if column.array and transport.takes_arrays(operation):
        return transport.transform_array(operation, column.values, advance)
    return _of_list(column, transport.transform(operation, _listed(column), advance))


async def _transformed_later(transport: AsyncTransport, operation: Operation, column: Column, advance: Advance) -> Any:
    if column.array and transport.takes_arrays(operation):
        return await transport.transform_array(operation, column.values, advance)
    return _of_list(column, await transport.transform(operation, _listed(column), advance))


class Pseudonymiser:
    """Replaces identifiers by pseudonyms, and back, through a transport. It is safe for
    use by several threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def pseudonymise(self, x: T, *, numbers: Numbers = "refuse", progress: bool = False) -> T:
        """Return x, a list, a series or an array, with a pseudonym in the place of each identifier.

        Type, index and order stay, and what is missing (None, NaN, NaT, NA) stays as it came.
        Whole numbers are refused; numbers="text" transforms their decimal text. x is not changed.
        """
        return self._column("pseudonymise", x, numbers, progress)

    def reverse(self, x: T, *, progress: bool = False) -> T:
        """Return x with an identifier in the place of each pseudonym; the token must be for that."""
        return self._column("reverse", x, "refuse", progress)

    def secondary(self, x: T, *, progress: bool = False) -> T:
        """Return x with pseudonyms of the token's project in the place of those of its source."""
        return self._column("secondary", x, "refuse", progress)

    def frame(
        self,
        df: T,
        columns: Columns,
        *,
        operation: Operation | None = None,
        numbers: Numbers = "refuse",
        progress: bool = False,
    ) -> T:
        """Return df, a table of pandas, polars, pyarrow or DuckDB, with the named columns replaced.

        columns is a list of names, or {name: token} where columns have tokens of their own. What
        is done is what a token is for, unless operation says so. If anything fails, nothing is
        replaced; df itself is never changed. A polars LazyFrame is replaced when it is
        collected, a DuckDB relation is read at once.
        """
        tokens = chosen(columns)
        transports = {n: self._transport if t is None else self._transport.with_token(t) for n, t in tokens.items()}
        names = list(transports)
        operations = {n: _fallback(operation, transport) for n, transport in transports.items()}
        if is_a(df, "polars", "LazyFrame"):
            by_batches = all(not t.claims.counts_occurrences(operations[n]) for n, t in transports.items())

            def batch(part: Any) -> Any:
                return self.frame(part, columns, operation=operation, numbers=numbers)

            made: T = lazily(df, names, batch, by_batches, numbers)
            return made
        frame = frame_of(df, names)
        columns_of = {
            n: named_column_of(n, s, numbers, _fold(transports[n], operations[n])) for n, s in frame.series.items()
        }
        done = {}
        with _progress(progress, sum(len(c.values) for c in columns_of.values())) as advance:
            for n, column in columns_of.items():
                try:
                    results = _transformed(transports[n], operations[n], column, advance)
                except UnprocessableValues as e:
                    error = _in_column(_placed(e, column), n)
                else:
                    done[n] = column.rebuild(results)
                    continue
                raise error
        whole: T = frame.assemble(done)
        return whole

    def _column(self, operation: Operation, x: T, numbers: Numbers, progress: bool) -> T:
        column = column_of(x, numbers, _fold(self._transport, operation))
        with _progress(progress, len(column.values)) as advance:
            try:
                results = _transformed(self._transport, operation, column, advance)
            except UnprocessableValues as e:
                error = _placed(e, column)
            else:
                made: T = column.rebuild(results)
                return made
        raise error

    @property
    def deterministic(self) -> bool:
        """Whether one value always gets one result, as far as the token says."""
        return self._transport.claims.repeats_are_equal(_fallback(None, self._transport))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Pseudonymiser:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _in_column(error: UnprocessableValues, name: object) -> UnprocessableValues:
    error.args = (f"column {name!r}: {error}",)
    return error


class Client(Pseudonymiser):
    """Lets a server of the contract do the work.

    Values are sent in batches of at most batch_values and batch_bytes (less where the token or
    the server says so), concurrency of them at a time. A batch is sent again, attempts times at
    most, after 429 with Retry-After, and after 502 to 504 or a lost connection unless the token
    has a budget (psn.lim.max), from which the server may have taken the values already:
    repeat_spends=True repeats then too. timeout is how long connecting, sending and the answer
    may pause, in seconds. verify is an ssl.SSLContext, or True for the usual authorities.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        concurrency: int = 4,
        batch_values: int = 50_000,
        batch_bytes: int = 8 << 20,
        attempts: int = 10,
        pause: float = 0.25,
        repeat_spends: bool = False,
        timeout: float = 120.0,
        verify: Any = True,
        http: httpx.Client | None = None,
    ) -> None:
        batching = Batching(batch_values, batch_bytes, attempts, pause, repeat_spends)
        own = http is None
        if http is None:
            http = httpx.Client(timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0), pool=None), verify=verify)
        transport = HTTPTransport(url, token, batching, concurrency, http, own)
        self._url = transport.base
        super().__init__(transport)

    def __enter__(self) -> Client:
        return self

    def __repr__(self) -> str:
        return f"Client({self._url!r}, token=…)"


class Local(Pseudonymiser):
    """Lets the command velonym on this machine do the work, which must have the keystore.

    A call starts `velonym run` and gives it the values through a pipe. options are further
    flags of it (--dir, --keystore, --master-key), env further variables of its environment.
    """

    def __init__(
        self,
        token: str,
        *,
        command: str = "velonym",
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(CommandTransport(token, command, options, env))
        self._command = command

    def __enter__(self) -> Local:
        return self

    def __repr__(self) -> str:
        return f"Local(token=…, command={self._command!r})"


class AsyncClient:
    """Client for asynchronous programs; the arguments are the same."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        concurrency: int = 4,
        batch_values: int = 50_000,
        batch_bytes: int = 8 << 20,
        attempts: int = 10,
        pause: float = 0.25,
        repeat_spends: bool = False,
        timeout: float = 120.0,
        verify: Any = True,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        batching = Batching(batch_values, batch_bytes, attempts, pause, repeat_spends)
        own = http is None
        if http is None:
            http = httpx.AsyncClient(
                timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0), pool=None), verify=verify
            )
        self._transport: AsyncTransport
        self._transport = transport = AsyncHTTPTransport(url, token, batching, concurrency, http, own)
        self._url = transport.base

    async def pseudonymise(self, x: T, *, numbers: Numbers = "refuse", progress: bool = False) -> T:
        """See Client.pseudonymise."""
        return await self._column("pseudonymise", x, numbers, progress)

    async def reverse(self, x: T, *, progress: bool = False) -> T:
        """See Client.reverse."""
        return await self._column("reverse", x, "refuse", progress)

    async def secondary(self, x: T, *, progress: bool = False) -> T:
        """See Client.secondary."""
        return await self._column("secondary", x, "refuse", progress)

    async def frame(
        self,
        df: T,
        columns: Columns,
        *,
        operation: Operation | None = None,
        numbers: Numbers = "refuse",
        progress: bool = False,
    ) -> T:
        """See Client.frame. A polars LazyFrame is collected by the caller first."""
        tokens = chosen(columns)
        transports = {n: self._transport if t is None else self._transport.with_token(t) for n, t in tokens.items()}
        frame = frame_of(df, list(transports))
        operations = {n: _fallback(operation, transport) for n, transport in transports.items()}
        columns_of = {
            n: named_column_of(n, s, numbers, _fold(transports[n], operations[n])) for n, s in frame.series.items()
        }
        done = {}
        with _progress(progress, sum(len(c.values) for c in columns_of.values())) as advance:
            for n, column in columns_of.items():
                try:
                    results = await _transformed_later(transports[n], operations[n], column, advance)
                except UnprocessableValues as e:
                    error = _in_column(_placed(e, column), n)
                else:
                    done[n] = column.rebuild(results)
                    continue
                raise error
        whole: T = frame.assemble(done)
        return whole

    async def _column(self, operation: Operation, x: T, numbers: Numbers, progress: bool) -> T:
        column = column_of(x, numbers, _fold(self._transport, operation))
        with _progress(progress, len(column.values)) as advance:
            try:
                results = await _transformed_later(self._transport, operation, column, advance)
            except UnprocessableValues as e:
                error = _placed(e, column)
            else:
                made: T = column.rebuild(results)
                return made
        raise error

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._url!r}, token=…)"
