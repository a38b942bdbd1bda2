"""A real server, `velonym serve` on loopback, and one that lies."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import velonym

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Rig:
    """A keystore with a few projects, their tokens, and a server on loopback."""

    def __init__(self, binary: str, dir: pathlib.Path) -> None:
        self.binary = binary
        self.dir = dir
        self.env = {**os.environ, "VELONYM_DIR": str(dir)}
        self.run("init")
        self.run("project", "create", "same", "--retention", "1y")
        self.run("project", "create", "tagged", "--retention", "1y", "--tag", "64")
        self.run("project", "create", "different", "--retention", "1y", "--policy", "different")
        self.run("project", "create", "document", "--retention", "1y", "--policy", "document")
        self.forward = self.token("same", "pseudonymise")
        self.back = self.token("same", "reverse")
        self.url = ""

    def run(self, *args: str) -> str:
        done = subprocess.run([self.binary, *args], env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def token(self, project: str, op: str, *more: str) -> str:
        return self.run("token", "create", "--project", project, "--op", op, *more).strip()

    def client(self, token: str = "", **options: Any) -> velonym.Client:
        return velonym.Client(self.url, token or self.forward, pause=0.01, **options)

    def local(self, token: str = "") -> velonym.Local:
        return velonym.Local(token or self.forward, command=self.binary, env={"VELONYM_DIR": str(self.dir)})


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    dir = tmp_path_factory.mktemp("velonym")
    binary = os.environ.get("VELONYM_BINARY")
    if not binary:
        assert shutil.which("go"), "name the command in VELONYM_BINARY, or install Go to build it"
        binary = str(dir / "velonym")
        subprocess.run(["go", "build", "-o", binary, "./cmd/velonym"], cwd=ROOT, check=True)
    rig = Rig(binary, dir / "home")
    server = subprocess.Popen(
        [binary, "serve", "--listen", "127.0.0.1:0"], env=rig.env, stderr=subprocess.PIPE, text=True
    )
    assert server.stderr
    for line in server.stderr:
        if found := re.search(r'"url":"([^"]+)"', line):
            rig.url = found[1]
            break
    drain = threading.Thread(target=server.stderr.read, daemon=True)
    drain.start()
    assert rig.url, "the server did not say where it listens"
    yield rig
    server.terminate()
    server.wait(30)
    drain.join(5)
    server.stderr.close()


class Liar:
    """A server whose answers a test writes. It remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[BaseHTTPRequestHandler, list[str], int], None]
        self.asked: list[list[str]] = []
        self.in_lines: list[bool] = []
        self.release = threading.Event()
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                lines = self.headers["Content-Type"] == "text/csv"
                data = body.decode().removesuffix("\n").split("\n") if lines else json.loads(body)["data"]
                liar.in_lines.append(lines)
                liar.asked.append(data)
                liar.answer(self, data, len(liar.asked))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def says(self, status: int, body: object, **headers: str) -> None:
        """Give every request this answer."""
        self.answer = lambda request, data, n: send(request, status, body, **headers)


def send(request: BaseHTTPRequestHandler, status: int, body: object, **headers: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(raw)))
    request.end_headers()
    request.wfile.write(raw)


def reversed_values(request: BaseHTTPRequestHandler, data: list[str], n: int) -> None:
    """What the lying server says when it does not lie."""
    send(request, 200, {"data": [v[::-1] + "!" if v else "" for v in data]})


@pytest.fixture
def liar() -> Iterator[Liar]:
    liar = Liar()
    liar.answer = reversed_values
    yield liar
    liar.release.set()
    liar.server.shutdown()
    liar.server.server_close()
