"""Bytes of audio inside another file, copied to memory and opened there.

libsndfile does not read every kind of audio at an offset of a file, and ffmpeg wants a file; both
read a copy in memory as they read any file, so that samples and digests are those of a file.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from io import BufferedReader, FileIO
from pathlib import Path

from featbank.audio.inside.parquet import parquet_cell
from featbank.audio.memory import MemoryReader, memory_or_scratch_file, write_all
from featbank.base.places import Place
from featbank.errors import AudioError
from featbank.files.disk import read_at

_PIECE = 1 << 20
_MOST_KEPT, _MOST_KEPT_BYTES = 4, 64 << 20
_DOUBTED_NS = 2 * 10**9  # a container changed so lately may change again under the same stamp

_Key = tuple[object, ...]


def open_payload(path: str | Path, place: Place, container: BufferedReader) -> BufferedReader:
    """Copy audio inside a file to memory, and open the copy.

    The last few copies are kept, so that the segments of a recording do not read it each.

    Args:
        path: that leads to it, for messages.
        place: of the audio.
        container: the open file.

    Returns:
        The open copy, which the caller closes.

    Raises:
        AudioError: the file is too short, damaged, or has no such place.
        FeatbankError: a package that reads it is not there.
        OSError: the machine failed, not the file.
    """
    now = os.fstat(container.fileno())
    key = (
        place.member, place.start, place.num_bytes,
        now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns,
    )  # fmt: skip
    if copy := _KEPT.open(key):
        return copy
    descriptor = memory_or_scratch_file()
    try:
        _fill(descriptor, path, place, container, now)
    except BaseException:
        os.close(descriptor)
        raise
    os.lseek(descriptor, 0, os.SEEK_SET)
    if time.time_ns() - now.st_ctime_ns < _DOUBTED_NS:
        return MemoryReader(FileIO(descriptor))
    return _KEPT.put(key, descriptor)


def close_payloads() -> None:
    """Drop the copies that are kept."""
    _KEPT.close()


def _fill(
    descriptor: int,
    path: str | Path,
    place: Place,
    container: BufferedReader,
    now: os.stat_result,
) -> None:
    """Copy the bytes of a place."""
    if place.start is None or place.num_bytes is None:
        stamp = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        write_all(descriptor, parquet_cell(path, place, stamp, lambda: place.container))
        return
    at, stop = place.start, place.start + place.num_bytes
    if stop <= now.st_size:
        while at < stop and (piece := read_at(container.fileno(), min(_PIECE, stop - at), at)):
            write_all(descriptor, piece)
            at += len(piece)
    if at < stop:
        raise AudioError(
            f"audio {path}",
            kind="truncated",
            expected=f"a container of at least {stop} bytes",
            got=f"one of {now.st_size}",
            hint="it is cut short, or another one than when the corpus was read",
        )


class _Kept:
    """Copies in memory, the one last used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptors: OrderedDict[_Key, int] = OrderedDict()

    def open(self, key: _Key) -> BufferedReader | None:
        """Open a copy that is kept, from its start and apart from whoever else reads it."""
        with self._lock:
            descriptor = self._descriptors.get(key)
            if descriptor is None:
                return None
            self._descriptors.move_to_end(key)
            return _opened_again(descriptor)

    def put(self, key: _Key, descriptor: int) -> BufferedReader:
        """Keep a copy, where the system can open it again; and open it."""
        if (opened := _opened_again(descriptor)) is None:
            return MemoryReader(FileIO(descriptor))
        with self._lock:
            if (other := self._descriptors.pop(key, None)) is not None:  # of another thread
                os.close(other)
            self._descriptors[key] = descriptor
            while len(self._descriptors) > _MOST_KEPT or (
                len(self._descriptors) > 1 and self._num_bytes() > _MOST_KEPT_BYTES
            ):
                os.close(self._descriptors.popitem(last=False)[1])
        return opened

    def close(self) -> None:
        """Drop all."""
        with self._lock:
            while self._descriptors:
                os.close(self._descriptors.popitem()[1])

    def forget(self) -> None:
        """Leave all to the process that this one was forked from, whoever held the lock there."""
        self._lock, self._descriptors = threading.Lock(), OrderedDict()

    def _num_bytes(self) -> int:
        return sum(os.fstat(one).st_size for one in self._descriptors.values())


def _opened_again(descriptor: int) -> BufferedReader | None:
    """Open a file without a name once more; None where the system has no way to."""
    with suppress(OSError):
        return MemoryReader(FileIO(f"/proc/self/fd/{descriptor}"))
    return None


_KEPT = _Kept()
os.register_at_fork(after_in_child=_KEPT.forget)
