"""How full the batches of samplers are, by the lengths of real speech."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from benchmarks.bars import Bar, Report
from benchmarks.extraction import DEMO
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.speech import SAMPLE_RATE, read_source
from featbank.base.framing import Framing
from featbank.dataset import BucketBatchSampler

LIMITS = (12_000, 24_000)
NUM_BUCKETS = 30  # of the peers: with more of them, their batches are emptier
NUM_EPOCHS = 5
FRAMES = Framing(sample_rate=SAMPLE_RATE, hop_length=160, window_length=400)

Lengths = npt.NDArray[np.int64]
Batches = list[list[int]]


def measure(shelf: Shelf, scale: Scale) -> Iterator[Report]:  # noqa: ARG001 - it takes a second
    """Batch the utterances of a corpus by the frames that 10 ms steps give of them."""
    rows = read_source(shelf.audio or DEMO)
    lengths = np.array([FRAMES.num_frames(row.num_samples) for row in rows], np.int64)
    for limit in LIMITS:
        kept = lengths[lengths <= limit]
        report = Report(
            f"Batches: {len(kept):,} utterances, median {np.median(kept):.0f} frames, of at most "
            f"{limit:,} frames",
            ["sampler", "batches", "padded / limit", "real / padded", "real / limit"],
        )
        for name, package, make in SAMPLERS:
            if find_spec(package) is None:
                report.rows.append([name, "not installed", "", "", ""])
                continue
            batches = [batch for epoch in range(NUM_EPOCHS) for batch in make(kept, limit, epoch)]
            padded = sum(int(kept[batch].max()) * len(batch) for batch in batches)
            real = sum(int(kept[batch].sum()) for batch in batches)
            room = limit * len(batches)
            report.rows.append(
                [name, len(batches) / NUM_EPOCHS, padded / room, real / padded, real / room]
            )
        ours = report.rows[0]
        report.bars = [
            Bar("padded / limit", 0.85, float(ours[2])),
            Bar("real / padded", 0.78, float(ours[3])),
            *(
                Bar(f"real / limit / {row[0]}'s", 1, float(ours[4]) / float(row[4]))
                for row in report.rows[1:]
                if row[1] != "not installed"
            ),
        ]
        if kept.sum() < 20 * limit:
            report.notes = [f"{kept.sum():,} frames are too few to judge by: take --audio"]
        yield report


def _ours(lengths: Lengths, limit: int, epoch: int) -> Batches:
    sampler = BucketBatchSampler(lengths, max_frames=limit)
    sampler.set_epoch(epoch)
    return list(sampler)


def _speechbrain(lengths: Lengths, limit: int, epoch: int) -> Batches:
    from speechbrain.dataio.sampler import DynamicBatchSampler

    sampler = DynamicBatchSampler(
        lengths,
        max_batch_length=limit,
        num_buckets=NUM_BUCKETS,
        lengths_list=lengths.tolist(),
        epoch=epoch,
    )
    return [list(batch) for batch in sampler]


def _lhotse(lengths: Lengths, limit: int, epoch: int) -> Batches:
    from lhotse import CutSet, MonoCut
    from lhotse.dataset import DynamicBucketingSampler

    cuts = CutSet.from_cuts(  # eager: a warning tells that it saves no memory
        MonoCut(id=str(row), start=0, duration=length / 100, channel=0)
        for row, length in enumerate(lengths.tolist())
    )
    sampler = DynamicBucketingSampler(
        cuts, max_duration=limit / 100, num_buckets=NUM_BUCKETS, shuffle=True, seed=0
    )
    sampler.set_epoch(epoch)
    return [[int(cut.id) for cut in batch] for batch in sampler]


SAMPLERS: Sequence[tuple[str, str, Callable[[Lengths, int, int], Batches]]] = (
    ("featbank BucketBatchSampler", "featbank", _ours),
    ("speechbrain DynamicBatchSampler", "speechbrain", _speechbrain),
    ("lhotse DynamicBucketingSampler", "lhotse", _lhotse),
)
