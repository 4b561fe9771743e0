"""Audio in cells of Parquet files, whose row groups are read whole, and kept for their other rows.

pyarrow is imported when the first such cell is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from featbank.audio.inside.groups import RowGroups
from featbank.base.places import Place
from featbank.errors import AudioError, CorpusError

_MOST_OPEN = 8


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _ParquetFile:
    """A file in its present state, and what gives it to pyarrow."""

    stamp: Hashable
    source: Callable[[], object] = field(compare=False)


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
    arrow, _ = import_pyarrow()
    file = _ParquetFile(stamp=stamp, source=source)
    try:
        found = _GROUPS.cell(
            (stamp, cell.column, cell.group),
            cell.row,
            lambda: _read_group(_opened(file), cell),
        )
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
    _opened.cache_clear()


def _leave_to_parent() -> None:
    _GROUPS.forget()
    _opened.cache_clear()


@lru_cache(_MOST_OPEN)
def _opened(file: _ParquetFile) -> Any:
    """Open a file, once for each state of it."""
    _, parquet = import_pyarrow()
    return parquet.ParquetFile(file.source(), memory_map=False, pre_buffer=False)


def _read_group(file: Any, cell: Cell) -> Any:
    """Read the bytes of all rows of a group, and nothing else of the file."""
    is_struct = file.schema_arrow.field(cell.column).type.num_fields > 0
    leaf = f"{cell.column}.bytes" if is_struct else cell.column
    # in this thread: it may be that of a forked process
    table = file.read_row_group(cell.group, columns=[leaf], use_threads=False)
    return table.flatten().column(leaf)


_GROUPS = RowGroups()
os.register_at_fork(after_in_child=_leave_to_parent)
