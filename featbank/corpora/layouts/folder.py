"""Corpus layout of a folder tree without a table: every audio file is an utterance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from featbank.base.failures import Failure
from featbank.base.terms import TERMS
from featbank.corpora.base import Corpus, CorpusRow, Found, Listing, bad_row
from featbank.corpora.links import Links
from featbank.corpora.paths import READABLE_SUFFIXES, check_name, stem, walk_audio
from featbank.errors import AudioError, ConfigError, CorpusError

_MEANINGS = frozenset(["speaker", "language", "split", "part", *TERMS, "_"])


class FolderCorpus(Corpus):
    """Reads each audio file below the root, or those that `glob` and `suffixes` pick.

    The others are `unlisted`, as are videos, and files of audio that does not decode.

    Args:
        folders: what the folders above a file mean, from the root down: `speaker`, `language`,
            `split`, `part`, `license`, `consent`, or `_` for nothing. `[split, speaker]` reads
            `dev/anna/x.wav`.
        glob: pattern that the relative path must match, from its end: `clips/*.wav`.
        suffixes: endings to take, such as `.mp4` for the sound of videos; None takes those of
            audio that decodes.
        arguments: as of `Corpus`.
    """

    version = 1

    def __init__(
        self,
        *,
        folders: Sequence[str] = (),
        glob: str = "*",
        suffixes: Sequence[str] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        if unknown := [meaning for meaning in folders if meaning not in _MEANINGS]:
            raise ConfigError(
                "corpus.folders", expected=", ".join(sorted(_MEANINGS)), got=", ".join(unknown)
            )
        self.folders = tuple(folders)
        self.glob = glob
        self.suffixes = (
            READABLE_SUFFIXES if suffixes is None else frozenset(map(str.lower, suffixes))
        )

    def list_utterances(self) -> Listing:
        """Read the whole corpus into memory, sorted by path."""
        listing = super().list_utterances()
        return replace(listing, rows=sorted(listing.rows, key=lambda row: row.audio))

    def read(self, links: Links) -> Iterator[Found]:
        """Walk the tree. Audio files that `glob` or `suffixes` leave out are no utterances."""
        for present in walk_audio(self.root, links):
            audio = present.audio
            if present.is_hidden or not self._is_wanted(audio):
                yield present
                continue
            try:
                check_name(audio)
            except AudioError as error:
                yield Failure.of(error, id=stem(audio), audio=audio, root=self.root)
                continue
            links.check(audio, f"folder {self.root}")
            try:
                yield self._row(audio)
            except CorpusError as error:
                yield bad_row(error, audio, audio)

    def _is_wanted(self, audio: str) -> bool:
        path = PurePosixPath(audio)
        return path.match(self.glob) and path.suffix.lower() in self.suffixes

    def _row(self, audio: str) -> CorpusRow:
        above = PurePosixPath(audio).parts[:-1]
        if len(above) < len(self.folders):
            raise CorpusError(
                f"audio file {audio}",
                expected=f"folders {'/'.join(self.folders)} above it",
                got=f"{len(above)}",
                hint="set corpus.folders to what the folders mean, or to [] for nothing",
            )
        meant = dict(zip(self.folders, above, strict=False))
        return CorpusRow(
            id=stem(audio),
            audio=audio,
            where=audio,
            speaker=meant.get("speaker", ""),
            language=meant.get("language", self.language),
            part=meant.get("part", ""),
            split=meant.get("split", ""),
            license=meant.get("license", ""),
            consent=meant.get("consent", ""),
        )
