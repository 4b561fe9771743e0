"""Servers of files in this process, on 127.0.0.1: a bucket, a web server that fails, and SFTP."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

BUSY: set[str] = set()
"""Paths, `/bucket/key`, of objects that the bucket server does not give when next asked."""


@contextmanager
def bucket_server() -> Iterator[str]:
    """Run moto's S3 and give its address; see `bucket_environment`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    server._server.app = _busy_once(server._server.app)
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _busy_once(app: Callable[..., Any]) -> Callable[..., Any]:
    """A bucket server that answers 503 to the next request for the bytes of a path in `BUSY`."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        if path in BUSY and environ["REQUEST_METHOD"] == "GET":
            BUSY.remove(path)
            start("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        return app(environ, start)

    return answer


def bucket_environment(address: str) -> dict[str, str]:
    """The environment in which `s3://` means this server."""
    return {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",  # nobody asks whether this machine is in a cloud
    }


class Bucket:
    """A bucket of the server that the environment names, made anew."""

    def __init__(self, name: str) -> None:
        # imported here: it takes a second
        import boto3

        self._bucket = boto3.resource("s3").Bucket(name)
        self._bucket.create()
        self.url = f"s3://{name}"

    def put(self, key: str, data: bytes) -> None:
        self._bucket.put_object(Key=key, Body=data)

    def put_folder(self, folder: Path, prefix: str) -> None:
        """Write the files of a folder as objects."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def get(self, key: str) -> bytes:
        data: bytes = self._bucket.Object(key).get()["Body"].read()
        return data

    def remove(self, key: str) -> None:
        self._bucket.Object(key).delete()

    def keys(self, prefix: str = "") -> set[str]:
        return {one.key for one in self._bucket.objects.filter(Prefix=prefix)}


class WebServer(ThreadingHTTPServer):
    """Serves the files of a folder, and fails as it is told to.

    `faults` are those of the next requests of a file's bytes, one each: `busy` (503), `forbidden`
    (403), `cut` (a body that ends early), `short` or `long` (one of another length), or nothing.
    `fetched` has the paths of which bytes were sent.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: deque[str] = deque()
        self.fetched: list[str] = []
        self.lists = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, *, body: bool) -> None:
        name = unquote(self.path).strip("/")
        path = self.server.folder / name
        if path.is_dir() and self.server.lists:
            entries = sorted(path.iterdir())
            links = [f'<a href="{one.name}{"/" if one.is_dir() else ""}">x</a>' for one in entries]
            self._send(200, "".join(links).encode(), body=body, kind="text/html")
            return
        if not path.is_file():
            self._send(404, b"", body=body)
            return
        fault = self.server.faults.popleft() if body and self.server.faults else ""
        if fault in ("busy", "forbidden"):
            self._send({"busy": 503, "forbidden": 403}[fault], b"", body=body)
            return
        data, status = path.read_bytes(), 200
        version = hashlib.sha256(data).hexdigest()
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            data, status = data[int(found[1]) : int(found[2]) + 1], 206
        if body:
            self.server.fetched.append(name)
        sent = {"short": data[:-1], "long": data + b"x", "cut": data[: len(data) // 2]}
        stated = data if fault == "cut" else sent.get(fault, data)
        self._send(status, sent.get(fault, data), body=body, version=version, length=len(stated))
        if fault == "cut":
            self.close_connection = True

    def _send(
        self, status: int, data: bytes, *, body: bool, version: str = "", length: int | None = None,
        kind: str = "application/octet-stream",
    ) -> None:  # fmt: skip
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.send_header("Content-Type", kind)
        if version:
            self.send_header("ETag", f'"{version}"')
        self.end_headers()
        if body:
            self.wfile.write(data)


@contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """Run a `WebServer` over a folder."""
    with WebServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def sftp_server(folder: Path) -> Iterator[str]:
    """Run an SFTP server of a folder, and give its address: `ssh://user:password@host:port`."""
    import asyncssh

    connections: list[asyncssh.SSHServerConnection] = []

    class AnyUser(asyncssh.SSHServer):
        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            connections.append(connection)

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("somebody", "secret")

    def files(channel: asyncssh.SSHServerChannel) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=str(folder).encode())

    async def serve() -> asyncssh.SSHAcceptor:
        key = asyncssh.generate_private_key("ssh-ed25519")
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=AnyUser, server_host_keys=[key], sftp_factory=files
        )

    async def close(server: asyncssh.SSHAcceptor) -> None:
        server.close()
        for connection in connections:
            connection.close()
            await connection.wait_closed()
        here = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not here]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(serve(), loop).result()
        yield f"ssh://somebody:secret@127.0.0.1:{server.get_port()}"
        asyncio.run_coroutine_threadsafe(close(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def bucket_address() -> Iterator[str]:
    """The address of one S3 for all tests; see `bucket`."""
    with bucket_server() as address:
        yield address


@pytest.fixture
def bucket(bucket_address: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of this test's own, empty; boto3, fsspec and DVC find it."""
    for name, value in bucket_environment(bucket_address).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return Bucket(f"bucket-{next(_numbers)}")


_numbers = iter(range(1_000_000))
