"""The utterances of a split as a run takes them: streamed, in store order, cut into shards."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from featbank.audio import resampled_length
from featbank.failures import Failure
from featbank.framing import Framing
from featbank.manifest import Utterance, iterate_with_offsets, read_rows_at
from featbank.store import ShardCutter, row_bytes


def num_samples(row: Utterance, framing: Framing) -> int:
    """Return the samples that an utterance has at the rate of a frame grid."""
    return resampled_length(row.num_samples, row.sample_rate, framing.sample_rate)


def num_frames(row: Utterance, framing: Framing) -> int:
    """Return the frames that an utterance has."""
    return framing.num_frames(num_samples(row, framing))


class SplitRows:
    """The utterances of a manifest, in store order: by part, then by id.

    All are looked at once, so that a bad row ends a run before days of computing. Memory then holds
    none of them, and 8 bytes for each where the corpus has parts.

    Attributes:
        num_utterances: all rows of the manifest.
        duration_s: of all of them.
        num_frames: of all of them.
        too_short: those that have no frame.
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
        self._framing = framing
        self.num_utterances, self.duration_s, self.num_frames = 0, 0.0, 0
        self.too_short: list[Failure] = []
        self._offsets: dict[str, array[int]] = {}
        for offset, row in iterate_with_offsets(manifest):
            self.num_utterances += 1
            self.duration_s += row.duration_s
            self.num_frames += num_frames(row, framing)
            self._offsets.setdefault(row.part, array("Q")).append(offset)
            if not self._has_frame(row):
                self.too_short.append(self._failure(row))

    def __iter__(self) -> Iterator[Utterance]:
        """Give the utterances that have a frame."""
        for part in sorted(self._offsets):
            yield from filter(self._has_frame, read_rows_at(self._manifest, self._offsets[part]))

    def _has_frame(self, row: Utterance) -> bool:
        return num_samples(row, self._framing) >= self._framing.min_samples

    def _failure(self, row: Utterance) -> Failure:
        return Failure(
            id=row.id,
            audio=row.audio,
            kind="too_short",
            error="shorter than one frame",
            expected=f"{self._framing.min_samples} samples at {self._framing.sample_rate} Hz",
            got=str(num_samples(row, self._framing)),
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
