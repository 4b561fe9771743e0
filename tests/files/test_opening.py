from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from featbank.files.opening import (
    NotAFileError,
    TooLargeError,
    bounded_lines,
    instead_of_file,
    open_regular,
    read_regular,
)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the whole path may be longer than a socket's may be
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "a pipe"),
    "a folder": (Path.mkdir, "a folder"),
    "a socket": (_socket, "a socket"),
    "a link to a device without end": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "a link to a terminal": (lambda path: path.symlink_to("/dev/null"), "a device"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_regular_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    make, kind = NO_FILES[name]
    make(tmp_path / "header.json")
    with pytest.raises(NotAFileError, match=kind) as caught:
        open_regular(tmp_path / "header.json")
    assert caught.value.filename == str(tmp_path / "header.json")


def test_what_is_refused_stays_closed(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(NotAFileError):
            open_regular(tmp_path)
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_a_path_that_is_none_is_an_error_of_the_system(name: str) -> None:
    with pytest.raises(OSError, match="no path"):
        open_regular(name)


def test_a_file_is_read_up_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345678")
    assert read_regular(tmp_path / "file", 8) == b"12345678"
    with pytest.raises(TooLargeError, match="8 bytes or more, over 7"):
        read_regular(tmp_path / "file", 7)


def test_a_file_that_states_no_size_is_held_to_the_limit_too() -> None:
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(TooLargeError):
        read_regular("/proc/self/maps", 10)


def test_a_sparse_file_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLargeError, match=str(1 << 40)):
        read_regular(tmp_path / "file", 1 << 20)


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one\r\n\ntwo\x0bhalf\nlast")
    with open_regular(tmp_path / "file") as file:
        assert list(bounded_lines(file, 10)) == [b"one\r\n", b"\n", b"two\x0bhalf\n", b"last"]


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456\n1234567\n12345678\n")
    with open_regular(tmp_path / "file") as file, pytest.raises(TooLargeError, match="a line of"):
        list(bounded_lines(file, 8))


def test_what_stands_instead_of_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    said = {name: instead_of_file(tmp_path / name) for name in ("file", "pipe", "link", "gone")}
    assert said == {
        "file": None,
        "pipe": "a pipe",
        "link": "a link to nowhere",
        "gone": "nothing there",
    }
    assert instead_of_file(tmp_path) == "a folder"
