"""Call an extractor with utterances, together or alone, and have what it gives on the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.base.manifest import Utterance
from featbank.base.routing import route
from featbank.errors import AudioError, FeatbankError
from featbank.features.base import AudioBatch, Extractor, LongWaveform
from featbank.features.shapes import BatchShape

Features = Mapping[str, object]
"""An array (T, ...) for each feature name, of one utterance or of a piece of it."""

Waveform = NDArray[np.float32]


class Caller:
    """Calls the methods of an extractor that give arrays.

    Args:
        extractor: to be called.
        batch_samples: computed together on a device; 0 for each utterance alone.
    """

    def __init__(self, extractor: Extractor, batch_samples: int = 0) -> None:
        self._extractor = extractor
        self._batch_samples = batch_samples

    def together(
        self,
        rows: Sequence[Utterance],
        waveforms: Sequence[Waveform],
        shape: BatchShape | None,
        split: str,
    ) -> list[Features]:
        """Compute waveforms in one call of `compute_features`.

        Raises:
            AudioError: one of them cannot be computed.
            FeatbankError: what comes back is not theirs, or there is too little memory.
        """
        batch = AudioBatch(
            ids=[row.id for row in rows],
            waveforms=[torch.from_numpy(waveform) for waveform in waveforms],
            shape=shape,
        )
        what = f"{shape.rows} x {shape.samples}" if shape else f"1 x {len(waveforms[0])}"
        with enough_memory(f"{what} samples"):
            returned = self._extractor.compute_features(batch, split)
        found = []
        for expected, one in zip_longest(batch.ids, route(returned, self._extractor.outputs)):
            if one is None or expected != one[0]:
                raise FeatbankError(
                    f"features of utterance {expected!r}",
                    expected="its own",
                    got=repr(one and one[0]),
                )
            found.append(one[1])
        return found

    def each(
        self,
        rows: Sequence[Utterance],
        waveforms: Sequence[Waveform],
        shape: BatchShape | None,
        split: str,
    ) -> Iterator[Features | AudioError]:
        """Compute waveforms together; where one of them cannot be computed, each has a batch.

        In a batch of the same shape, so that it changes no bit.
        """
        if len(rows) > 1:
            try:
                computed = self.together(rows, waveforms, shape, split)
            except AudioError:
                pass
            else:
                yield from computed
                return
        for row, waveform in zip(rows, waveforms, strict=True):
            try:
                [alone] = self.together([row], [waveform], shape, split)
            except AudioError as error:
                yield error
            else:
                yield alone

    def pieces(self, row: Utterance, recording: LongWaveform, split: str) -> Iterator[Features]:
        """Compute a long recording, piece by piece.

        Raises:
            AudioError: it cannot be computed.
        """
        # third-party extractors know of no windows computed together
        together = {"batch_samples": self._batch_samples} if self._extractor.batches else {}
        with enough_memory(f"a window of {row.id!r}"):
            yield from self._extractor.compute_pieces(recording, split, **together)


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Say what to do when a GPU has no room for `what`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise FeatbankError(
            f"memory of the GPU for {what}",
            expected="enough",
            got=str(error).partition(". ")[0],
            hint="lower batch_s, max_window_s of the definition, or the workers that share it",
        ) from error
