"""Whether batches on a device give what an utterance alone gives: before any rate is worth a look.

Weights are random, and of encoders three layers are run: each kind of layer is among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from benchmarks.bars import Bar, Report
from benchmarks.gpu.batches import filled
from benchmarks.gpu.models import Model
from featbank.base.building import build
from featbank.features.base import AudioBatch, Extractor
from featbank.features.shapes import BatchShape
from featbank.numerics import Computing

NUM_ROWS = 6
NUM_CENTROIDS = 100

_CLOSE = 1e-3  # in float32: another order of sums
_CLOSE_CODES = 0.01  # nearly equally near centroids, and what follows from them
_FLIPS = 0.05

Rows = Sequence[torch.Tensor]
"""The only output of each utterance, (num_frames, ...), on the CPU."""


def correctness() -> Report:
    """Return the report, empty yet, that the checks of all models go into."""
    title = f"Correctness: {NUM_ROWS} ragged utterances in a batch with empty rows"
    return Report(title, ["model", "check", "found", "at most"])


class Checks:
    """Checks of one model.

    Args:
        model: to be checked.
        waveforms: of at least `NUM_ROWS` utterances, ragged.
        computing: device, and seconds together.
    """

    def __init__(self, model: Model, waveforms: Rows, computing: Computing) -> None:
        self._model = model
        self._device = torch.device(computing.device)
        self._extractor = self._made("float32")
        self._waveforms = list(waveforms[:NUM_ROWS])
        longest = max(map(len, self._waveforms))
        shape = self._extractor.batch_shape(longest, NUM_ROWS * longest)
        if shape is None:
            shape = BatchShape(rows=NUM_ROWS, samples=longest)
        # two rows are left over, which hold silence
        self._shape = BatchShape(rows=NUM_ROWS + 2, samples=shape.samples)

    def add_to(self, report: Report) -> None:
        """Make all checks, a row of the report each, and one bar for them together."""
        num_failed = 0
        for text, bound, value in self._found():
            num_failed += value > bound
            report.rows.append([self._model.option, text, value, bound])
        report.bars.append(
            Bar(f"{self._model.option}: checks that failed", 0, num_failed, at_most=True)
        )

    def _found(self) -> Iterator[tuple[str, float, float]]:
        """Give what is checked, its bound, and what was found."""
        together = self._batched(self._waveforms)
        yield "utterances whose bits others in their shape change", 0, self._changed(together)
        alone = self._alone(self._waveforms)
        what = "codes that differ" if self._model.is_codec else "greatest relative difference"
        bound = _CLOSE_CODES if self._model.is_codec else _CLOSE
        yield f"padded in a batch against alone: {what}", bound, self._distance(together, alone)
        shortest = min(map(len, self._waveforms))
        cut = [waveform[:shortest] for waveform in self._waveforms]
        equal = self._batched(cut, BatchShape(rows=NUM_ROWS, samples=shortest))
        yield (
            f"of one length in a batch against alone: {what}",
            bound,
            self._distance(equal, self._alone(cut)),
        )
        if getattr(self._extractor, "uses_graphs", False):  # on a CPU there are none
            yield "utterances whose bits graphs change", 0, self._changed_by_graphs(together)
        if not self._model.is_codec and self._model.precision:
            self._extractor = self._made(self._model.precision)
            lower = self._batched(self._waveforms)
            yield (
                f"{self._model.precision}: utterances whose bits others in their shape change",
                0,
                self._changed(lower),
            )
            if getattr(self._extractor, "uses_graphs", False):
                text = f"{self._model.precision}: utterances whose bits graphs change"
                yield text, 0, self._changed_by_graphs(lower)
            yield (
                f"{self._model.precision} against float32: flip rate of units, "
                f"{NUM_CENTROIDS} centroids",
                _FLIPS,
                _flips(lower, together),
            )

    def _made(self, precision: str) -> Extractor:
        extractor: Extractor = build({**self._model.checked(precision)})
        extractor.to(str(self._device))
        return extractor

    @property
    def _sample_rate(self) -> int:
        return self._extractor.framing.sample_rate

    @torch.inference_mode()
    def _batched(self, waveforms: Rows, shape: BatchShape | None = None) -> list[torch.Tensor]:
        """Compute waveforms as rows of one shape."""
        batch = filled(shape or self._shape, waveforms, self._device)
        features = self._extractor.compute_batch(batch.waveforms, batch.num_samples)
        [name] = self._extractor.outputs
        framing = self._extractor.framing
        return [
            row[: framing.num_frames(len(waveform))].cpu()
            for row, waveform in zip(features[name], waveforms, strict=False)
        ]

    def _alone(self, waveforms: Rows) -> list[torch.Tensor]:
        """Compute each waveform by itself, without a shape."""
        [name] = self._extractor.outputs
        return [
            torch.from_numpy(
                self._extractor.compute_features(AudioBatch(ids=["a"], waveforms=[one]), "")[0][
                    name
                ]
            )
            for one in waveforms
        ]

    def _changed(self, together: Rows) -> int:
        """Count utterances that are other bits among other mates, in another row, or alone."""
        backwards = self._batched(self._waveforms[::-1])[::-1]
        changed = {
            number
            for number, (one, other) in enumerate(zip(together, backwards, strict=True))
            if not torch.equal(one, other)
        }
        for number, waveform in enumerate(self._waveforms):
            [single] = self._batched([waveform])  # all other rows are empty
            if not torch.equal(single, together[number]):
                changed.add(number)
        return len(changed)

    def _changed_by_graphs(self, together: Rows) -> int:
        """Count utterances that are other bits computed eagerly than by a captured graph."""
        for _ in range(3):  # a shape is captured when it is seen for the third time
            captured = self._batched(self._waveforms)
        settings: Any = self._extractor
        settings.uses_graphs = False
        eager = self._batched(self._waveforms)
        settings.uses_graphs = True
        return sum(
            not (torch.equal(one, other) and torch.equal(one, first))
            for one, other, first in zip(captured, eager, together, strict=True)
        )

    def _distance(self, ones: Rows, others: Rows) -> float:
        """Return the greatest difference next to the greatest value; of codes, the share."""
        if self._model.is_codec:
            differing = sum(int((a != b).sum()) for a, b in zip(ones, others, strict=True))
            return differing / sum(map(torch.numel, others))
        return max(
            float((a.double() - b.double()).abs().max() / b.double().abs().max())
            for a, b in zip(ones, others, strict=True)
        )


def _flips(ones: Rows, others: Rows) -> float:
    """Return the share of frames that are nearest to another centroid than before.

    The centroids are k-means of the others, three rounds from frames drawn by chance.
    """
    now, before = torch.cat(list(ones)).float(), torch.cat(list(others)).float()
    chosen = torch.randperm(len(before), generator=torch.Generator().manual_seed(0))
    centroids = before[chosen[:NUM_CENTROIDS]].clone()
    for _ in range(3):
        nearest = torch.cdist(before, centroids).argmin(dim=1)
        for unit in nearest.unique():
            centroids[unit] = before[nearest == unit].mean(dim=0)
    flipped = torch.cdist(now, centroids).argmin(1) != torch.cdist(before, centroids).argmin(1)
    return float(flipped.float().mean())
