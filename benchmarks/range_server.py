"""A web server of a folder, as far away as asked for: each answer waits, and all share a line.

`python -m benchmarks.range_server FOLDER LATENCY_S BYTES_PER_S` prints its port. It serves ranges,
and at `/!log` what it was asked for since the last time, which that clears.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

LOG = "/!log"
_PIECE = 64 << 10  # bytes sent at a time: a fair share of the line for each of many answers
_RANGE = re.compile(r"range: *bytes=(\d+)-(\d*)\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """One request, as the server saw it.

    Args:
        method: of HTTP.
        path: that it named.
        num_bytes: of the body, or for HEAD, that it would have.
        begin_s, end_s: from its arrival to the last byte, by one clock.
    """

    method: str
    path: str
    num_bytes: int
    begin_s: float
    end_s: float


def num_sequential(answers: Sequence[Answer]) -> int:
    """Return the most answers of which each began when the one before it had ended.

    >>> a, b = Answer("GET", "/", 1, 0.0, 1.0), Answer("GET", "/", 1, 0.5, 1.5)
    >>> num_sequential([a, b]), num_sequential([a, Answer("GET", "/", 1, 1.0, 2.0)])
    (1, 2)
    """
    number, end_s = 0, float("-inf")
    for one in sorted(answers, key=lambda answer: answer.end_s):
        if one.begin_s >= end_s:
            number, end_s = number + 1, one.end_s
    return number


class RemoteLine:
    """A server of a folder in a process of its own.

    Args:
        url: of the folder.
        latency_s: before the first byte of each answer.
        bytes_per_s: of all answers together.
    """

    def __init__(self, url: str, latency_s: float, bytes_per_s: float) -> None:
        self.url = url
        self.latency_s, self.bytes_per_s = latency_s, bytes_per_s

    def ideal_s(self, num_bytes: int) -> float:
        """Return the time of one answer of as many bytes, alone on the line."""
        return self.latency_s + num_bytes / self.bytes_per_s

    def answers(self) -> list[Answer]:
        """Return what was asked for since this was called last."""
        with urllib.request.urlopen(self.url + LOG) as found:  # noqa: S310 - our own
            return [Answer(**one) for one in json.load(found)]


@contextmanager
def far_away(folder: Path, latency_s: float, bytes_per_s: float) -> Iterator[RemoteLine]:
    """Serve a folder."""
    command = [sys.executable, "-m", __name__, str(folder), str(latency_s), str(bytes_per_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            yield RemoteLine(f"http://127.0.0.1:{port}", latency_s, bytes_per_s)
        finally:
            process.kill()


class _Server:
    def __init__(self, folder: Path, latency_s: float, bytes_per_s: float) -> None:
        self._folder, self._latency_s, self._bytes_per_s = folder, latency_s, bytes_per_s
        self._free_s = 0.0  # when the line has sent what it has taken
        self._answers: list[Answer] = []
        self._maps: dict[Path, mmap.mmap] = {}

    async def serve(self) -> None:
        """Serve until the process ends."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await self._answer(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> None:
        begin_s = time.monotonic()
        method, path, _ = head.split(" ", 2)
        if path == LOG:
            body = json.dumps([asdict(one) for one in self._answers]).encode()
            self._answers.clear()
            writer.write(_head("200 OK", len(body)) + body)
            await writer.drain()
            return
        await asyncio.sleep(self._latency_s)
        data = self._map(self._folder / path.lstrip("/"))
        start = stop = 0
        if data is None:
            writer.write(_head("404 Not Found", 0))
        elif found := _RANGE.search(head):
            start, stop = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
            part = f"bytes {start}-{stop - 1}/{len(data)}"
            writer.write(_head("206 Partial Content", stop - start, part))
        else:
            stop = len(data)
            writer.write(_head("200 OK", stop))
        if data is not None and method != "HEAD":
            await self._send(writer, data, start, stop)
        await writer.drain()
        self._answers.append(Answer(method, path, stop - start, begin_s, time.monotonic()))

    async def _send(
        self, writer: asyncio.StreamWriter, data: mmap.mmap, start: int, stop: int
    ) -> None:
        for at in range(start, stop, _PIECE):
            piece = data[at : min(at + _PIECE, stop)]
            self._free_s = max(self._free_s, time.monotonic()) + len(piece) / self._bytes_per_s
            wait_s = self._free_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            writer.write(piece)
            await writer.drain()

    def _map(self, path: Path) -> mmap.mmap | None:
        if path not in self._maps:
            if not path.is_file() or not path.stat().st_size:
                return None
            with open(path, "rb") as file:
                self._maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[path]


def _head(status: str, length: int, content_range: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {length}", "Accept-Ranges: bytes"]
    if content_range:
        lines.append(f"Content-Range: {content_range}")
    return "\r\n".join([*lines, "", ""]).encode()


if __name__ == "__main__":
    asyncio.run(_Server(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])).serve())
