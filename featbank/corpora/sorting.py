"""Sort more lines than memory holds: sorted runs on disk, and a merge of them."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from featbank.corpora.scratch import Scratch
from featbank.disk import naming
from featbank.opening import open_regular

_RUN_BYTES = 16 << 20
_OBJECT_BYTES = 64  # of a line in memory, beside its own
_UNSORTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MAX_RUNS = 64  # that are open at a time


class SortedLines:
    """Lines by their keys, and of equal keys by what they say, as bytes and thus as code points.

    Args:
        scratch: for the runs, of which there are none where memory holds the lines.
        name: of the runs in it, unlike that of others.
        run_bytes: of lines that memory holds.
    """

    def __init__(self, scratch: Scratch, name: str, run_bytes: int = _RUN_BYTES) -> None:
        self._scratch, self._name, self._run_bytes = scratch, name, run_bytes
        self._runs: list[Path] = []
        self._lines: list[bytes] = []
        self._held = 0
        self._num_written = 0

    def add(self, key: str, said: str) -> None:
        """Add a line; neither part has a newline, and the key no character before the space."""
        line = f"{key}\t{said}\n".encode()
        self._lines.append(line)
        self._held += len(line) + _OBJECT_BYTES
        if self._held >= self._run_bytes:
            self._write_run()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Give all lines in order, each as its key and what it says; this may be asked again."""
        return map(_parts, self._merged())

    def groups(self) -> Iterator[tuple[str, Iterator[str]]]:
        """Give each key once, with what its lines say."""
        for key, lines in groupby(self, key=_key):
            yield key, map(_said, lines)

    def _merged(self) -> Iterator[bytes]:
        self._lines.sort()
        if not self._runs:
            yield from self._lines
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
        self._runs.append(self._write(iter(self._lines)))
        self._lines.clear()
        self._held = 0

    def _write(self, lines: Iterator[bytes]) -> Path:
        path = self._scratch.place(f"{self._name}-{self._num_written}")
        self._num_written += 1
        with naming(path, "writing"), open(path, "xb") as file:
            file.writelines(lines)
        return path


_key, _said = itemgetter(0), itemgetter(1)


def _parts(line: bytes) -> tuple[str, str]:
    key, _, said = line.decode().partition("\t")
    return key, said[:-1]


def sortable(text: str) -> str:
    r"""Return `text` as a key can have it: control characters and half surrogate pairs escaped.

    >>> sortable("a\tb\udce9")
    'a\\x09b\\udce9'
    """
    return text if text.isprintable() else _UNSORTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _merge(runs: list[Path]) -> Iterator[bytes]:
    with ExitStack() as stack:
        yield from heapq.merge(*(stack.enter_context(open_regular(run)) for run in runs))
