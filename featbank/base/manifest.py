"""The manifest: the utterances of one split, as JSON lines sorted by id."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from featbank.base.speeds import check_speed, played_rate
from featbank.errors import FeatbankError, ManifestError
from featbank.files.json_files import parse_json
from featbank.files.opening import (
    MAX_LINE,
    NotAFileError,
    TooLargeError,
    bounded_lines,
    open_regular,
)
from featbank.files.provenance import canonical_json, write_atomic_lines

MIX_CHANNELS = -1
"""`Utterance.channel` of an utterance that is the mean of its file's channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One row of a manifest; times are exact: samples of the file's own rate, not rounded seconds.

    Args:
        id: unique in the corpus; from the relative path, since base names repeat.
        audio: path of the audio file relative to the corpus root, with forward slashes.
        audio_digest: `md5:<hex>` (a FLAC's own, of its samples) or `sha256:<hex>` (of its bytes).
        sample_rate: of the file, in Hz.
        start_sample: first sample of the utterance in the file.
        num_samples: samples of the utterance, as really decoded.
        channel: index from 0, or `MIX_CHANNELS`.
        speaker, language, text: as the corpus gives them; empty when it does not.
        part: optional group whose utterances share shards, so that a corpus can grow by parts.
        speed: that it is played at, of `featbank.base.speeds`; written where it is not 1.
        license, consent: its own terms (`featbank.base.terms`); written where the corpus says them.
    """

    id: str
    audio: str
    audio_digest: str
    sample_rate: int
    num_samples: int
    start_sample: int = 0
    channel: int = 0
    speaker: str = ""
    language: str = ""
    text: str = ""
    part: str = ""
    speed: float = 1.0
    license: str = ""
    consent: str = ""

    @property
    def played_rate(self) -> int:
        """Rate of the samples as they are played, in Hz: the file's own, at speed 1."""
        return played_rate(self.sample_rate, self.speed)

    @property
    def start_s(self) -> float:
        """Start in the file, in seconds."""
        return self.start_sample / self.sample_rate

    @property
    def duration_s(self) -> float:
        """Length as it is played, in seconds."""
        return self.num_samples / self.played_rate

    @property
    def input_digest(self) -> bytes:
        """The 16-byte digest of what an extractor sees: audio, rate, start, length, channel.

        The speed is among them where it is not 1.
        """
        seen: list[str | int | float] = [
            self.audio_digest,
            self.sample_rate,
            self.start_sample,
            self.num_samples,
            self.channel,
        ]
        if self.speed != 1:
            seen.append(self.speed)
        return sha256(canonical_json(seen).encode()).digest()[:16]


class UtteranceTuple(NamedTuple):
    """An `Utterance` as a named tuple, five times as fast to make, for ten million of them."""

    id: str
    audio: str
    audio_digest: str
    sample_rate: int
    start_sample: int
    num_samples: int
    channel: int
    speaker: str
    language: str
    text: str
    part: str
    speed: float = 1.0
    license: str = ""
    consent: str = ""


tuple_of = functools.partial(tuple.__new__, UtteranceTuple)
"""Makes one of all fields, in order, at a third of the usual price."""

_quoted = json.encoder.encode_basestring
_TYPES = {
    field.name: {"int": int, "float": float}.get(str(field.type), str)
    for field in fields(Utterance)
}
# words of plain letters joined by single dots and slashes: nothing bad fits this pattern
_ORDINARY = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*")
_BAD_SEGMENTS = frozenset(["", ".", ".."])
_BAD_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HALF_PAIR = re.compile(r"[\ud800-\udfff]")
_BOUNDS = {
    "sample_rate": (1, 2**31 - 1),
    "num_samples": (0, 2**62),
    "start_sample": (-(2**62), 2**62),  # one before its file is a failure of that row
    "channel": (MIX_CHANNELS, 2**16),
}
_REQUIRED = {"id", "audio", "audio_digest", "sample_rate", "num_samples"}


def check_id(utterance_id: str, error: type[FeatbankError] = ManifestError) -> None:
    """Refuse an id that could not name a row in a file, or a file below a folder.

    Raises:
        FeatbankError: as `error`, when the id is no text, is empty, is not valid Unicode, has a
            control character or a line separator, or, read as a path, has an empty segment, `.` or
            `..`.
    """
    try:
        if _ORDINARY.fullmatch(utterance_id):
            return  # most are, and this is called for each of ten million
    except TypeError as wrong:
        raise error(
            f"utterance id {utterance_id!r}", expected="a text", got=type(utterance_id).__name__
        ) from wrong
    if any(segment in _BAD_SEGMENTS for segment in utterance_id.split("/")):
        got = "an empty one" if not utterance_id else "an empty segment, '.' or '..'"
    elif _BAD_CHARACTERS.search(utterance_id):
        got = "a control character, a line separator or a lone surrogate"
    else:
        return
    raise error(f"utterance id {utterance_id!r}", expected="a name or a relative path", got=got)


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write one split, sorted by id, atomically. No utterance at all is a valid, empty split.

    Raises:
        ManifestError: an id occurs twice.
    """
    rows = sorted(utterances, key=lambda utterance: utterance.id)
    for previous, row in pairwise(rows):
        if previous.id == row.id:
            raise ManifestError(
                f"utterance {row.id!r}",
                expected="an id once",
                got=f"{previous.audio} and {row.audio}",
            )
    write_atomic_lines(path, ((manifest_line(row) + "\n").encode() for row in rows))


def manifest_line(utterance: Utterance | UtteranceTuple) -> str:
    """Return an utterance's line without its end: canonical JSON, of ten million of them."""
    speed = "" if utterance.speed == 1 else f',"speed":{utterance.speed!r}'
    consent = f',"consent":{_quoted(utterance.consent)}' if utterance.consent else ""
    its_license = f',"license":{_quoted(utterance.license)}' if utterance.license else ""
    return (
        f'{{"audio":{_quoted(utterance.audio)},"audio_digest":{_quoted(utterance.audio_digest)}'
        f',"channel":{utterance.channel}{consent},"id":{_quoted(utterance.id)}'
        f',"language":{_quoted(utterance.language)}{its_license}'
        f',"num_samples":{utterance.num_samples}'
        f',"part":{_quoted(utterance.part)},"sample_rate":{utterance.sample_rate}'
        f',"speaker":{_quoted(utterance.speaker)}{speed},"start_sample":{utterance.start_sample}'
        f',"text":{_quoted(utterance.text)}}}'
    )


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read one split.

    Raises:
        ManifestError: the file is missing, or a line is no row, or not in order.
    """
    return list(iterate_manifest(path))


def iterate_manifest(path: str | Path) -> Iterator[Utterance]:
    """Give the rows of one split, of which memory holds one at a time.

    Raises:
        ManifestError: the file is missing, or a line is no row, or not in order.
    """
    return (row for _, row in iterate_with_offsets(path))


def iterate_with_offsets(path: str | Path) -> Iterator[tuple[int, Utterance]]:
    """Give the rows of one split, each after the byte of the file at which it begins.

    Raises:
        ManifestError: the file is missing, or a line is no row, or not in order.
    """
    path = Path(path)
    hint = f"run python stages/prepare.py corpus={path.parent.name}"
    last_id = ""  # no id is empty
    offset = 0
    try:
        with open_regular(path) as file:
            for number, line in enumerate(bounded_lines(file), start=1):
                row = _parse_row(line, f"{path}:{number}")
                if row.id <= last_id:
                    raise ManifestError(
                        f"{path}:{number}", expected=f"an id after {last_id!r}", got=repr(row.id)
                    )
                last_id = row.id
                yield offset, row
                offset += len(line)
    except FileNotFoundError as error:
        raise ManifestError(
            f"manifest {path}", expected="a file", got="nothing there", hint=hint
        ) from error
    except (NotAFileError, TooLargeError) as error:
        raise ManifestError(
            f"manifest {path}", expected="a file of lines", got=error.strerror, hint=hint
        ) from error


def read_rows_at(path: str | Path, offsets: Iterable[int]) -> Iterator[Utterance]:
    """Give the rows that begin at some bytes of a manifest, in the order of these.

    Raises:
        ManifestError: the file has changed since the bytes were counted.
    """
    with open_regular(path) as file:
        for offset in offsets:
            if file.tell() != offset:
                file.seek(offset)
            yield _parse_row(file.readline(MAX_LINE), f"{path}, byte {offset}")


def part_order(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the utterances in store order: by part, then by id."""
    return sorted(utterances, key=lambda utterance: (utterance.part, utterance.id))


def _parse_row(line: bytes, where: str) -> Utterance:
    row = parse_json(line, where, ManifestError, surrogates=True)
    if unknown := sorted(set(row) - set(_TYPES)):
        raise ManifestError(
            where, expected=f"fields among {', '.join(_TYPES)}", got=", ".join(unknown)
        )
    if missing := sorted(_REQUIRED - set(row)):
        raise ManifestError(where, expected=f"fields {', '.join(missing)}", got="none of them")
    for name, value in row.items():
        if type(value) is not _TYPES[name]:
            raise ManifestError(
                f"{where}: {name}",
                expected=_TYPES[name].__name__,
                got=f"{type(value).__name__} {value!r}",
            )
    utterance = Utterance(**row)
    if b"\\" in line:
        # a name of a file may be no UTF-8, and its row fails; nothing else may
        texts = [value for name, value in row.items() if _TYPES[name] is str and name != "audio"]
        if _HALF_PAIR.search(" ".join(texts)):
            raise ManifestError(where, expected="Unicode text", got="half a surrogate pair")
    for name, (least, most) in _BOUNDS.items():
        if not least <= (value := getattr(utterance, name)) <= most:
            raise ManifestError(f"{where}: {name}", expected=f"{least} to {most}", got=value)
    if utterance.speed != 1:
        check_speed(utterance.speed, f"{where}: speed", ManifestError)
    check_id(utterance.id)
    _check_audio(utterance, where)
    return utterance


def _check_audio(utterance: Utterance, where: str) -> None:
    if not utterance.audio_digest:  # a decoder takes it for any
        raise ManifestError(f"{where}: audio_digest", expected="a digest", got="''")
    if any(segment in _BAD_SEGMENTS for segment in utterance.audio.split("/")):
        raise ManifestError(
            f"{where}: audio", expected="a path below the corpus root", got=repr(utterance.audio)
        )
