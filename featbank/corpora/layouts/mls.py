"""The layout of Multilingual LibriSpeech: `SPLIT/transcripts.txt` beside `SPLIT/audio/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from featbank.base.failures import brief
from featbank.corpora.base import Corpus, CorpusRow, Found
from featbank.corpora.layouts.cells import text_rows
from featbank.corpora.links import Links
from featbank.corpora.paths import AudioPaths, hidden, stem, walk_audio
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import find

_TRANSCRIPTS = "transcripts.txt"
_NAME = re.compile(r"([A-Za-z0-9]+)_([A-Za-z0-9]+)_[A-Za-z0-9]+")


class MLSCorpus(Corpus):
    """Reads one language, such as `mls_polish`: `train`, `dev` and `test` are its splits.

    An utterance `SPEAKER_BOOK_NUMBER` lies in `SPLIT/audio/SPEAKER/BOOK`, cut already; where it lay
    in its book, as `segments.txt` says, is not needed.

    Args:
        suffix: of the audio: `.flac`, or `.opus` of the smaller release.
        arguments: as of `Corpus`.
    """

    version = 1

    def __init__(self, *, suffix: str = ".flac", **arguments: Any) -> None:
        super().__init__(**arguments)
        if suffix not in (".flac", ".opus"):
            raise ConfigError("corpus.suffix", expected=".flac or .opus", got=repr(suffix))
        self.suffix = suffix

    def read(self, links: Links) -> Iterator[Found]:
        """Read the transcripts, split by split, then give the audio files that there are."""
        paths = AudioPaths(self.root, links)
        tables = [
            self.root / name for name in find(self.root, f"*/{_TRANSCRIPTS}") if not hidden(name)
        ]
        if not tables:
            raise CorpusError(
                f"corpus {self.name} in {self.root}",
                expected=f"SPLIT/{_TRANSCRIPTS}, in the folder of a language",
                got="none",
                hint="set corpus.root to the folder that has train, dev and test",
            )
        for transcripts in tables:
            split = transcripts.parent.name
            yield from text_rows(transcripts, self.root, paths, partial(self._row, paths, split))
        yield from walk_audio(self.root, links)

    def _row(self, paths: AudioPaths, split: str, line: str, where: str) -> CorpusRow:
        name, _, text = line.strip().partition("\t")
        found = _NAME.fullmatch(name)
        if not found:
            raise CorpusError(
                where, expected="SPEAKER_BOOK_NUMBER, a tab and a text", got=brief(repr(name))
            )
        speaker, book = found.groups()
        audio = paths.relative(f"{split}/audio/{speaker}/{book}/{name}{self.suffix}", where)
        return CorpusRow(
            id=stem(audio),
            audio=audio,
            where=where,
            speaker=speaker,
            language=self.language,
            text=text.strip(),
            split=split,
        )
