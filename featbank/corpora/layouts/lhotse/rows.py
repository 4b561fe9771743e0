"""Turn lhotse's cuts into rows: a stretch of a file each, with what is said in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from featbank.base.failures import brief
from featbank.base.terms import TERMS
from featbank.corpora.base import CorpusRow, Found, Present, bad_row
from featbank.corpora.layouts.lhotse.said import (
    Said,
    channels_of,
    list_of,
    mapping_of,
    seconds_of,
    text_of,
    value_at,
)
from featbank.corpora.paths import AudioPaths
from featbank.errors import CorpusError

FIELDS = ("speaker", "language", "text", "part", *TERMS)
"""What of a row can be taken from another place in a manifest than the usual one."""

_USUAL = ("speaker", "language", "text")  # of them, what lhotse says itself
_ROUNDING_S = 1e-3  # by which sums of times may fall before the start of a file
_DIGITS = 8  # to which lhotse rounds times
_NO_FILES = {
    "command": "a command, which is never run; write what it gives to a file",
    "url": "a URL; download what it names",
    "memory": "audio in the manifest itself; write it to files, or as Shar",
    "shar": "a place in a Shar; name the folder of the Shar in corpus.manifests",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LhotseCut:
    """A stretch of a recording, with the supervisions in it.

    Args:
        said: the line of the manifest.
        where: it stands, for messages.
        recording: of which it is.
        supervisions: each with where it stands; times are from the start of the cut.
    """

    said: Said
    where: str
    recording: Said
    supervisions: Sequence[tuple[Said, str]]

    @classmethod
    def of(cls, said: Said, where: str) -> LhotseCut:
        """Take a line of a CutSet.

        Raises:
            CorpusError: it is of several recordings, or of none.
        """
        kind = said.get("type", "MonoCut")
        if kind not in ("MonoCut", "MultiCut", "LhotseCut"):
            raise CorpusError(
                where,
                expected="a MonoCut or MultiCut, which is of one recording",
                got=brief(str(kind)),
                hint="mixes and padding are no audio of a corpus",
            )
        recording = mapping_of(said.get("recording"), f"recording in {where}")
        supervisions = list_of(said.get("supervisions") or [], f"supervisions in {where}")
        one = len(supervisions) == 1
        return cls(
            said=said,
            where=where,
            recording=recording,
            supervisions=[
                (each, where if one else f"{where}, supervision {number}")
                for number, each in enumerate(supervisions)
            ],
        )

    @classmethod
    def whole(
        cls, recording: Said, where: str, supervisions: Sequence[tuple[Said, str]]
    ) -> LhotseCut:
        """Take a recording as a cut, as lhotse does where there is none."""
        return cls(
            said={**recording, "start": 0},
            where=where,
            recording=recording,
            supervisions=supervisions,
        )


class CutRows:
    """Makes the rows of cuts.

    Args:
        by_cut: whether there is one row a cut; else there is one a supervision.
        fields: where in a supervision, or in a cut, a field of its row stands: `custom.texts.0`.
        language: of what does not say its own.
        channel: taken of what is of several channels; None, or below 0, leaves that to the file.
        paths: checks paths.
    """

    def __init__(
        self,
        *,
        by_cut: bool,
        fields: Mapping[str, str],
        language: str,
        channel: int | None,
        paths: AudioPaths,
    ) -> None:
        self._by_cut = by_cut
        self._fields = {field: at.split(".") for field, at in fields.items()}
        self._language = language
        self._channel = channel
        self._paths = paths

    def of(self, cut: LhotseCut, split: str) -> Iterator[Found]:
        """Yield the rows of a cut, or why one cannot be; of a cut that has none, its audio files.

        Args:
            cut: a line of a manifest, or what was joined.
            split: of the rows; empty for none.
        """
        if self._by_cut:
            yield self._made(cut.said, cut.where, cut, split, 0.0)
        elif not cut.supervisions:
            yield from self._unused(cut)
        else:
            for said, where in cut.supervisions:
                yield self._made(said, where, cut, split, None)

    def _made(
        self, said: Said, where: str, cut: LhotseCut, split: str, start_s: float | None
    ) -> Found:
        """Return the row of a supervision, or of a cut where its start is given."""
        try:
            mapping_of(said, where)
            if start_s is None:
                start_s = seconds_of(said, "start", where)
                usual = {one: text_of(said.get(one), f"{one} in {where}") for one in _USUAL}
            else:
                usual = _joined(cut.supervisions)
            texts = {**usual, **self._told(said, where)}
            row = self._row(said, where, cut, start_s)._replace(
                speaker=texts["speaker"],
                language=texts["language"] or self._language,
                text=texts["text"],
                part=texts.get("part", ""),
                split=split,
                license=texts.get("license", ""),
                consent=texts.get("consent", ""),
            )
        except CorpusError as error:
            return bad_row(error, where)
        # what leads out of the corpus ends the run, as in every layout
        self._paths.check_links(row.audio, where)
        return row

    def _told(self, said: Said, where: str) -> dict[str, str]:
        """Return what `fields` finds, by field."""
        return {
            one: value_at(said, at, f"{one} in {where}", may_lack=one in TERMS)
            for one, at in self._fields.items()
        }

    def _row(self, said: Said, where: str, cut: LhotseCut, start_s: float) -> CorpusRow:
        offset_s = seconds_of(cut.said, "start", where)
        file_s = seconds_of(cut.recording, "duration", f"recording of {where}")
        start_s = round(offset_s + start_s, _DIGITS)
        duration_s = seconds_of(said, "duration", where)
        if -_ROUNDING_S < start_s < 0:
            start_s = 0.0
        if start_s < 0 or duration_s <= 0:
            raise CorpusError(
                f"times in {where}",
                expected="a start in the recording, and a duration above 0",
                got=f"{start_s} s and {duration_s} s",
            )
        own = said.get("channel", cut.said.get("channel", cut.recording.get("channel_ids")))
        source, channel = self._source(cut.recording, channels_of(own, where), where)
        is_whole = start_s == 0 and abs(duration_s - file_s) < 10**-_DIGITS
        return CorpusRow(
            id=text_of(said.get("id"), f"id in {where}"),
            audio=self._paths.relative(source, where),
            where=where,
            start_s=start_s,
            duration_s=None if is_whole else duration_s,
            claimed_duration_s=file_s,
            channel=channel,
        )

    def _source(
        self, recording: Said, channels: Sequence[int], where: str
    ) -> tuple[str, int | None]:
        """Return the file that has some channels of a recording, and which one of it is meant.

        None for the channel leaves that to `corpus.channel`, for all of the file are meant.
        """
        files = _files(recording, where)
        if transforms := recording.get("transforms"):
            raise CorpusError(
                f"recording of {where}",
                expected="audio as its file has it",
                got=f"transforms: {brief(json.dumps(transforms))}",
                hint="save what they make with lhotse (`save_audios`)",
            )
        channels = channels or [one for _, own in files for one in own]
        if self._channel is not None and self._channel in channels and len(channels) > 1:
            channels = [self._channel]
        for source, own in files:
            if len(channels) == 1 and channels[0] in own:
                return source, own.index(channels[0])
            if set(channels) == set(own):
                return source, None if len(own) > 1 else 0
        raise CorpusError(
            f"channels {', '.join(map(str, channels))} in {where}",
            expected="one channel of the recording, or all of one file; it has "
            + ", and ".join(", ".join(map(str, own)) for _, own in files),
            got="others",
            hint="corpus.channel names the one to take",
        )

    def _unused(self, cut: LhotseCut) -> Iterator[Present]:
        """Yield the files of what nothing is said of, so that they are counted."""
        try:
            sources = [source for source, _ in _files(cut.recording, cut.where)]
            files = [self._paths.relative(source, cut.where) for source in sources]
        except CorpusError:
            return  # nothing would be read of them
        for audio in files:
            yield Present(audio=audio)


def _files(recording: Said, where: str) -> list[tuple[str, list[int]]]:
    """Return the files of a recording, each with the numbers of its channels."""
    files = []
    where = f"recording of {where}"
    for source in list_of(recording.get("sources"), f"sources of the {where}"):
        kind = mapping_of(source, f"source of the {where}").get("type")
        name = source.get("source")
        if kind == "file" and isinstance(name, str) and "://" in name:
            kind = "url"
        if kind != "file" or not isinstance(name, str):
            raise CorpusError(
                where,
                expected="a file",
                got=_NO_FILES.get(str(kind)) or brief(f"{kind}: {name!r}"),
            )
        files.append((name, channels_of(source.get("channels"), where)))
    if not files:
        raise CorpusError(where, expected="sources", got="none")
    return files


def _joined(supervisions: Sequence[tuple[Said, str]]) -> dict[str, str]:
    """Return what the supervisions of a cut say together: their texts, and what is said by all."""
    found: dict[str, list[str]] = {field: [] for field in _USUAL}
    said = [(mapping_of(one, where), where) for one, where in supervisions]
    for one, where in sorted(said, key=lambda each: seconds_of(each[0], "start", each[1])):
        for field, texts in found.items():
            texts.append(text_of(one.get(field), f"{field} in {where}"))
    return {
        field: " ".join(filter(None, texts))
        if field == "text"
        else (texts[0] if len(set(texts)) == 1 else "")
        for field, texts in found.items()
    }
