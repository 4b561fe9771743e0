"""A web server of files that answers ranges, counts requests, and breaks where it is told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Fault = Callable[["Answer"], None]


class Answer:
    """What goes back for one request, for a fault to change.

    Args:
        path: of the file.
        start, stop: of the range.
    """

    def __init__(self, path: Path, start: int, stop: int) -> None:
        self.path = path
        self.status = 206
        self.start = start
        self.body = self.read(start, stop)
        self.sent = len(self.body)
        self.stalls = False

    def read(self, start: int, stop: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


class RangeServer(ThreadingHTTPServer):
    """Serves a folder; see the module."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        """Each is for one request for a range, in order; `always` is for those that follow."""
        self.always: Fault | None = None
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Of the folder."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder while the block runs."""
    server = RangeServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def unavailable(answer: Answer) -> None:
    answer.status, answer.body = 503, b"later"


def cut(answer: Answer) -> None:
    answer.sent = len(answer.body) // 2


def short(answer: Answer) -> None:
    answer.body = answer.body[:-1]
    answer.sent = len(answer.body)


def deaf(answer: Answer) -> None:
    answer.status, answer.body = 200, answer.path.read_bytes()
    answer.sent = len(answer.body)


def shifted(answer: Answer) -> None:
    start = answer.start + 1 if answer.start == 0 else answer.start - 1
    answer.body = answer.read(start, start + len(answer.body))


def flipped(answer: Answer) -> None:
    body = bytearray(answer.body)
    body[len(body) // 2] ^= 4
    answer.body = bytes(body)


def stalled(answer: Answer) -> None:
    answer.stalls = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_GET(self) -> None:
        if self.server.released.is_set():  # as a machine that is gone
            self.close_connection = True
            return None
        path = self.server.folder / self.path.lstrip("/")
        self.server.requests.append(self.path)
        if not path.is_file():
            return self._answer(404, b"", 0)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if match is None:
            data = path.read_bytes()
            return self._answer(200, data, len(data))
        answer = Answer(path, int(match[1]), int(match[2]) + 1)
        if self.server.faults:
            self.server.faults.pop(0)(answer)
        elif self.server.always is not None:
            self.server.always(answer)
        if answer.stalls:
            self.server.released.wait()
            answer.sent = 0
        return self._answer(answer.status, answer.body, answer.sent)

    def _answer(self, status: int, body: bytes, sent: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        if sent < len(body):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass
