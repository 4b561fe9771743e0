"""Libri-light's layout: `small/SPEAKER/BOOK/NAME.flac`, with what is known of it in `NAME.json`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from featbank.base.failures import Failure, brief
from featbank.corpora.base import Corpus, CorpusRow, Found, bad_row
from featbank.corpora.layouts.columns import as_text
from featbank.corpora.layouts.times import name_segment
from featbank.corpora.links import Links
from featbank.corpora.paths import check_name, stem, walk_audio
from featbank.errors import AudioError, ConfigError, CorpusError
from featbank.files.json_files import parse_json
from featbank.files.remote import is_there, read_any

_MAX_JSON = 16 << 20  # bytes of what is said of one recording
_SEGMENTS = "voice_activity"
_DEPTH = 4  # subset, speaker, book, file


class LibriLightCorpus(Corpus):
    """Reads Libri-light as its tars unpack: the subsets `small`, `medium` and so on are its splits.

    A recording is a chapter, of up to some hours. Each segment of speech that `voice_activity` of
    its JSON lists is an utterance, named by its file and its times. A subset is a `part`, too:
    adding one leaves the shards of the others as they are.

    Args:
        subsets: to read; None reads all folders of the root.
        min_s: seconds of the shortest segment to take; shorter ones are left out.
        arguments: as of `Corpus`.
    """

    version = 1
    root: Path  # it reads no other

    def __init__(
        self, *, subsets: Sequence[str] | None = None, min_s: float = 0.0, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        if subsets is not None and not subsets:
            raise ConfigError(
                "corpus.subsets", expected="names of folders, or null for all", got="an empty list"
            )
        if not (math.isfinite(min_s) and min_s >= 0):
            raise ConfigError("corpus.min_s", expected="seconds, 0 or more", got=min_s)
        self.subsets = subsets
        self.min_s = min_s

    def read(self, links: Links) -> Iterator[Found]:
        """Walk the subsets; audio that lies elsewhere is no utterance."""
        for subset in self.subsets or ():
            if not is_there(self.root / subset):
                raise CorpusError(
                    f"corpus {self.name}: {self.root / subset}",
                    expected="a folder of this subset",
                    got="nothing there",
                    hint="unpack its tar there, or leave it out of corpus.subsets",
                )
        is_met = False
        for present in walk_audio(self.root, links):
            audio = present.audio
            parts = PurePosixPath(audio).parts
            is_taken = self.subsets is None or parts[0] in self.subsets
            if present.is_hidden or not is_taken or len(parts) != _DEPTH:
                yield present
                continue
            is_met = True
            try:
                check_name(audio)
                links.check(audio, f"folder {self.root}")
                rows: list[Found] = [*self._segments(audio, parts)]
            except AudioError as error:
                yield Failure.of(error, id=stem(audio), audio=audio, root=self.root)
            except CorpusError as error:
                yield bad_row(error, audio, audio)
            else:
                yield from rows or [present]  # one without speech is left out
        if not is_met:
            raise CorpusError(
                f"corpus {self.name} in {self.root}",
                expected="audio as SUBSET/SPEAKER/BOOK/NAME.flac",
                got="none of this form",
                hint="set corpus.root to the folder that has small, medium or large",
            )

    def _segments(self, audio: str, parts: tuple[str, ...]) -> Iterator[CorpusRow]:
        """Give the segments of a recording, if all that its JSON says can be used."""
        where = str(PurePosixPath(audio).with_suffix(".json"))
        said = self._said(where)
        segments = said.get(_SEGMENTS)
        if not isinstance(segments, list):
            raise CorpusError(
                f"{_SEGMENTS} in {where}", expected="a list", got=brief(repr(segments))
            )
        speaker = as_text(said.get("speaker") or parts[1], f"speaker in {where}")
        times = [_times(one, f"{where}: {_SEGMENTS}[{at}]") for at, one in enumerate(segments)]
        for at, (start_s, end_s) in enumerate(times):
            if end_s - start_s >= self.min_s:
                yield CorpusRow(
                    id=name_segment(stem(audio), start_s, end_s - start_s),
                    audio=audio,
                    where=f"{where}: {_SEGMENTS}[{at}]",
                    start_s=start_s,
                    duration_s=end_s - start_s,
                    speaker=speaker,
                    language=self.language,
                    part=parts[0],
                    split=parts[0],
                )

    def _said(self, path: str) -> dict[str, Any]:
        try:
            data = read_any(self.root / path, _MAX_JSON)
        except FileNotFoundError as error:
            raise CorpusError(
                path, expected="the JSON beside the audio", got="nothing there"
            ) from error
        except OSError as error:
            raise CorpusError(path, expected="a readable file", got=error.strerror) from error
        said: dict[str, Any] = parse_json(data, path, CorpusError, nan=True)
        return said


def _times(segment: Any, where: str) -> tuple[float, float]:
    """Return the start and the end of a segment, in seconds."""
    if not (
        isinstance(segment, list)
        and len(segment) == 2
        and all(type(one) in (int, float) and math.isfinite(one) for one in segment)
        and 0 <= segment[0] < segment[1]
    ):
        raise CorpusError(
            where, expected="[start, end] in seconds, the end behind", got=brief(repr(segment))
        )
    return float(segment[0]), float(segment[1])
