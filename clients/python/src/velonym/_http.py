"""Transports to a server: HTTP with CSV or JSON, through httpx."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from ._arrow_texts import ArrowTexts
from ._claims import Claims, Operation, read_claims
from ._errors import VelonymError
from ._exchange import Action, Batching, Conversation, Exchange, Failure, Outcome, Pause, Post, Reply
from ._texts import ListTexts, Texts
from ._transport import Advance

PATHS = {
    "pseudonymise": "/api/request-psn",
    "secondary": "/api/request-psn",
    "reverse": "/api/request-psn-rev",
}


def endpoint(url: str) -> str:
    """Return the server's base address, without a path of the contract at its end."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("the server's URL must begin with https:// or http:// and name a host")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError("the server's URL must hold no name, password, query or fragment")
    base = parsed.path.rstrip("/")
    for path in (PATHS["reverse"], PATHS["pseudonymise"]):
        base = base.removesuffix(path)
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        warnings.warn("the server is asked over plain http: token and values can be read on the way", stacklevel=4)
    return str(parsed.copy_with(path=base.rstrip("/") or "/")).rstrip("/")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_token(token: str) -> str:
    """Return the token without a line end. It must be one line of at most 8 KiB of ASCII."""
    if isinstance(token, str):
        token = token.strip("\r\n")
        if 0 < len(token) <= 8 << 10 and token.isascii() and token.isprintable() and " " not in token:
            return token
    raise ValueError("the token must be one line of at most 8 KiB, as velonym token create prints it")


class _Server:
    """What the synchronous and the asynchronous transport have in common."""

    def __init__(self, url: str, token: str, batching: Batching, concurrency: int) -> None:
        if concurrency < 1 or min(batching.values, batching.bytes, batching.attempts) < 1:
            raise ValueError("concurrency, attempts and the sizes of batches must be at least 1")
        self.base = endpoint(url)
        self.batching = batching
        self.concurrency = concurrency
        self.use(token)

    def use(self, token: str) -> None:
        self._token = checked_token(token)
        self.claims: Claims = read_claims(self._token)
        self.conversation = Conversation(self.claims, self.batching)

    def request(self, operation: Operation, post: Post) -> dict[str, Any]:
        return {
            "method": "POST",
            "url": self.base + PATHS[operation],
            "content": post.body,
            "headers": {
                "Authorization": f"Bearer {self._token}",
                "Content-Type": post.content_type,
                "Accept": post.accept,
                "Accept-Encoding": "identity",
                "X-Request-Id": post.request_id,
            },
            "follow_redirects": False,
        }


def failure(error: Exception) -> Failure:
    """Describe an error of httpx without its text, which may contain what a server sent."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, ssl.SSLError):
            return Failure("TLS: the server's certificate is not trusted, or it speaks no TLS", False, True)
        at = at.__cause__ or at.__context__
    match error:
        case httpx.ConnectTimeout():
            return Failure("the server could not be reached in time", False)
        case httpx.PoolTimeout():
            return Failure("no connection was free in time", False)
        case httpx.ConnectError():
            return Failure("the server cannot be reached", False)
        case httpx.TimeoutException():
            return Failure("no answer in time", True)
        case httpx.DecodingError():
            return Failure("the answer's compression is broken", True, True)
        case httpx.TransportError():
            return Failure("the connection was closed before the answer was complete", True)
    return Failure("the request could not be made", True, True)


TOO_LONG = Failure("the answer is far longer than pseudonyms would be", True, True)


class _Stopped(VelonymError):
    """Another request of the same call has failed."""


class HTTPTransport(_Server):
    """Sends batches to a server, several at a time, and repeats them where that is safe."""

    def __init__(
        self, url: str, token: str, batching: Batching, concurrency: int, http: httpx.Client, owns: bool
    ) -> None:
        super().__init__(url, token, batching, concurrency)
        self.http = http
        self.owns = owns

    def with_token(self, token: str) -> HTTPTransport:
        return HTTPTransport(self.base, token, self.batching, self.concurrency, self.http, False)

    def close(self) -> None:
        if self.owns:
            self.http.close()

    def transform(self, operation: Operation, values: Sequence[str], advance: Advance) -> list[str | None]:
        done: list[str | None] = self._transform(operation, ListTexts(values), advance)
        return done

    def takes_arrays(self, operation: Operation) -> bool:
        return not self.claims.item

    def transform_array(self, operation: Operation, values: Any, advance: Advance) -> Any:
        return self._transform(operation, ArrowTexts(values), advance)

    def _transform(self, operation: Operation, values: Texts, advance: Advance) -> Any:
        ranges = self.conversation.cut(operation, len(values))
        stop = threading.Event()

        def one(part: tuple[int, int]) -> Any:
            start, end = part
            try:
                exchange = self.conversation.exchange(operation, values.part(start, end), start)
                done = self._drive(operation, exchange, stop)
            except BaseException:
                stop.set()
                raise
            advance(end - start)
            return done

        if len(ranges) == 1:
            return one(ranges[0])
        if not ranges:
            return values.of_list([])
        with ThreadPoolExecutor(min(self.concurrency, len(ranges))) as pool:
            futures = [pool.submit(one, part) for part in ranges]
            try:
                results = []
                stopped = None
                for future in futures:
                    try:
                        results.append(future.result())
                    except _Stopped as e:
                        stopped = e  # the failure that stopped it stands further on
                if stopped is not None:
                    raise stopped
                return values.joined(results)
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _drive(self, operation: Operation, exchange: Exchange, stop: threading.Event) -> Any:
        outcome: Outcome = None
        while True:
            try:
                action: Action = exchange.send(outcome)
            except StopIteration as end:
                return end.value
            if stop.is_set() or (isinstance(action, Pause) and stop.wait(action.seconds)):
                raise _Stopped("another request of the same call has failed")
            outcome = self._post(operation, action) if isinstance(action, Post) else None

    def _post(self, operation: Operation, post: Post) -> Outcome:
        try:
            with self.http.stream(**self.request(operation, post)) as answer:
                body = bytearray()
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > post.most:
                        return TOO_LONG
                return Reply(answer.status_code, answer.headers, bytes(body))
        except (httpx.HTTPError, httpx.StreamError, OSError) as e:
            return failure(e)


class AsyncHTTPTransport(_Server):
    """HTTPTransport for asynchronous programs."""

    def __init__(
        self, url: str, token: str, batching: Batching, concurrency: int, http: httpx.AsyncClient, owns: bool
    ) -> None:
        super().__init__(url, token, batching, concurrency)
        self.http = http
        self.owns = owns

    def with_token(self, token: str) -> AsyncHTTPTransport:
        return AsyncHTTPTransport(self.base, token, self.batching, self.concurrency, self.http, False)

    async def close(self) -> None:
        if self.owns:
            await self.http.aclose()

    async def transform(self, operation: Operation, values: Sequence[str], advance: Advance) -> list[str | None]:
        done: list[str | None] = await self._transform(operation, ListTexts(values), advance)
        return done

    def takes_arrays(self, operation: Operation) -> bool:
        return not self.claims.item

    async def transform_array(self, operation: Operation, values: Any, advance: Advance) -> Any:
        return await self._transform(operation, ArrowTexts(values), advance)

    async def _transform(self, operation: Operation, values: Texts, advance: Advance) -> Any:
        ranges = self.conversation.cut(operation, len(values))
        free = asyncio.Semaphore(self.concurrency)

        async def one(start: int, end: int) -> Any:
            async with free:
                exchange = self.conversation.exchange(operation, values.part(start, end), start)
                done = await self._drive(operation, exchange)
            advance(end - start)
            return done

        tasks = [asyncio.ensure_future(one(*part)) for part in ranges]
        try:
            done = await asyncio.gather(*tasks)
            return values.joined(done) if done else values.of_list([])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drive(self, operation: Operation, exchange: Exchange) -> Any:
        outcome: Outcome = None
        while True:
            try:
                action: Action = exchange.send(outcome)
            except StopIteration as end:
                return end.value
            if isinstance(action, Post):
                outcome = await self._post(operation, action)
            else:
                await asyncio.sleep(action.seconds)
                outcome = None

    async def _post(self, operation: Operation, post: Post) -> Outcome:
        try:
            async with self.http.stream(**self.request(operation, post)) as answer:
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > post.most:
                        return TOO_LONG
                return Reply(answer.status_code, answer.headers, bytes(body))
        except (httpx.HTTPError, httpx.StreamError, OSError) as e:
            return failure(e)
