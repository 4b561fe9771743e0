"""External sort of lines: sorted runs on disk, and a merge of them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from io import BufferedReader
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

from featbank.corpora.scratch import Scratch
from featbank.files.disk import naming
from featbank.files.opening import open_regular

_RUN_BYTES = 16 << 20
_POINTER_BYTES = 8  # of a line in a list
_WRITTEN_LINES = 4096  # at a time
_BLOCKS_BYTES, _LEAST_BLOCK = 2 << 20, 32 << 10  # of runs that are merged: together, of one
_UNSORTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MAX_RUNS = 64  # that are open at a time


class SortedLines:
    """Sorts lines by key, then by content, as code points.

    Args:
        scratch: for the runs, of which there are none where memory holds the lines.
        name: of the runs in it, unlike that of others.
        run_bytes: of lines that memory holds.
    """

    def __init__(self, scratch: Scratch, name: str, run_bytes: int = _RUN_BYTES) -> None:
        self._scratch, self._name, self._run_bytes = scratch, name, run_bytes
        self._runs: list[Path] = []
        self._lines: list[str] = []
        self._held = 0
        self._num_written = 0

    def add(self, key: str, said: str) -> None:
        """Add a line; neither part has a newline, and the key no character before the space."""
        self.add_line(f"{key}\t{said}")

    def add_line(self, line: str) -> None:
        """Add a line that is whole: its key, a tab and what it says."""
        self._lines.append(line)
        self._held += line.__sizeof__() + _POINTER_BYTES
        if self._held >= self._run_bytes:
            self._write_run()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Give all lines in order, each as its key and what it says; this may be asked again."""
        for line in self.lines():
            key, _, said = line.partition("\t")
            yield key, said

    def groups(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Yield each key once, with the contents of its lines."""
        for key, lines in groupby(self, key=_key):
            yield key, map(_said, lines)

    def lines(self) -> Iterator[str]:
        """Give all lines in order, each whole: its key, a tab and what it says."""
        return chain.from_iterable(self._merged())

    def _merged(self) -> Iterator[list[str]]:
        self._lines.sort()
        if not self._runs:
            yield self._lines
            return
        if self._lines:
            self._write_run()
        while len(self._runs) > _MAX_RUNS:
            some, self._runs = self._runs[:_MAX_RUNS], self._runs[_MAX_RUNS:]
            self._runs.append(self._write(_merge(some)))
            for run in some:
                run.unlink()
        yield from _merge(self._runs)

    def _write_run(self) -> None:
        self._lines.sort()
        starts = range(0, len(self._lines), _WRITTEN_LINES)
        self._runs.append(self._write(self._lines[at : at + _WRITTEN_LINES] for at in starts))
        self._lines.clear()
        self._held = 0

    def _write(self, pieces: Iterator[list[str]]) -> Path:
        path = self._scratch.place(f"{self._name}-{self._num_written}")
        self._num_written += 1
        with naming(path, "writing"), open(path, "xb") as file:
            for lines in pieces:
                if lines:
                    file.write("\n".join([*lines, ""]).encode())
        return path


_key, _said = itemgetter(0), itemgetter(1)


def sortable(text: str) -> str:
    r"""Return `text` as a key can have it: control characters and half surrogate pairs escaped.

    >>> sortable("a\tb\udce9")
    'a\\x09b\\udce9'
    """
    return text if text.isprintable() else _UNSORTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _merge(runs: list[Path]) -> Iterator[list[str]]:
    """Give the lines of sorted runs in order, piece by piece.

    Of each run a block is held. What is not behind the end of any block is sorted, which is quick
    where it consists of a few sorted pieces: some ten times as quick as a heap of single lines.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(open_regular(run)) for run in runs]
        block_bytes = max(_LEAST_BLOCK, _BLOCKS_BYTES // len(files))
        held = [(file, _block(file, block_bytes)) for file in files]
        while held := [(file, lines) for file, lines in held if lines]:
            end = min(lines[-1] for _, lines in held)
            piece: list[str] = []
            rest = []
            for file, lines in held:
                at = bisect_right(lines, end)
                piece += lines[:at]
                rest.append((file, lines[at:] or _block(file, block_bytes)))
            piece.sort()
            yield piece
            held = rest


def _block(file: BufferedReader, num_bytes: int) -> list[str]:
    """Return the next lines of a run, of some bytes; none at its end."""
    data = file.read(num_bytes)
    if data and not data.endswith(b"\n"):
        data += file.readline()
    return data.decode().split("\n")[:-1]
