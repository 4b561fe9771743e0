"""Batches on a device as the engine forms them, of real speech."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from featbank.features.base import Extractor
from featbank.features.shapes import BatchShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Waveforms of one shape on a device.

    Args:
        waveforms: (rows, samples) float32, zeros behind each end.
        num_samples: (rows,) int64; silence of full length where there is no utterance.
        lengths: of the utterances, in samples.
    """

    waveforms: torch.Tensor
    num_samples: torch.Tensor
    lengths: Sequence[int]


def filled(shape: BatchShape, waveforms: Iterable[torch.Tensor], device: torch.device) -> Batch:
    """Put waveforms into the rows of a shape, in their order."""
    rows = torch.zeros(shape.rows, shape.samples)
    lengths = []
    for row, waveform in zip(rows, waveforms, strict=False):
        row[: len(waveform)] = waveform
        lengths.append(len(waveform))
    num_samples = torch.full((shape.rows,), shape.samples, dtype=torch.int64)
    num_samples[: len(lengths)] = torch.tensor(lengths)
    return Batch(waveforms=rows.to(device), num_samples=num_samples.to(device), lengths=lengths)


def full_batches(
    extractor: Extractor,
    waveforms: Iterable[torch.Tensor],
    batch_samples: int,
    device: torch.device,
    most: int,
) -> list[Batch]:
    """Return the first batches that fill up as waveforms come in, `most` at most.

    Waveforms that the extractor computes alone are passed by.
    """
    filling: dict[BatchShape, list[torch.Tensor]] = {}
    found: list[Batch] = []
    for waveform in waveforms:
        shape = extractor.batch_shape(len(waveform), batch_samples)
        if shape is None:
            continue
        waiting = filling.setdefault(shape, [])
        waiting.append(waveform)
        if len(waiting) == shape.rows:
            found.append(filled(shape, filling.pop(shape), device))
            if len(found) == most:
                return found
    # little speech, or large batches: what there is has to do
    found += [filled(shape, waiting, device) for shape, waiting in filling.items()]
    return found[:most]


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize()
