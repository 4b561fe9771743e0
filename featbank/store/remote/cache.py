"""Keep what was fetched on this disk, within a bound, for all processes and later ones.

A shard is up to two files, named by its digest: `.head`, which is the shard itself with a hole in
the place of its values, and `.rows`, which holds the values of some rows, each in its place, and
behind them one byte a row that tells whether it is there. Files appear whole, by a link; in `.rows`
a row's byte is set after its values. The digest of a shard is one of its checksums, too, so that
whatever a name leads to is held against what was asked for, wherever it was fetched from: bytes of
another store, torn ones or holes are noticed by the reader, and fetched again. So no file is ever
locked or synced, and each may be removed at any time.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import sys
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.errors import StoreError
from featbank.store.own_process import OwnProcess
from featbank.store.remote.room import make_room
from featbank.store.shard_info import ShardInfo

_log = logging.getLogger(__name__)

DEFAULT_BYTES = 20 << 30
"""Size of the cache, in bytes, where nothing else is said."""

_FOLDER = "FEATBANK_CACHE"
_FULL = frozenset([errno.ENOSPC, errno.EDQUOT])
_TOUCH_S = 60.0
_LOOK_BYTES = 256 << 20  # written by one process, before it looks at what all have
_WRITE_BYTES = 256 << 10  # at a time: 4 MiB took Linux 6.18 four times as much of the processor


def cache_folder() -> Path:
    """Return the folder of caches: FEATBANK_CACHE, or `featbank` where the user's caches lie."""
    if stated := os.environ.get(_FOLDER):
        return Path(stated).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "featbank"


class ShardCache:
    """Files of shards in one folder. It may be used from threads and forked processes.

    Args:
        max_bytes: of all files in it; 0 for a folder of this store alone, which holds what is in
            use and goes with it.
        folder: of the cache; that of the user by default.
    """

    def __init__(self, max_bytes: int | None = None, folder: Path | None = None) -> None:
        self._given = max_bytes, folder
        self._max_bytes = DEFAULT_BYTES if max_bytes is None else max_bytes
        self.keeps_rows = self._max_bytes > 0
        """Whether rows stay; else only what a shard is opened with."""
        if self.keeps_rows:
            self._folder = (folder or cache_folder()) / "shards"
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="featbank-"))
            weakref.finalize(self, _remove, self._folder, OwnProcess(str(self._folder)))
        # as if it were time to look: others may have filled it
        self._written = self._max_bytes
        self._touched: dict[str, float] = {}
        self._has_failed = False
        with _disk_of(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as its bound."""
        return ShardCache, self._given

    def head(self, info: ShardInfo) -> Path:
        """Return the path of a shard's head, which may not be there."""
        return self._folder / f"{info.digest}.head"

    def has_head(self, info: ShardInfo) -> bool:
        """Tell whether a shard's head is here, and that it is used."""
        is_here = self.head(info).exists()
        if is_here:
            self._touch(info)
        return is_here

    def put_head(self, info: ShardInfo, data: bytes | memoryview) -> None:
        """Keep all of a shard but its values, unless another process just did.

        Args:
            info: of the shard.
            data: its first bytes.

        Raises:
            StoreError: the disk does not take it.
        """
        self._make_room(len(data))
        with _disk_of(self._folder):
            try:
                self._link_head(info, data)
            except OSError as error:
                if error.errno not in _FULL or not self._free():
                    raise
                self._link_head(info, data)

    def _link_head(self, info: ShardInfo, data: bytes | memoryview) -> None:
        with self._partial(info.num_bytes) as (path, descriptor):
            _write(descriptor, data, 0)
            with suppress(FileExistsError):
                os.link(path, self.head(info))

    def drop_head(self, info: ShardInfo) -> None:
        """Remove the head of a shard, which is damaged."""
        with suppress(OSError):
            self.head(info).unlink(missing_ok=True)

    def read(
        self, info: ShardInfo, starts: npt.NDArray[np.int64], rows: Iterable[int]
    ) -> dict[int, bytes]:
        """Return the values of those rows of a shard that are here, whatever they are.

        Args:
            info: of the shard.
            starts: first byte of each row in the values, then the total.
            rows: that are wanted.
        """
        found: dict[int, bytes] = {}
        try:
            descriptor = os.open(self._rows(info), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return found
        try:
            total = int(starts[-1])
            for row in rows:
                if os.pread(descriptor, 1, total + row) == b"\x01":
                    start, stop = int(starts[row]), int(starts[row + 1])
                    data = os.pread(descriptor, stop - start, start)
                    if len(data) == stop - start:
                        found[row] = data
        except OSError as error:  # of the disk: the source has it
            self._fail(error)
        finally:
            os.close(descriptor)
        if found:
            self._touch(info)
        return found

    def write(
        self,
        info: ShardInfo,
        starts: npt.NDArray[np.int64],
        spans: Sequence[tuple[range, bytes | memoryview]],
    ) -> None:
        """Keep the values of consecutive rows. What the disk does not take is not kept.

        Args:
            info: of the shard.
            starts: as of `read`.
            spans: rows, and their values one after the other.
        """
        total = int(starts[-1])
        self._make_room(sum(len(data) for _, data in spans))
        try:
            descriptor = self._opened_rows(info, total + len(starts) - 1)
            try:
                for rows, data in spans:
                    _write(descriptor, data, int(starts[rows.start]))
                    _write(descriptor, b"\x01" * len(rows), total + rows.start)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._fail(error)
            if error.errno in _FULL:
                self._free()

    def forget(self, info: ShardInfo, starts: npt.NDArray[np.int64], rows: Iterable[int]) -> None:
        """Drop rows that turned out to be damaged, so that they are fetched again.

        Args:
            info: what the header lists of the shard.
            starts: first byte of each row in the values, then the total.
            rows: numbers of the rows in the shard.
        """
        with suppress(OSError):
            descriptor = os.open(self._rows(info), os.O_WRONLY | os.O_CLOEXEC)
            try:
                for row in rows:
                    _write(descriptor, b"\x00", int(starts[-1]) + row)
            finally:
                os.close(descriptor)

    def _rows(self, info: ShardInfo) -> Path:
        return self._folder / f"{info.digest}.rows"

    def _opened_rows(self, info: ShardInfo, num_bytes: int) -> int:
        path = self._rows(info)
        for _ in range(10):  # another process may remove it in between
            with suppress(FileNotFoundError):
                return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            with self._partial(num_bytes) as (partial, _), suppress(FileExistsError):
                os.link(partial, path)
        raise OSError(f"{path} is removed as soon as it is made")

    @contextmanager
    def _partial(self, num_bytes: int) -> Iterator[tuple[Path, int]]:
        """Make a file of zeros that takes its name when it is whole; what is left over goes."""
        path = self._folder / f".{secrets.token_hex(8)}.partial"
        descriptor = self._created(path)
        try:
            os.ftruncate(descriptor, num_bytes)
            yield path, descriptor
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _created(self, path: Path) -> int:
        """Create a file to write, and its folder again where somebody has removed it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with suppress(FileNotFoundError):
            return os.open(path, flags, 0o600)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)

    def _free(self) -> bool:
        """Remove half of what is kept, of a disk that is full below the bound; tell if any went."""
        taken = make_room(self._folder, sys.maxsize) if self.keeps_rows else 0
        return taken > 0 and make_room(self._folder, taken // 2) < taken

    def _make_room(self, num_bytes: int) -> None:
        """Remove what was not used for longest, from time to time, so that the rest has room."""
        self._written += num_bytes
        if self.keeps_rows and self._written >= min(_LOOK_BYTES, self._max_bytes // 50):
            self._written = 0
            make_room(self._folder, self._max_bytes * 9 // 10 - num_bytes)

    def _touch(self, info: ShardInfo) -> None:
        now = time.monotonic()
        if now - self._touched.get(info.digest, -_TOUCH_S) >= _TOUCH_S:
            self._touched[info.digest] = now
            for path in (self._rows(info), self.head(info)):
                with suppress(OSError):
                    # when it was written stays: that tells one file from another
                    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def _fail(self, error: OSError) -> None:
        if not self._has_failed:
            _log.warning("cache %s: %s; reads go on without it", self._folder, error)
        self._has_failed = True


def _write(descriptor: int, data: bytes | memoryview, start: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view[:_WRITE_BYTES], start)
        view, start = view[done:], start + done


@contextmanager
def _disk_of(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cache {folder}",
            expected="a disk with room that works",
            got=error,
            hint=f"set {_FOLDER} to a folder on another disk",
        ) from error


def _remove(folder: Path, owner: OwnProcess) -> None:
    if owner.is_here:
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
