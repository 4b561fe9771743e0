"""LJSpeech's layout: `metadata.csv` (id | text | normalised text) beside `wavs/`."""

from __future__ import annotations

from typing import Any

from featbank.corpora.base import Corpus, CorpusRow, Listing
from featbank.corpora.cells import read_text
from featbank.corpora.paths import list_audio, relative_audio, stem
from featbank.errors import CorpusError

_CELLS = ("id", "text", "normalised text")


class LJSpeechCorpus(Corpus):
    """Reads one speaker's recordings with their normalised text.

    Args:
        speaker: name of the speaker.
        arguments: as of `Corpus`.
    """

    def __init__(self, *, speaker: str = "LJ", **arguments: Any) -> None:
        super().__init__(**arguments)
        self.speaker = speaker

    def read(self) -> Listing:
        """Read the table. A file in `wavs/` that it does not mention is `unlisted`."""
        lines = read_text(self.root / "metadata.csv", self.root).split("\n")
        rows = [
            self._row(line.rstrip("\r"), f"metadata.csv:{number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
        mentioned = {row.audio for row in rows}
        return Listing(rows=rows, unlisted=sorted(set(list_audio(self.root)) - mentioned))

    def _row(self, line: str, where: str) -> CorpusRow:
        # quotation marks are part of the text
        cells = line.split("|")
        if len(cells) != len(_CELLS):
            raise CorpusError(
                where, expected=f"{len(_CELLS)} cells: {' | '.join(_CELLS)}", got=len(cells)
            )
        audio = relative_audio(f"wavs/{cells[0]}.wav", self.root, where)
        return CorpusRow(
            id=stem(audio),
            audio=audio,
            where=where,
            speaker=self.speaker,
            language=self.language,
            text=cells[2],
        )
