"""Audio in cells of Parquet files, whose row groups are read whole, and kept for their other rows.

pyarrow is imported when the first such cell is read.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from featbank.base.places import Place
from featbank.errors import AudioError, CorpusError

_MOST_KEPT_BYTES = 1 << 30  # of row groups, where there is more than one of them
_MOST_GROUPS, _MOST_OPEN = 64, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Which cell of a Parquet file holds audio: the `member` of its `Place`.

    Args:
        column: of bytes, or of `bytes` and `path` as Hugging Face has it.
        group: row group.
        row: in the group.
        suffix: as of the audio's own file name, or empty.

    >>> str(Cell(column="audio", group=3, row=17, suffix=".wav"))
    'audio/00003/00000017.wav'
    >>> Cell.parse("audio/00003/00000017.wav")
    Cell(column='audio', group=3, row=17, suffix='.wav')
    """

    column: str
    group: int
    row: int
    suffix: str = ""

    def __str__(self) -> str:
        """Return the member's name: sorted, names are in the order of the file."""
        return f"{self.column}/{self.group:05d}/{self.row:08d}{self.suffix}"

    @classmethod
    def parse(cls, member: str) -> Cell | None:
        """Read a name; None where it is none."""
        above, _, name = member.rpartition("/")
        column, _, group = above.rpartition("/")
        row, dot, suffix = name.partition(".")
        if not (column and group.isdecimal() and row.isdecimal()):
            return None
        return cls(column=column, group=int(group), row=int(row), suffix=dot + suffix)


def parquet_cell(
    path: str | Path, place: Place, stamp: Hashable, source: Callable[[], object]
) -> Any:
    """Return the bytes in a cell of a Parquet file, as a buffer.

    Args:
        path: that leads to it, for messages.
        place: of the audio.
        stamp: which file it is, in its present state.
        source: gives what pyarrow opens: a path, or an open file.

    Raises:
        AudioError: it has no such cell, is no Parquet file, or is damaged.
        CorpusError: pyarrow is not there.
        OSError: the machine failed, not the file.
    """
    cell = Cell.parse(place.member)
    if cell is None:
        raise AudioError(
            f"audio {path}",
            kind="bad_name",
            expected="FILE!/MEMBER@START+BYTES, or PARQUET!/COLUMN/GROUP/ROW",
            got=place.member,
        )
    arrow, parquet = import_pyarrow()
    try:
        file = _OPEN.find(
            stamp, lambda: parquet.ParquetFile(source(), memory_map=False, pre_buffer=False)
        )
        group = _GROUPS.find((stamp, cell.column, cell.group), lambda: _read_group(file, cell))
        found = group[cell.row].as_buffer()
    except MemoryError:
        raise
    except (arrow.ArrowException, KeyError, IndexError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # pyarrow says "corrupt" without a number
        raise AudioError(
            f"audio {path}",
            kind="damaged",
            expected="a cell of a Parquet file with bytes in it",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error
    if found is None:
        raise AudioError(f"audio {path}", kind="empty", expected="bytes", got="null")
    return found


def import_pyarrow() -> tuple[Any, Any]:
    """Import `pyarrow` and `pyarrow.parquet`.

    Raises:
        CorpusError: they are not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise CorpusError.of_absent(
            "audio in Parquet or Arrow files", "pyarrow", "huggingface", error
        ) from error


def forget_groups() -> None:
    """Drop the row groups that are kept, and close their files."""
    _GROUPS.clear()
    _OPEN.clear()


def _leave_to_parent() -> None:
    _GROUPS.forget()
    _OPEN.forget()


def _read_group(file: Any, cell: Cell) -> Any:
    """Read the bytes of all rows of a group, and nothing else of the file."""
    is_struct = file.schema_arrow.field(cell.column).type.num_fields > 0
    leaf = f"{cell.column}.bytes" if is_struct else cell.column
    # in this thread: it may be that of a forked process
    table = file.read_row_group(cell.group, columns=[leaf], use_threads=False)
    return table.flatten().column(leaf)


class _Recent:
    """What was made last, up to a number of things and of bytes; one thread makes at a time."""

    def __init__(self, most: int, most_bytes: int = 0) -> None:
        self._most, self._most_bytes = most, most_bytes
        self.forget()

    def find(self, key: object, make: Callable[[], Any]) -> Any:
        """Return what is kept under a key, or make it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            made = self._kept[key] = make()
            while len(self._kept) > self._most or (self._is_too_much() and len(self._kept) > 1):
                self._kept.popitem(last=False)
            return made

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._kept.clear()

    def forget(self) -> None:
        """Leave all to the process that this one was forked from, whoever held the lock there."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, Any] = OrderedDict()

    def _is_too_much(self) -> bool:
        return bool(self._most_bytes) and (
            sum(one.nbytes for one in self._kept.values()) > self._most_bytes
        )


_OPEN = _Recent(_MOST_OPEN)
_GROUPS = _Recent(_MOST_GROUPS, _MOST_KEPT_BYTES)
os.register_at_fork(after_in_child=_leave_to_parent)
