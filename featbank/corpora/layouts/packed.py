"""Opening of files of a corpus that may be packed by gzip or Zstandard."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from featbank.errors import ConfigError, CorpusError
from featbank.files.opening import NotAFileError, TooLargeError
from featbank.files.remote import AnyPath, open_any

PACKED = (".gz", ".zst")
"""Endings of files that are unpacked."""

_CHUNK = 4096  # bytes: what unpacks to the most of all then takes 128 MB


@contextmanager
def open_packed(path: AnyPath, root: AnyPath) -> Iterator[io.BufferedReader]:
    """Open a file of a corpus and give its content, unpacked where it ends in `.gz` or `.zst`.

    What is wrong with it while it is read, inside the `with`, is an error of the same kind.

    Args:
        path: of the file.
        root: of the corpus, for messages.

    Raises:
        CorpusError: it is missing, no regular file, unreadable or damaged, or a line is endless.
        ConfigError: zstandard is not installed.
    """
    where = f"table {shown(path, root)} in {root}"
    try:
        with open_any(path) as file:
            if path.suffix == ".gz":
                if not file.peek(1):  # which Python takes for nothing, packed
                    raise EOFError("an empty file")
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield io.BufferedReader(unpacked)
            elif path.suffix == ".zst":
                yield _open_zstd(file)
            else:
                yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        kind = "Zstandard" if path.suffix == ".zst" else "gzip"
        raise CorpusError(where, expected=f"a whole {kind} file", got=error) from error
    except (
        FileNotFoundError, NotADirectoryError, PermissionError, NotAFileError, TooLargeError,
    ) as error:  # fmt: skip
        absent = isinstance(error, FileNotFoundError)
        raise CorpusError(
            where,
            expected="a readable file",
            got=error.strerror,
            hint="set corpus.root to the folder that it is below" if absent else "",
        ) from error


def shown(path: AnyPath, root: AnyPath) -> str:
    """Return the name of a file of a corpus for messages: below its root, where it lies there."""
    return os.path.relpath(path, root) if path.is_relative_to(root) else str(path)


def _open_zstd(file: IO[bytes]) -> io.BufferedReader:
    try:
        import zstandard
    except ImportError as error:
        raise ConfigError.of_absent("a .zst file", "zstandard", "zstd", error) from error
    return io.BufferedReader(_Frames(file, zstandard))


class _Frames(io.RawIOBase):
    """The content of the frames of a file; zstandard's own reader takes a truncated one for whole.

    Args:
        file: of frames, open.
        zstandard: the package.
    """

    def __init__(self, file: IO[bytes], zstandard: Any) -> None:
        self._file = file
        self._zstandard = zstandard
        self._frame: Any = None
        self._packed = b""  # bytes behind a frame
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._unpacked:
            if not self._read_on():
                return 0
        taken = self._unpacked[: len(buffer)]
        self._unpacked = self._unpacked[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def _read_on(self) -> bool:
        """Unpack some more; tell whether there was more."""
        packed = self._packed or self._file.read(_CHUNK)
        self._packed = b""
        if self._frame is None or self._frame.eof:
            if not packed and self._frame is not None:
                return False
            self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        if not packed:
            raise EOFError("it ends too early")
        try:
            self._unpacked = memoryview(self._frame.decompress(packed))
        except self._zstandard.ZstdError as error:
            raise EOFError(str(error)) from error
        if self._frame.eof:
            self._packed = self._frame.unused_data
        return True
