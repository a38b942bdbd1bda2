"""Processes of `velonym run` that are kept for many calls: an Arrow stream in, one out, of which
each batch is answered before the next is read."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

FLAGS = ("--format", "arrow", "--column", "v")

PART = 1 << 17
"""Number of values of a batch."""

IDLE = 10.0
"""Seconds for which an idle process waits for the next call."""

AGE = 60.0
"""Age in seconds from which a process gets no further call, so that its token is verified again."""

Start = Callable[[], "subprocess.Popen[bytes]"]


class Ended(Exception):
    """The process ended before it answered. Standard error contains the reason."""

    def __init__(self, status: int, stderr: bytes, begun: bool) -> None:
        super().__init__("the process ended")
        self.status = status
        self.stderr = stderr
        self.begun = begun
        """The process had accepted the stream."""


class KeptProcess:
    """A process. One thread at a time uses it."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self.born = self.used = time.monotonic()
        self.owner = os.getpid()
        self.said: list[bytes] = []
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        self.writer: Any = None
        self.reader: Any = None

    def _listen(self) -> None:
        assert self.child.stderr
        self.said.append(self.child.stderr.read())

    def usable(self) -> bool:
        return self.owner == os.getpid() and self.child.poll() is None and time.monotonic() - self.born < AGE

    def transform(self, array: Any) -> Any:
        """Return the results of an array of large_string, with nulls for values that have none."""
        import pyarrow as pa

        schema = pa.schema([("v", pa.large_string())])
        batches = [pa.record_batch([array.slice(at, PART)], schema=schema) for at in range(0, max(len(array), 1), PART)]
        done: list[Any] = []
        writing = None
        try:
            if self.writer is None:
                self.writer = pa.ipc.new_stream(pa.PythonFile(self.child.stdin, mode="w"), schema)
            if len(batches) == 1:
                # A batch is read whole before it is answered: nobody waits for the other.
                self._write(batches)
            else:
                writing = threading.Thread(target=self._write_some, args=(batches,), daemon=True)
                writing.start()
            done = self._read(len(batches))
        except (OSError, ValueError, StopIteration, pa.ArrowException):
            pass
        except BaseException:
            self.child.kill()  # in the middle of a call: it cannot have another
            raise
        if len(done) < len(batches):
            begun = self.reader is not None
            raise Ended(self._died(writing), b"".join(self.said), begun)
        if writing:
            writing.join()
        self.used = time.monotonic()
        return pa.concat_arrays(done)

    def _died(self, writing: threading.Thread | None) -> int:
        """Wait for the end of a process that gave no answer, and return its status."""
        assert self.child.stdin and self.child.stdout and self.child.stderr
        try:
            status = self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            status = self.child.wait()
        if writing:
            writing.join()
        self.listener.join()
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            _close(stream)
        return status

    def _write(self, batches: list[Any]) -> None:
        assert self.child.stdin
        for batch in batches:
            self.writer.write_batch(batch)
            self.child.stdin.flush()

    def _write_some(self, batches: list[Any]) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever reads learns that it ended
            self._write(batches)

    def _read(self, n: int) -> list[Any]:
        import pyarrow as pa

        if self.reader is None:
            self.reader = pa.ipc.open_stream(pa.PythonFile(self.child.stdout, mode="r"))
        return [self.reader.read_next_batch().column(0) for _ in range(n)]

    def end(self) -> None:
        """End the stream and wait for the process; in a process that was forked, forget it."""
        assert self.child.stdin and self.child.stdout
        if self.owner != os.getpid():
            for stream in (self.child.stdin, self.child.stdout):
                _close(stream)
            return
        with contextlib.suppress(OSError, ValueError):
            if self.writer is not None:
                self.writer.close()
        _close(self.child.stdin)
        self._died(None)


def _close(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        stream.close()


class Keeper:
    """The processes of one token: as many as threads call at a time. They end when nobody calls
    for some seconds, and with the object that has the keeper."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._idle = Idle()
        self._finalizer = weakref.finalize(self, self._idle.end_all)

    def transform(self, array: Any) -> Any:
        """Return the results of array, or raise Ended if the process does not answer."""
        process = self._idle.take() or KeptProcess(self._start())
        done = process.transform(array)
        self._idle.put(process)
        return done

    def close(self) -> None:
        self._idle.end_all()


class Idle:
    """Idle processes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.processes: list[KeptProcess] = []
        self.watched = False

    def put(self, process: KeptProcess) -> None:
        with self.lock:
            self.processes.append(process)
            if self.watched:
                return
            self.watched = True
        threading.Thread(target=self._watch, daemon=True).start()

    def take(self) -> KeptProcess | None:
        old = []
        try:
            with self.lock:
                while self.processes:
                    process = self.processes.pop()
                    if process.usable():
                        return process
                    old.append(process)
            return None
        finally:
            for process in old:
                process.end()

    def end_all(self) -> None:
        with self.lock:
            ended, self.processes = self.processes, []
        for process in ended:
            process.end()

    def _watch(self) -> None:
        """End processes that are idle for too long, until none is left."""
        while True:
            time.sleep(IDLE / 4)
            now = time.monotonic()
            with self.lock:
                ended = [p for p in self.processes if now - p.used > IDLE]
                self.processes = [p for p in self.processes if now - p.used <= IDLE]
                self.watched = bool(self.processes)
                last = not self.watched
            for process in ended:
                process.end()
            if last:
                return
