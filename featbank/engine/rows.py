"""Stream the utterances of a split in store order, and cut them into shards."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from featbank.audio import decided_by, length_at
from featbank.base.failures import Failure
from featbank.base.framing import Framing
from featbank.base.manifest import Utterance, iterate_with_offsets, read_rows_at
from featbank.errors import ManifestError
from featbank.features.base import Extractor
from featbank.features.shapes import BatchShape
from featbank.files.provenance import file_sha256
from featbank.numerics import with_audio
from featbank.store import Numerics, ShardCutter, ShardRow, row_bytes
from featbank.store.stamps import Stamp


def num_samples(row: Utterance, framing: Framing) -> int:
    """Return the samples that an utterance has at the rate of a frame grid, and its speed."""
    return length_at(row, framing.sample_rate)


def num_frames(row: Utterance, framing: Framing) -> int:
    """Return the frames that an utterance has."""
    return framing.num_frames(num_samples(row, framing))


def batch_shape_of(
    row: Utterance, extractor: Extractor, seconds_together: float
) -> BatchShape | None:
    """Return the shape that an utterance is computed in beside others; None for alone.

    Args:
        row: the utterance.
        extractor: that computes it.
        seconds_together: of audio in a batch; 0 for each utterance alone.
    """
    framing, limit = extractor.framing, extractor.max_samples
    length = num_samples(row, framing)
    if not seconds_together or (limit is not None and length > limit):
        return None
    return extractor.batch_shape(length, round(seconds_together * framing.sample_rate))


def task_numerics(numerics: Numerics, rows: Iterable[Utterance], framing: Framing) -> Numerics:
    """Return the class of a shard of some rows, made by a process of class `numerics`."""
    names = frozenset().union(*(decided_by(row, framing.sample_rate) for row in rows))
    return with_audio(numerics, names)


def laid_out(rows: Sequence[Utterance], framing: Framing) -> list[ShardRow]:
    """Return the rows of a shard as they are laid out before their values exist."""
    return [
        ShardRow(id=row.id, num_frames=num_frames(row, framing), input_digest=row.input_digest)
        for row in rows
    ]


class SplitRows:
    """The utterances of a manifest, in store order: by part, then by id.

    All are looked at once, so that a bad row ends a run before days of computing. Memory then holds
    none of them, but 8 bytes for each: the place of its line, for parts may be mixed in the file.

    Attributes:
        framing: of what will be computed.
        num_utterances: all rows of the manifest.
        duration_s: of all of them.
        num_frames: of all of them.
        too_short: those that have no frame.
        decided_by: decoders and the resampler that the samples of the others depend on.
    """

    def __init__(self, manifest: Path, framing: Framing) -> None:
        """Look at all rows.

        Args:
            manifest: of the split.
            framing: of what will be computed.

        Raises:
            ManifestError: the file is missing, or a line is no row, or not in order.
        """
        self._manifest = manifest
        self.framing = framing
        self._stamp, self._digest = Stamp.of(manifest), ""
        self.num_utterances, self.duration_s, self.num_frames = 0, 0.0, 0
        self.too_short: list[Failure] = []
        self.decided_by: set[str] = set()
        self._offsets: dict[str, array[int]] = {}
        for offset, row in iterate_with_offsets(manifest):
            self.num_utterances += 1
            self.duration_s += row.duration_s
            self.num_frames += num_frames(row, framing)
            self._offsets.setdefault(row.part, array("Q")).append(offset)
            if self._has_frame(row):
                self.decided_by |= decided_by(row, framing.sample_rate)
            else:
                self.too_short.append(self._failure(row))
        self._digest = file_sha256(manifest)

    def check(self) -> None:
        """Refuse to go on with a manifest that is another one by now.

        Raises:
            ManifestError: it is, or is gone.
        """
        stamp = Stamp.of(self._manifest)
        if stamp == self._stamp:
            return
        if stamp is None or file_sha256(self._manifest) != self._digest:
            raise ManifestError(
                f"manifest {self._manifest}",
                expected="the rows that the run began with",
                got="others" if stamp else "nothing there",
                hint="run again: what is finished is kept",
            )
        self._stamp = stamp  # a copy of it is as good

    def __iter__(self) -> Iterator[Utterance]:
        """Give the utterances that have a frame.

        Raises:
            ManifestError: the file has changed since all were looked at.
        """
        for part in sorted(self._offsets):
            self.check()
            yield from filter(self._has_frame, read_rows_at(self._manifest, self._offsets[part]))

    def _has_frame(self, row: Utterance) -> bool:
        return num_samples(row, self.framing) >= self.framing.min_samples

    def _failure(self, row: Utterance) -> Failure:
        return Failure(
            id=row.id,
            audio=row.audio,
            kind="too_short",
            error="shorter than one frame",
            expected=f"{self.framing.min_samples} samples at {self.framing.sample_rate} Hz",
            got=str(num_samples(row, self.framing)),
        )


def cut_into_shards(
    rows: Iterator[Utterance], value_bytes: Callable[[Utterance], int], target_bytes: int
) -> Iterator[Sequence[Utterance]]:
    """Give the rows shard by shard, as `plan_shards` cuts them, each as soon as it is certain.

    Args:
        rows: in store order.
        value_bytes: what the values of a row weigh.
        target_bytes: a shard weighs at most twice this, unless it is a single row.
    """
    for part, group in groupby(rows, key=lambda row: row.part):
        cutter = ShardCutter(part, target_bytes)
        waiting: list[Utterance] = []
        num_given = 0
        for row in group:
            key = row.id.encode()
            waiting.append(row)
            for cut in cutter.extend([(key, row_bytes(key, value_bytes(row)))]):
                yield waiting[: cut - num_given]
                del waiting[: cut - num_given]
                num_given = cut
        yield waiting
