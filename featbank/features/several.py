"""Several extractors in one pass over the audio, which is decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch

from featbank.base.components import Identity
from featbank.base.framing import Framing
from featbank.errors import ConfigError
from featbank.features.base import AudioBatch, Extractor, LongWaveform, Output, Weights
from featbank.features.shapes import BatchShape
from featbank.files.provenance import digest

Features = dict[str, Any]


class Several(Extractor):
    """Computes the features of several extractors on one frame grid, each as it would alone.

    Where some use a GPU all share their numerics class, and an utterance over the least
    `max_samples` is never padded.

    Args:
        extractors: in the order of their features.

    Raises:
        ConfigError: none is given, one is no extractor, two have a feature of one name, or their
            frame grids differ.
    """

    version: ClassVar[int] = 1

    def __init__(self, *, extractors: Sequence[Extractor]) -> None:
        for extractor in extractors:
            if not isinstance(extractor, Extractor):
                raise ConfigError(
                    "extractors of one pass",
                    expected="an Extractor each, given by its _target_",
                    got=repr(extractor),
                )
        self.extractors = tuple(extractors)
        names = Counter(name for extractor in extractors for name in extractor.outputs)
        grids = {extractor.framing for extractor in extractors}
        if len(grids) != 1:
            raise ConfigError(
                "extractors of one pass",
                expected="one or more, on one frame grid",
                got=" and ".join(sorted(map(str, grids))) or "none",
                hint="extract features of other frame rates under an option of their own",
            )
        if twice := [name for name, count in names.items() if count > 1]:
            raise ConfigError("features of one pass", expected="each name once", got=twice)

    @property
    def framing(self) -> Framing:
        """The frame grid that all share."""
        return self.extractors[0].framing

    @property
    def outputs(self) -> Mapping[str, Output]:
        """Outputs of all extractors."""
        return {
            name: output
            for extractor in self.extractors
            for name, output in extractor.outputs.items()
        }

    @property
    def libraries(self) -> Sequence[str]:
        """Libraries of all extractors."""
        return sorted({name for one in self.extractors for name in one.libraries})

    @property
    def weights(self) -> Weights:
        """Weights of all extractors: sources and licences listed, digests digested together."""
        every = [extractor.weights for extractor in self.extractors]
        digests = [one.digest for one in every]
        return Weights(
            source=", ".join(sorted({one.source for one in every})),
            digest=digest(digests) if any(digests) else "",
            license=", ".join(sorted({one.license for one in every if one.license})),
        )

    def weights_of(self, feature: str) -> Weights:
        """Return the weights of the extractor that computes a feature."""
        return self._computing(feature).weights_of(feature)

    def identity(self, output: str | None = None) -> Identity:
        """Return the identity of the extractor that computes a feature: siblings change nothing."""
        if output is None:
            return super().identity()
        return self._computing(output).identity(output)

    def _computing(self, feature: str) -> Extractor:
        return next(one for one in self.extractors if feature in one.outputs)

    @property
    def max_samples(self) -> int | None:
        """The least limit of all extractors."""
        limits = [one.max_samples for one in self.extractors if one.max_samples is not None]
        return min(limits, default=None)

    @property
    def uses_device(self) -> bool:
        """Whether any extractor uses a device."""
        return any(extractor.uses_device for extractor in self.extractors)

    @property
    def in_bfloat16(self) -> bool:
        """Whether any extractor computes in bfloat16."""
        return any(extractor.in_bfloat16 for extractor in self.extractors)

    def to(self, device: str) -> None:
        """Move the extractors that can be moved; see `Extractor.to`."""
        for extractor in self.extractors:
            if extractor.uses_device:
                extractor.to(device)

    def batch_shape(self, num_samples: int, batch_samples: int) -> BatchShape | None:
        """Return the one shape of all that use a device; None where they are of several."""
        shapes = {
            one.batch_shape(num_samples, batch_samples)
            for one in self.extractors
            if one.uses_device
        }
        return shapes.pop() if len(shapes) == 1 else None

    @property
    def batches(self) -> bool:
        """Whether all extractors do: those that stay on the CPU do not."""
        return super().batches and all(extractor.batches for extractor in self.extractors)

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Compute all features of a padded batch; see `Extractor.compute_batch`."""
        return {
            name: values
            for extractor in self.extractors
            for name, values in extractor.compute_batch(waveforms, num_samples).items()
        }

    def compute_features(self, batch: AudioBatch, split: str) -> list[Features]:
        """Compute all features of a batch; see `Extractor.compute_features`."""
        each_alone = replace(batch, shape=None)
        every = [
            extractor.compute_features(batch if extractor.uses_device else each_alone, split)
            for extractor in self.extractors
        ]
        return [
            {key: value for row in rows for key, value in row.items()}
            for rows in zip(*every, strict=True)
        ]

    def compute_pieces(
        self,
        recording: LongWaveform,
        split: str,
        *,
        batch_samples: int = 0,
    ) -> Iterator[Features]:
        """Compute all features of a long utterance; see `Extractor.compute_pieces`.

        An extractor that takes more at once is given the whole, as it would be alone.
        """
        streams = [
            _Stream(_pieces(extractor, recording, split, batch_samples))
            for extractor in self.extractors
        ]
        while num_frames := min(stream.num_ready() for stream in streams):
            piece: Features = {}
            for stream in streams:
                piece.update(stream.take(num_frames))
            yield piece


def _pieces(
    extractor: Extractor, recording: LongWaveform, split: str, batch_samples: int
) -> Iterator[Features]:
    limit = extractor.max_samples
    if limit is not None and recording.num_samples > limit:
        options = {"batch_samples": batch_samples} if batch_samples else {}
        yield from extractor.compute_pieces(recording, split, **options)
        return
    [waveform] = recording.blocks(recording.num_samples)
    batch = AudioBatch(ids=["recording"], waveforms=[torch.from_numpy(waveform)])
    [features] = extractor.compute_features(batch, split)
    yield {name: features[name] for name in extractor.outputs}


class _Stream:
    """Pieces of one extractor, cut anew so that those of all end at the same frames."""

    def __init__(self, pieces: Iterator[Features]) -> None:
        self._pieces = pieces
        self._waiting: Features = {}

    def num_ready(self) -> int:
        """Return how many frames can be taken; 0 at the end."""
        if not self._num_waiting():
            self._waiting = next(self._pieces, {})
        return self._num_waiting()

    def take(self, num_frames: int) -> Features:
        """Return the next frames under every name."""
        taken = {name: values[:num_frames] for name, values in self._waiting.items()}
        self._waiting = {name: values[num_frames:] for name, values in self._waiting.items()}
        return taken

    def _num_waiting(self) -> int:
        return min((len(values) for values in self._waiting.values()), default=0)
