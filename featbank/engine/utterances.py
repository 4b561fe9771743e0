"""Decode utterances and compute their features in one process, alone or in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import Any

import torch

from featbank.audio.recording import Recording
from featbank.base.manifest import Utterance
from featbank.base.routing import route
from featbank.engine.batching import batches, shape_of
from featbank.engine.definition import ExtractorRecipe
from featbank.engine.reading import Audio, AudioReader
from featbank.errors import AudioError, FeatbankError
from featbank.features.base import AudioBatch
from featbank.features.shapes import BatchShape

Features = Mapping[str, object]
"""An array (T, ...) for each feature name, of one utterance or of a piece of it."""


class UtteranceComputer:
    """Computes the features of utterances, with an extractor that is loaded once.

    An utterance is computed in a fixed number of threads, alone or in a shape that follows from its
    own length: the number of threads and the shape decide the last bits of a transformer's output,
    batch mates in one shape do not.

    Attributes:
        extractor: computes the features.
        numerics: the class of this machine.
    """

    def __init__(self, recipe: ExtractorRecipe) -> None:
        recipe.computing.begin()
        self.extractor = recipe.build()
        if self.extractor.uses_device:
            self.extractor.to(recipe.computing.device)
        self.numerics = recipe.computing.numerics()
        self._seconds_together = recipe.computing.seconds_together
        self._reader = AudioReader(
            recipe.audio_root, self.extractor.framing, self.extractor.max_samples
        )

    def __call__(
        self, rows: Sequence[Utterance], split: str
    ) -> Iterator[tuple[Utterance, Iterator[Features]]]:
        """Compute rows, not always in their order.

        Yields:
            Each row with the consecutive pieces of its features, to be taken before the next row;
            they raise an AudioError where it cannot be computed.
        """
        # files that cannot seek are decoded once if their segments are read one after the other
        in_files = sorted(rows, key=lambda row: (row.audio, row.start_sample))
        planned = list(batches(in_files, self._shape_of))
        audio = self._reader.read_ahead(row for _, batch in planned for row in batch)
        for shape, batch in planned:
            loaded: list[tuple[Utterance, Audio]] = []
            for row, read in islice(audio, len(batch)):
                try:
                    loaded.append((row, read.result()))
                except AudioError as error:
                    yield row, _failing(error)
            yield from self._computed(loaded, shape, split)

    def _shape_of(self, row: Utterance) -> BatchShape | None:
        """Return the shape that an utterance is computed in; None for alone and unpadded."""
        return shape_of(row, self.extractor, self._seconds_together)

    def _computed(
        self, loaded: Sequence[tuple[Utterance, Audio]], shape: BatchShape | None, split: str
    ) -> Iterator[tuple[Utterance, Iterator[Features]]]:
        """Compute a batch; give each utterance with its features, which may raise yet.

        Where one of them cannot be computed each has the batch to itself, which changes no bit.
        """
        if len(loaded) > 1:
            try:
                computed = list(self._together(loaded, shape, split))
            except AudioError:
                pass
            else:
                yield from zip((row for row, _ in loaded), map(iter, zip(computed)), strict=True)
                return
        for row, audio in loaded:
            yield row, self._alone(row, audio, shape, split)

    def _alone(
        self, row: Utterance, audio: Audio, shape: BatchShape | None, split: str
    ) -> Iterator[Features]:
        """Compute one utterance: in pieces where it is a long recording.

        Raises:
            AudioError: the utterance cannot be computed.
        """
        if isinstance(audio, Recording):
            with _gpu_memory(f"a window of {row.id!r}"):
                yield from self.extractor.compute_pieces(audio, split)
        else:
            yield from self._together([(row, audio)], shape, split)

    def _together(
        self, loaded: Sequence[tuple[Utterance, Any]], shape: BatchShape | None, split: str
    ) -> Iterator[Features]:
        """Compute waveforms in one call of the extractor."""
        batch = AudioBatch(
            ids=[row.id for row, _ in loaded],
            waveforms=[torch.from_numpy(waveform) for _, waveform in loaded],
            shape=shape,
        )
        rows = f"{shape.rows} x {shape.samples}" if shape else f"1 x {len(loaded[0][1])}"
        with _gpu_memory(f"{rows} samples"):
            returned = self.extractor.compute_features(batch, split)
        routed = route(returned, self.extractor.outputs)
        for expected, found in zip_longest(batch.ids, routed):
            if found is None or expected != found[0]:
                raise FeatbankError(
                    f"features of utterance {expected!r}",
                    expected="its own",
                    got=repr(found and found[0]),
                )
            yield found[1]


@contextmanager
def _gpu_memory(what: str) -> Iterator[None]:
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


def _failing(error: AudioError) -> Iterator[Features]:
    raise error
    yield {}
