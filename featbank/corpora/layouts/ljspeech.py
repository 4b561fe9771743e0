"""LJSpeech's layout: `metadata.csv` (id | text | normalised text) beside `wavs/`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from featbank.corpora.base import Corpus, CorpusRow, Found
from featbank.corpora.layouts.cells import text_rows
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, stem, walk_audio
from featbank.errors import CorpusError

_CELLS = ("id", "text", "normalised text")


class LJSpeechCorpus(Corpus):
    """Reads one speaker's recordings with their normalised text.

    Args:
        speaker: name of the speaker.
        arguments: as of `Corpus`.
    """

    version = 1

    def __init__(self, *, speaker: str = "LJ", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.speaker = speaker

    def read(self, links: Links) -> Iterator[Found]:
        """Read the table, then give the audio files that there are."""
        paths = AudioPaths(self.root, links)
        read = partial(self._row, paths)
        yield from text_rows(self.root / "metadata.csv", self.root, paths, read)
        yield from walk_audio(self.root, links)

    def _row(self, paths: AudioPaths, line: str, where: str) -> CorpusRow:
        # quotation marks are part of the text
        cells = line.rstrip("\r\n").split("|")
        if len(cells) != len(_CELLS):
            raise CorpusError(
                where, expected=f"{len(_CELLS)} cells: {' | '.join(_CELLS)}", got=len(cells)
            )
        audio = paths.relative(f"wavs/{cells[0]}.wav", where)
        return CorpusRow(
            id=stem(audio),
            audio=audio,
            where=where,
            speaker=self.speaker,
            language=self.language,
            text=cells[2],
        )
