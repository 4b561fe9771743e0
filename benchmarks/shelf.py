"""Where everybody's files lie during a run, each written once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.contender import Contender, Keys, Read
from benchmarks.corpora import Corpus, Row
from benchmarks.usage import Usage, measured

_NUM_CHECKED = 20
_NUM_WARMING = 10
_MAX_LISTED = 100_000


@dataclass(frozen=True, slots=True)
class Written:
    """A corpus as one contender stored it.

    Args:
        contender: that did.
        folder: that holds it.
        keys: that its reader needs.
        usage: what that took.
    """

    contender: Contender
    folder: Path
    keys: Keys
    usage: Usage

    def reader(self) -> Read:
        """Open it."""
        return self.contender.reader(self.folder, self.keys)

    def disk_bytes(self) -> int:
        """Return its size."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder)


def write(
    contender: Contender, folder: Path, corpus: Corpus, order: Iterable[int] | None = None
) -> Written:
    """Write a corpus anew, and measure that.

    Before the clock starts, what others left to write goes to the disk, and the rows are made, but
    for corpora whose list of rows is large itself.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows: Iterable[Row] = corpus.rows(order)
    if len(corpus) <= _MAX_LISTED:
        rows = list(rows)
    os.sync()
    with measured() as usage:
        keys = contender.write(folder, rows)
    return Written(contender, folder, keys, usage)


class Shelf:
    """Keeps what was written, by corpus and contender.

    Args:
        folder: of this run alone.
        kept: that may outlive it.
        audio: folder of speech to extract from; None for the demo corpus.
        whisper: folder of Whisper tiny.en, as transformers saves it; None where there is none.
    """

    def __init__(
        self, folder: Path, kept: Path, audio: Path | None = None, whisper: Path | None = None
    ) -> None:
        self.folder = folder
        self.kept = kept
        self.audio = audio
        self.whisper = whisper
        self._written: dict[tuple[str, str], Written] = {}

    def get(self, contender: Contender, corpus: Corpus) -> Written:
        """Return a corpus as a contender stores it, written now if it was not, and checked."""
        key = (corpus.name, type(contender).__name__)
        if key not in self._written:
            # imports, and what else happens but once, are not what is measured
            write(contender, self.folder / "warming", corpus, range(_NUM_WARMING)).remove()
            self._written[key] = write(contender, self.folder / "-".join(key), corpus)
            _check(self._written[key], corpus)
        return self._written[key]


def _check(written: Written, corpus: Corpus) -> None:
    """Refuse to time a reader that gives anything but what was written."""
    read, tolerance = written.reader(), written.contender.tolerance
    for index in np.random.default_rng(0).integers(0, len(corpus), _NUM_CHECKED):
        expected = corpus.values(index)
        for left, right in ((0, None), (5, 30)):
            got = read(corpus.ids[index], left, right)
            if got.shape != expected[left:right].shape or not np.allclose(
                got, expected[left:right], rtol=0, atol=tolerance
            ):
                name = written.contender.name
                raise ValueError(f"{name}: expected what was written of {corpus.ids[index]}")
