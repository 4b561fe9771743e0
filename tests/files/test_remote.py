"""Files elsewhere: each byte is fetched and counted, and a failing server is no missing file."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from featbank.errors import ConfigError
from featbank.files.remote import (
    ForbiddenError,
    RemoteError,
    RemotePath,
    any_path,
    open_any,
    spool,
    stat_remote,
    walk_remote,
)
from tests.servers import WebServer, sftp_server, web_server

DATA = bytes(range(256)) * 100


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files" / "a").mkdir(parents=True)
    (tmp_path / "files" / "a" / "x #1.wav").write_bytes(DATA)
    (tmp_path / "files" / "empty").write_bytes(b"")
    return tmp_path / "files"


@pytest.fixture
def server(folder: Path) -> Iterator[WebServer]:
    with web_server(folder) as server:
        yield server
        spool.close_spool()


@pytest.fixture
def file(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> RemotePath:
    monkeypatch.setattr("featbank.files.remote.faults._WAITS_S", (0.0, 0.0, 0.0))
    return RemotePath(f"{server.url}/a/x #1.wav")


def read(path: RemotePath) -> bytes:
    with open_any(path) as opened:
        return opened.read()


def test_a_file_of_a_server_is_read_as_one_of_this_machine_and_an_empty_one_too(
    file: RemotePath,
) -> None:
    assert read(file) == DATA
    assert read(file.parents[1] / "empty") == b""
    with open_any(str(file)) as opened:
        opened.seek(1000)
        assert os.pread(opened.fileno(), 10, 3) == DATA[3:13]
        assert opened.read(5) == DATA[1000:1005]
        assert os.fstat(opened.fileno()).st_size == len(DATA)


@pytest.mark.parametrize("fault", ["busy", "cut", "short", "long"])
def test_what_a_server_fails_to_send_is_asked_for_again_and_never_taken_for_the_file(
    file: RemotePath, server: WebServer, fault: str
) -> None:
    server.faults += [fault] * 3
    assert read(file) == DATA
    assert not server.faults


@pytest.mark.parametrize("fault", ["busy", "cut", "short", "long"])
def test_a_server_that_goes_on_failing_ends_the_run_and_is_no_fault_of_the_file(
    file: RemotePath, server: WebServer, fault: str
) -> None:
    server.faults += [fault] * 100
    with pytest.raises(RemoteError, match="a request failed") as raised:
        read(file)
    assert str(file) in str(raised.value)
    assert not isinstance(raised.value, FileNotFoundError)


def test_what_is_not_there_is_missing_and_what_may_not_be_read_is_not(
    file: RemotePath, server: WebServer
) -> None:
    with pytest.raises(FileNotFoundError):
        read(file.with_name("other.wav"))
    server.faults.append("forbidden")
    with pytest.raises(ForbiddenError, match="does not let this user"):
        read(file)


def test_a_server_that_is_down_is_no_missing_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featbank.files.remote.faults._WAITS_S", (0.0,))
    with web_server(folder) as server:
        address = server.url
    with pytest.raises(RemoteError, match="Cannot connect") as raised:
        stat_remote(RemotePath(f"{address}/empty"))
    assert "FileNotFound" not in str(raised.value)


def test_a_file_is_fetched_once_while_it_stays_as_it_is(
    file: RemotePath, server: WebServer, folder: Path
) -> None:
    assert read(file) == read(file) == DATA
    assert server.fetched == ["a/x #1.wav"]
    (folder / "a" / "x #1.wav").write_bytes(DATA[::-1])
    assert read(file) == DATA[::-1]


def test_a_large_file_is_fetched_in_pieces_and_anew_where_it_changes_meanwhile(
    file: RemotePath, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_PIECE", 1000)
    monkeypatch.setattr(spool, "_IN_MEMORY_BYTES", 100)
    fetch, path = spool._fetch, folder / "a" / "x #1.wav"

    def changed_once(*arguments: object) -> object:
        found = fetch(*arguments)  # type: ignore[arg-type]
        path.write_bytes(DATA[::-1])
        return found

    monkeypatch.setattr(spool, "_fetch", changed_once)
    assert read(file) == DATA[::-1]


@pytest.mark.parametrize("other", [DATA * 2, DATA + b"x", DATA[:-1]])
def test_a_file_that_changes_before_it_is_fetched_is_whole_and_no_beginning_of_the_new_one(
    file: RemotePath, folder: Path, monkeypatch: pytest.MonkeyPatch, other: bytes
) -> None:
    fetch, path = spool._fetch, folder / "a" / "x #1.wav"

    def changed_before(*arguments: object) -> object:
        path.write_bytes(other)
        return fetch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(spool, "_fetch", changed_before)
    assert read(file) == other


def test_what_is_kept_is_bounded_and_leaves_nothing_behind(
    file: RemotePath, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(spool, "_KEPT_BYTES", 3 * len(DATA))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    for number in range(6):
        (folder / "a" / f"{number}.wav").write_bytes(DATA)
        assert read(file.with_name(f"{number}.wav")) == DATA
    assert [one.path.name for one in spool._SPOOL._kept] == ["3.wav", "4.wav", "5.wav"]
    assert not list((tmp_path / "spool").iterdir())


def test_a_forked_child_makes_connections_of_its_own(file: RemotePath) -> None:
    assert read(file) == DATA
    with multiprocessing.get_context("fork").Pool(1) as children:
        assert children.apply_async(read, (file,)).get(60) == DATA


def test_folders_are_listed_over_http_and_ssh(server: WebServer, folder: Path) -> None:
    assert sorted(walk_remote(RemotePath(server.url))) == ["a/x #1.wav", "empty"]
    with sftp_server(folder) as address:
        root = RemotePath(address)
        assert sorted(walk_remote(root)) == ["a/x #1.wav", "empty"]
        assert read(root / "a" / "x #1.wav") == DATA
        assert stat_remote(root / "empty").mtime_ns
        with pytest.raises(FileNotFoundError):
            read(root / "b")


def test_a_url_of_another_kind_or_without_a_host_is_refused() -> None:
    with pytest.raises(ConfigError, match="ftp"):
        any_path("ftp://host/x")
    with pytest.raises(ConfigError, match="a bucket or host"):
        any_path("s3://")
