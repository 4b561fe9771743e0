"""Time the decoding of a sample of each kind of file, as the threads of a worker decode."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from featbank.audio import open_audio
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance
from featbank.base.progress import Advance
from featbank.engine.forecast.drawing import Row
from featbank.engine.forecast.kinds import AudioKind, KindLeft, end_s
from featbank.engine.reading import AudioReader
from featbank.errors import AudioError
from featbank.files.remote import any_path

_LONGEST_S = 60.0  # of an utterance: more of it is decoded no faster


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingTask:
    """The files to decode.

    Args:
        kinds: utterances of each, drawn by chance.
        num_threads: that decode at a time; 0 only looks whether the files can seek.
        limit_s: of wall-clock time for all kinds together; one file may take longer.
    """

    kinds: Mapping[AudioKind, Sequence[Row]]
    num_threads: int
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedKind:
    """How files of a kind decode.

    Args:
        can_seek: whether a segment is read without decoding all before it; None where no file of
            the kind could be opened.
        real_time_factor: seconds of audio a second, of all threads together, resampling included:
            of what is decoded, from its start on where a file cannot seek. None where it was not
            measured.
    """

    can_seek: bool | None = None
    real_time_factor: float | None = None

    def decoded_s(self, left: KindLeft) -> float:
        """Return the seconds of audio that are decoded for what is left of the kind."""
        return left.reach_s if self.can_seek is False else left.audio_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedDecoding:
    """How the files of a corpus decode on this machine.

    Args:
        num_threads: that decoded at a time; 0 where nothing was timed.
        kinds: that were looked at.
    """

    num_threads: int
    kinds: Mapping[AudioKind, DecodedKind]

    def real_time_factor(self, left: Mapping[AudioKind, KindLeft]) -> float | None:
        """Return seconds of utterances a second over all that is left, of all threads together.

        Kinds of which no file could be decoded are taken to be as fast as the others.
        """
        audio_s = seconds = 0.0
        for kind, of_kind in left.items():
            found = self.kinds.get(kind, DecodedKind())
            if found.real_time_factor is not None:
                audio_s += of_kind.audio_s
                seconds += found.decoded_s(of_kind) / found.real_time_factor
        return audio_s / seconds if seconds else None


class DecodingTimer:
    """Decodes samples, and measures that; what it decodes is dropped.

    Args:
        audio_root: folder that the manifests' paths are relative to.
        framing: of the extractor, whose rate is resampled to.
    """

    def __init__(self, audio_root: str, framing: Framing) -> None:
        self._root = audio_root
        self._reader = AudioReader(audio_root, framing, None)

    def __call__(self, task: DecodingTask, _: Advance) -> TimedDecoding:
        """Time each kind for its share of the limit."""
        limit_s = task.limit_s / max(1, len(task.kinds))
        return TimedDecoding(
            num_threads=task.num_threads,
            kinds={
                kind: self._timed(_cut(rows), task.num_threads, limit_s)
                for kind, rows in task.kinds.items()
            },
        )

    def _timed(self, rows: Sequence[Utterance], num_threads: int, limit_s: float) -> DecodedKind:
        can_seek, number = self._can_seek(rows)
        if can_seek is None or not num_threads:
            return DecodedKind(can_seek=can_seek)
        rows = rows[number:]
        if not can_seek:  # decoded from its start: what ends soon says as much, and sooner
            rows = sorted(rows, key=end_s)
        self._decoded_s(rows[0], can_seek=can_seek)  # so that no library is loaded while time runs
        start = time.perf_counter()

        def decode(row: Utterance) -> float:
            late = time.perf_counter() - start > limit_s
            return 0.0 if late else self._decoded_s(row, can_seek=can_seek)

        with ThreadPoolExecutor(num_threads, thread_name_prefix="decode") as threads:
            decoded_s = sum(threads.map(decode, rows))
        seconds = time.perf_counter() - start
        return DecodedKind(
            can_seek=can_seek, real_time_factor=decoded_s / seconds if decoded_s else None
        )

    def _can_seek(self, rows: Sequence[Utterance]) -> tuple[bool | None, int]:
        """Tell whether files of a kind can seek, by the first that opens, and which that is."""
        for number, row in enumerate(rows):
            try:
                path = str(any_path(self._root) / row.audio)
                with open_audio(path, digest=row.audio_digest) as audio:
                    return audio.can_seek, number
            except AudioError:
                continue
        return None, len(rows)

    def _decoded_s(self, row: Utterance, *, can_seek: bool) -> float:
        """Decode an utterance; return how many seconds that was, 0 where it fails."""
        try:
            self._reader.read(row)
        except AudioError:
            return 0.0
        return row.duration_s if can_seek else end_s(row)


def _cut(rows: Sequence[Row]) -> list[Utterance]:
    """Return the beginnings of utterances."""
    return [
        replace(row, num_samples=min(row.num_samples, round(_LONGEST_S * row.played_rate)))
        for _, row in rows
    ]
