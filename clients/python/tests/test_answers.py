"""A server that lies, fails or is not there: typed errors that hold no value and no token."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

import pyarrow as pa
import pytest
from conftest import Liar, reversed_values, send

import velonym

VALUE = "CANARYVALUE" + "x" * 20
TOKEN = "SECRETTOKEN"


def jwt(**psn: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"psn": psn}).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.{TOKEN}"


def failing(liar: Liar, error: type[velonym.VelonymError], token: str = TOKEN, **options: Any) -> Any:
    """Both clients raise error, and neither it nor what it came from holds a value or the token."""
    given = [VALUE, VALUE + "2"]
    options = {"attempts": 2, "pause": 0.001, "timeout": 5, **options}
    with velonym.Client(liar.url, token, **options) as client, pytest.raises(error) as e:
        client.pseudonymise(given)

    async def asked() -> None:
        async with velonym.AsyncClient(liar.url, token, **options) as client:
            await client.pseudonymise(given)

    with pytest.raises(error) as e2:
        asyncio.run(asked())
    for raised in (e.value, e2.value):
        chain: BaseException | None = raised
        while chain is not None:
            assert "CANARY" not in str(chain) + repr(chain) + repr(vars(chain))
            assert TOKEN not in str(chain) + repr(chain)
            chain = chain.__cause__ or chain.__context__
    return e.value


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"data": [VALUE]}, "1 results came back for 2"),
        ({"data": ["a", "b", "c"]}, "3 results"),
        ({"data": ["a", 7]}, "no strings"),
        ({"data": ["a", None]}, "gives no reason"),
        ({"data": ["a", None], "errors": [{"index": 9, "code": VALUE}]}, "not sent"),
        ({"data": ["a", None], "errors": [{"index": 0, "code": "VALUE_LENGTH"}]}, "gives no reason"),
        ({"data": ["a", ""]}, "empty"),
        ({"data": {"a": VALUE}}, "no array"),
        ({"dat": []}, "no array"),
        ([VALUE], "not the JSON"),
        (VALUE.encode(), "not the JSON"),
        (b"", "not the JSON"),
        (b"[" * 100_000, "not the JSON"),
        (b"<html>" + VALUE.encode(), "page"),
        ({"data": [VALUE, VALUE + "2"]}, "as they were sent"),
    ],
)
def test_other_answers(liar: Liar, body: object, words: str) -> None:
    liar.says(200, body)
    assert words in str(failing(liar, velonym.InvalidAnswer))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (VALUE.encode() + b"!\n", "1 results came back for 2"),
        (b"", "0 results"),
        (b"a\nb\nc\n", "3 results"),
        (b"a\n\n", "empty"),
        (b"a\nb\xff\n", "not UTF-8"),
        (b'a\n"' + VALUE.encode() + b"\n", "a quote is out of place"),
        (b"a," + VALUE.encode() + b"\nb\n", "more than one field"),
        (f"{VALUE}\n{VALUE}2\n".encode(), "as they were sent"),
    ],
)
def test_other_lines(liar: Liar, body: bytes, words: str) -> None:
    """The same for answers that are CSV, into lists and into arrays."""
    liar.says(200, body, Content_Type="text/csv; charset=utf-8")
    assert words in str(failing(liar, velonym.InvalidAnswer))
    client = velonym.Client(liar.url, TOKEN)
    with pytest.raises(velonym.InvalidAnswer, match=words) as e:
        client.pseudonymise(pa.array([VALUE, VALUE + "2"]))
    assert "CANARY" not in str(e.value) + repr(e.value.__context__)


def test_quoted_lines(liar: Liar) -> None:
    liar.says(200, b'"two\nlines, ""quoted"""\r\nplain', Content_Type="text/csv")
    client = velonym.Client(liar.url, TOKEN)
    for x in [["a", "b"], pa.array(["a", "b"])]:
        assert list(map(str, client.pseudonymise(x))) == ['two\nlines, "quoted"', "plain"]


def test_lines_are_refused(liar: Liar) -> None:
    """A server that takes no CSV gets JSON, and is not asked again."""

    def json_only(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        if liar.in_lines[-1]:
            send(request, 415, {"code": "UNSUPPORTED_MEDIA_TYPE"})
        else:
            reversed_values(request, data, n)

    liar.answer = json_only
    client = velonym.Client(liar.url, TOKEN, concurrency=1)
    assert client.pseudonymise(["ab", "cd"]) == ["ba!", "dc!"]
    assert client.pseudonymise(pa.array(["ab"])).to_pylist() == ["ba!"]
    assert liar.in_lines == [True, False, False]


def test_what_goes_in_lines(liar: Liar) -> None:
    """Values that a line of CSV would change, or that a reader takes for something else, go as JSON."""
    client = velonym.Client(liar.url, TOKEN)
    for value in ["a\nb", "a\r", 'a"', "a,b", "", "\0", "\ufeffa", "sep=;"]:
        for x in [[value, "b"], pa.array([value, "b"])]:
            client.pseudonymise(x)
            assert liar.asked[-1] == [value, "b"] and not liar.in_lines[-1]
    client.pseudonymise([" a\t;", "\u2028", "高橋"])
    assert liar.in_lines[-1]


def test_too_long(liar: Liar) -> None:
    liar.says(200, b'{"data":["' + b"x" * (5 << 20))
    assert "far longer" in str(failing(liar, velonym.ConnectionFailed))


def test_every_code(liar: Liar) -> None:
    codes = {c.code: c for c in velonym.ProblemError.__subclasses__() if c.code}
    assert len(codes) == 20
    for code, cls in codes.items():
        status = {"TOO_LARGE": 413, "UNPROCESSABLE_VALUES": 422}.get(code, 403)
        liar.says(status, {"code": code, "title": VALUE, "detail": VALUE + TOKEN})
        e = failing(liar, cls, batch_values=1, concurrency=1)
        assert e.code == code and e.status == status and e.request_id
    liar.says(400, {"code": VALUE})
    assert failing(liar, velonym.UnexpectedStatus).status == 400
    liar.says(302, b"", Location="http://127.0.0.1:9/" + VALUE)
    assert "redirect" in str(failing(liar, velonym.UnexpectedStatus))
    liar.says(422, {"code": "UNPROCESSABLE_VALUES", "errors": [{"index": 1, "code": VALUE}], "error_count": 1})
    assert failing(liar, velonym.UnprocessableValues).errors == [velonym.BadValue(1, "NOT_A_PSEUDONYM")]


def test_proxy_page(liar: Liar) -> None:
    liar.says(502, b"<html><h1>502 Bad Gateway</h1>" + VALUE.encode())
    e = failing(liar, velonym.UnexpectedStatus)
    assert e.status == 502 and "given up after 2 attempts" in str(e) and len(liar.asked) == 4


def raw(liar: Liar, answer: bytes) -> None:
    """Write these bytes as the answer, and cut the connection."""

    def cut(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        request.wfile.write(answer)
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True

    liar.answer = cut


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b'{"data":["' + VALUE.encode(),
        b"HTTP/1.1 " + VALUE.encode() + b"\r\n\r\n",
        VALUE.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + VALUE.encode() + b"\r\n",
    ],
)
def test_cut_connections(liar: Liar, answer: bytes) -> None:
    raw(liar, answer)
    assert "given up after 2" in str(failing(liar, velonym.ConnectionFailed))
    assert len(liar.asked) == 4


def test_timeout_in_the_middle(liar: Liar) -> None:
    def stall(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        request.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data":["')
        request.wfile.flush()
        liar.release.wait(20)
        request.close_connection = True

    liar.answer = stall
    assert "no answer in time" in str(failing(liar, velonym.ConnectionFailed, attempts=1, timeout=0.2))


def test_nobody_there() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
    with pytest.raises(velonym.ConnectionFailed, match="given up after 3 attempts: the server cannot be reached"):
        velonym.Client(url, TOKEN, attempts=3, pause=0.001).pseudonymise(["a"])


def test_no_tls(liar: Liar) -> None:
    client = velonym.Client(liar.url.replace("http:", "https:"), TOKEN, pause=0.001)
    with pytest.raises(velonym.ConnectionFailed, match="TLS") as e:
        client.pseudonymise([VALUE])
    assert "given up" not in str(e.value)


def test_repeats(liar: Liar) -> None:
    """What fails now and then is asked again, and the results are in order."""

    def now_and_then(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        match n % 5:
            case 1:
                send(request, 429, b"", Retry_After="0")
            case 2:
                send(request, [502, 503, 504][n % 3], b"<html>")
            case 3:
                request.connection.shutdown(socket.SHUT_RDWR)
                request.close_connection = True
            case _:
                reversed_values(request, data, n)

    liar.answer = now_and_then
    given = [str(i) for i in range(100)]
    for token in [TOKEN, jwt(op="pseudonymise")]:
        client = velonym.Client(liar.url, token, batch_values=9, pause=0.001, attempts=50)
        assert client.pseudonymise(given) == [v[::-1] + "!" for v in given]
    assert len(liar.asked) > 24


def test_budgets_are_not_spent_twice(liar: Liar) -> None:
    """With psn.lim.max only what cannot have been counted is asked again."""
    token = jwt(op="pseudonymise", lim={"max": 100})
    for broken in [lambda: liar.says(502, b"<html>"), lambda: raw(liar, b"")]:
        broken()
        liar.asked.clear()
        e = failing(liar, velonym.VelonymError, token=token)
        assert "repeat_spends" in str(e) and len(liar.asked) == 2
        liar.asked.clear()
        failing(liar, velonym.VelonymError, token=token, repeat_spends=True)
        assert len(liar.asked) == 4

    def later(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        if n < 3:
            send(request, 429, {"code": "QUOTA_EXCEEDED"}, Retry_After="0")
        else:
            reversed_values(request, data, n)

    liar.asked.clear()
    liar.answer = later
    assert velonym.Client(liar.url, token, pause=0.001).pseudonymise(["ab"]) == ["ba!"]
    liar.says(429, {"code": "QUOTA_EXCEEDED"})
    liar.asked.clear()
    assert "spent" in str(failing(liar, velonym.QuotaExceeded, token=token, attempts=5))
    assert len(liar.asked) == 2


def test_too_large_is_halved(liar: Liar) -> None:
    def small(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        if len(data) > 10:
            send(request, 413, {"code": "TOO_LARGE"})
        else:
            reversed_values(request, data, n)

    liar.answer = small
    given = [str(i) for i in range(200)]
    client = velonym.Client(liar.url, TOKEN, concurrency=1)
    assert client.pseudonymise(given) == [v[::-1] + "!" for v in given]
    before = len(liar.asked)
    client.pseudonymise(given)
    assert all(len(a) <= 10 for a in liar.asked[before:]), "the limit was not remembered"


def test_equal_values_are_sent_once(liar: Liar) -> None:
    velonym.Client(liar.url, jwt(op="pseudonymise")).pseudonymise(["a", "b", "a"])
    velonym.Client(liar.url, jwt(op="pseudonymise", policy="different")).pseudonymise(["a", "b", "a"])
    velonym.Client(liar.url, TOKEN).pseudonymise(["a", None, "a"])
    assert liar.asked == [["a", "b"], ["a", "b", "a"], ["a", "a"]]


def test_a_failure_stops_the_others(liar: Liar) -> None:
    served = threading.Semaphore(0)

    def first_fails(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
        if "0" in data:
            send(request, 403, {"code": "RETENTION_EXPIRED"})
            served.release()
        else:
            served.acquire(timeout=10)
            served.release()
            send(request, 502, b"")

    liar.answer = first_fails
    with pytest.raises(velonym.RetentionExpired):
        velonym.Client(liar.url, TOKEN, batch_values=1, concurrency=2, pause=30).pseudonymise(["1", "0", "2", "3"])
    assert len(liar.asked) <= 3


def test_no_secret_shows() -> None:
    for client in [
        velonym.Client("http://127.0.0.1:9", TOKEN),
        velonym.AsyncClient("http://localhost:9/base/api/request-psn", TOKEN),
        velonym.Local(TOKEN),
    ]:
        assert TOKEN not in repr(client) + repr(vars(client)) + str(client)
    for url in ["", "ftp://x", "https://u:p@x", "https://x/?a=b", "psn.example.org"]:
        with pytest.raises(ValueError, match="URL"):
            velonym.Client(url, TOKEN)
    for token in ["", "a b", "x" * 9000, "two\nlines", "é"]:
        with pytest.raises(ValueError, match="one line"):
            velonym.Client("https://x", token)
    with pytest.warns(UserWarning, match="plain http"):
        velonym.Client("http://psn.example.org", TOKEN)
