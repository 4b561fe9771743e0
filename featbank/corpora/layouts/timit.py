"""TIMIT's layout: `TRAIN/DR1/FCJF0/SA1.WAV` beside `SA1.TXT`, in capitals or small letters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from featbank.corpora.base import Corpus, CorpusRow, Found, Present, bad_row
from featbank.corpora.layouts.tree import read_text
from featbank.corpora.links import Links
from featbank.corpora.paths import stem, walk_audio
from featbank.corpora.templates import Template
from featbank.errors import ConfigError, CorpusError
from featbank.files.remote import is_there, map_any

_PATH = Template("{split}/{region}/{speaker}/{name}.wav", "").pattern(any_case=True)
_REGION = re.compile(r"DR[1-8]", re.IGNORECASE)
_NAME = re.compile(r"(SA|SI|SX)\d+", re.IGNORECASE)
_TEXT = re.compile(r"\d+ \d+ (.+)")  # first and last sample, and what is said
_KINDS = ("SA", "SI", "SX")


class TimitCorpus(Corpus):
    """Reads TIMIT from the folder with `TRAIN` and `TEST`, which are the splits train and test.

    Audio is in SPHERE, and is read as it is. Copies that are called `SA1.WAV.wav` are `unlisted`.

    Args:
        sentences: kinds to read: SA, which all speakers read, SI and SX.
        arguments: as of `Corpus`.
    """

    version = 1

    def __init__(self, *, sentences: Sequence[str] = _KINDS, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.sentences = frozenset(sentences)
        if not sentences or self.sentences - set(_KINDS):
            raise ConfigError(
                "corpus.sentences", expected=f"a list of {', '.join(_KINDS)}", got=repr(sentences)
            )

    def read(self, links: Links) -> Iterator[Found]:
        """Walk the tree. Audio of other forms, or of other sentences, is no utterance."""
        if not any(is_there(self.root / split) for split in ("TRAIN", "TEST", "train", "test")):
            raise CorpusError(
                f"corpus {self.name} in {self.root}",
                expected="folders TRAIN and TEST",
                got="neither",
                hint="set corpus.root to the folder that has them",
            )
        find = partial(self._found, links)
        yield from map_any(self.root, find, walk_audio(self.root, links))

    def _found(self, links: Links, present: Present) -> Found:
        """Return what an audio file is."""
        audio = present.audio
        said = None if present.is_hidden else _PATH.fullmatch(audio)
        kind = _NAME.fullmatch(said["name"]) if said else None
        if not (said and kind and _REGION.fullmatch(said["region"])) or (
            kind[1].upper() not in self.sentences
        ):
            return present
        try:
            links.check(audio, f"folder {self.root}")
            text = self._text(audio)
        except CorpusError as error:
            return bad_row(error, audio, audio)
        return CorpusRow(
            id=stem(audio),
            audio=audio,
            where=audio,
            speaker=said["speaker"],
            language=self.language,
            text=text,
            split=said["split"].lower(),
        )

    def _text(self, audio: str) -> str:
        """Return what is said in an audio file."""
        path = PurePosixPath(audio)
        # .TXT beside .WAV: as its disc, or the system that read it, writes names
        ending = ".TXT" if path.suffix.isupper() else ".txt"
        text = read_text(self.root, str(path.with_suffix(ending)))
        found = _TEXT.fullmatch(text or "")
        if not found:
            raise CorpusError(
                f"{path.with_suffix(ending)}",
                expected="two samples and a text",
                got="nothing there" if text is None else repr(text[:60]),
            )
        return found[1]
