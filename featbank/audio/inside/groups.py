"""Row groups of Parquet files, kept until each of their rows has been asked for.

A group is read as a whole, whichever of its rows is wanted. Whoever goes through a corpus in
another order than that of its files comes back for the others: they wait in memory and, beyond
that, in files without a name in `TMPDIR`.
"""

from __future__ import annotations

import logging
import mmap
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

_log = logging.getLogger(__name__)

_MEMORY_BYTES = 256 << 20  # of groups, where there is more than one of them
_SCRATCH_BYTES = 64 << 30  # and at most half of the disk that is free


class RowGroups:
    """The bytes of the row groups that one process has read."""

    def __init__(self) -> None:
        self.forget()

    def cell(self, key: object, row: int, read: Callable[[], Any]) -> Any:
        """Return the bytes in a cell as a buffer; None for null.

        Args:
            key: of the group.
            row: in the group.
            read: gives the cells of the group as a column of pyarrow. One thread reads at a time.

        Raises:
            IndexError: there is no such row.
        """
        with self._lock:
            if scratch := self._in_scratch.get(key):
                self._files.move_to_end(scratch)
                found = scratch.cell(key, row)
                if scratch.is_done:
                    self._drop(scratch)
                return found
            if key in self._in_memory:
                self._in_memory.move_to_end(key)
            else:
                self._in_memory[key] = _Group(read())
                self._make_room()
            return self._in_memory[key].cell(row)

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._in_memory.clear()
            self._in_scratch.clear()
            self._files.clear()

    def forget(self) -> None:
        """Leave all to the process that this one was forked from, whoever held the lock there."""
        self._lock = threading.Lock()
        self._in_memory: OrderedDict[object, _Group] = OrderedDict()
        self._in_scratch: dict[object, _Scratch] = {}
        self._files: OrderedDict[_Scratch, None] = OrderedDict()
        self._has_warned = False

    def _make_room(self) -> None:
        """Have memory hold no more than it may; the group that was used last stays there."""
        if self._memory_bytes() <= _MEMORY_BYTES:
            return
        others = list(islice(self._in_memory, len(self._in_memory) - 1))
        for key in others:
            if self._in_memory[key].is_done:
                del self._in_memory[key]
        left = {key: self._in_memory[key] for key in others if key in self._in_memory}
        if not left or self._memory_bytes() <= _MEMORY_BYTES:
            return
        self._put_into_scratch(left)
        for key in left:
            del self._in_memory[key]

    def _put_into_scratch(self, groups: Mapping[object, _Group]) -> None:
        num_bytes = sum(one.num_bytes for one in groups.values())
        free = shutil.disk_usage(tempfile.gettempdir()).free
        room = min(_SCRATCH_BYTES, (free + self._scratch_bytes()) // 2)
        while self._files and self._scratch_bytes() + num_bytes > room:
            self._warn("there is no more room for them")
            self._drop(next(iter(self._files)))
        if num_bytes > room:
            self._warn("there is no room for them")
            return
        try:
            scratch = _Scratch(groups)
        except OSError as error:
            self._warn(str(error))
            return
        self._files[scratch] = None
        self._in_scratch |= dict.fromkeys(groups, scratch)

    def _drop(self, scratch: _Scratch) -> None:
        del self._files[scratch]
        for key in scratch.keys:
            del self._in_scratch[key]

    def _memory_bytes(self) -> int:
        return sum(one.num_bytes for one in self._in_memory.values())

    def _scratch_bytes(self) -> int:
        return sum(one.num_bytes for one in self._files)

    def _warn(self, why: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        _log.warning(
            "row groups of Parquet files are read more than once, for the order of the utterances "
            "is another than that of the files, and %s (%s): set TMPDIR to a folder with more room",
            tempfile.gettempdir(), why,
        )  # fmt: skip


class _Group:
    """A row group in memory.

    Args:
        column: of its cells.
    """

    def __init__(self, column: Any) -> None:
        self.column, self.num_bytes = column, int(column.nbytes)
        self.wanted = set(range(len(column)))

    @property
    def is_done(self) -> bool:
        """Whether each row has been asked for."""
        return not self.wanted

    def cell(self, row: int) -> Any:
        """Return the bytes of a row, None for null."""
        found = self.column[row].as_buffer()
        self.wanted.discard(row)
        return found


class _Scratch:
    """Row groups in a file without a name, which is gone with the last who reads it.

    Args:
        groups: that have rows that nobody has asked for; these are kept, and the others, too.

    Raises:
        OSError: no disk takes them.
    """

    def __init__(self, groups: Mapping[object, _Group]) -> None:
        self._spans: dict[object, list[tuple[int, int] | None]] = {}
        self._wanted = {key: one.wanted for key, one in groups.items()}
        with tempfile.TemporaryFile() as file:
            for key, group in groups.items():
                self._spans[key] = [_written(file, one.as_buffer()) for one in group.column]
            file.flush()
            self.num_bytes = file.tell()
            # a file of no bytes cannot be mapped
            self._bytes = (
                mmap.mmap(file.fileno(), self.num_bytes, prot=mmap.PROT_READ)
                if (self.num_bytes)
                else b""
            )

    @property
    def keys(self) -> Iterable[object]:
        """Of the groups."""
        return self._spans

    @property
    def is_done(self) -> bool:
        """Whether each row of each group has been asked for."""
        return not self._wanted

    def cell(self, key: object, row: int) -> Any:
        """Return the bytes of a row, None for null."""
        span = self._spans[key][row]
        if key in self._wanted:
            self._wanted[key].discard(row)
            if not self._wanted[key]:
                del self._wanted[key]
        return None if span is None else memoryview(self._bytes)[slice(*span)]


def _written(file: Any, data: Any) -> tuple[int, int] | None:
    """Write bytes behind others; return the first and the one behind the last."""
    if data is None:
        return None
    start = file.tell()
    file.write(data)
    return start, file.tell()
