"""The extractor contract that every feature, encoder and codec fulfils."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.base.components import Component, Identity
from featbank.base.framing import Framing
from featbank.errors import ConfigError, FeatbankError
from featbank.features import EXTRACTORS
from featbank.features.shapes import BatchShape, batch_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioBatch:
    """Batch of utterances for an extractor, unpadded.

    Args:
        ids: one an utterance.
        waveforms: one an utterance: (num_samples,) float32 in [-1, 1], mono, at the
            extractor's rate.
        shape: what the extractor pads them to, so that the values of none depend on which others
            there are; None has each computed alone and unpadded.
    """

    ids: Sequence[str]
    waveforms: Sequence[torch.Tensor]
    shape: BatchShape | None = None


class LongWaveform(Protocol):
    """Protocol of a waveform read block by block, as often as needed, such as `Recording`."""

    @property
    def num_samples(self) -> int:
        """Length, at the extractor's rate."""

    def blocks(self, num_samples_per_block: int) -> Iterator[NDArray[np.float32]]:
        """Read it from its start in consecutive blocks of one length, the last one shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where an extractor's weights came from, as a store's header records it.

    Args:
        source: `none`, `random`, `download` or `file`.
        digest: SHA-256 that names them, the same whichever version of a library reads them: of
            published ones over their tensors (name, dtype, shape, bytes) and what of their
            configuration decides values, of random ones over what draws them; empty for none.
        license: as their publisher states it; of a local file, as the configuration does.
    """

    source: str = "none"
    digest: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of an extractor: the shape of a frame, and the codebook's size for codes.

    Args:
        shape: of a frame: (D,), (L, D) for the layers of an encoder together, (Q,) for the codes
            of Q codebooks.
        codebook_size: of codes, which are integers from 0 to one less; None for floats.
    """

    shape: tuple[int, ...]
    codebook_size: int | None = None

    @property
    def num_values(self) -> int:
        """Number of values of a frame."""
        return prod(self.shape)

    @property
    def is_codes(self) -> bool:
        """Whether it is integers, to be stored as they are and read as (Q, T)."""
        return self.codebook_size is not None


def check_feature_names(names: Iterable[str]) -> None:
    """Refuse a feature called `id`: it would take the place of the utterance's.

    Raises:
        ConfigError: a feature is.
    """
    if "id" in names:
        raise ConfigError(
            "feature name", expected="any but id, which names the utterance", got="id"
        )


class Extractor(Component, ABC):
    """Base class of extractors, which compute features: one dict an utterance.

    The features of an utterance are a function of its own waveform alone: never of its batch mates,
    their order or their number. `version` is bumped by whoever changes the values an extractor
    gives; a golden test holds the two together. A store is named by `identity` of its feature.
    """

    registry = EXTRACTORS

    names_weights: ClassVar[frozenset[str]] = frozenset()
    """Names of the arguments that say which weights, or how to draw them: where weights have a
    digest, it stands for all of these."""

    @property
    @abstractmethod
    def framing(self) -> Framing:
        """The frame grid, shared by all the features of this extractor.

        `Framing.whole(...)` for one value an utterance, such as a speaker embedding.
        """

    @property
    @abstractmethod
    def outputs(self) -> Mapping[str, Output]:
        """Shape and kind of each output, by feature name."""

    @property
    def weights(self) -> Weights:
        """Source, digest and licence of the weights."""
        return Weights()

    def weights_of(self, feature: str) -> Weights:  # noqa: ARG002
        """Return source, digest and licence of the weights that compute one feature."""
        return self.weights

    def deciding(self, output: str | None = None) -> dict[str, Any]:
        """Return the arguments that decide the values of a feature, or of all: see `Component`."""
        left = self.names_weights if self.weights.digest else ()
        return {name: value for name, value in super().deciding(output).items() if name not in left}

    def identity(self, output: str | None = None) -> Identity:
        """Return the identity of what computes a feature, or all: see `Component`."""
        return replace(super().identity(output), weights=self.weights.digest)

    @property
    def libraries(self) -> Sequence[str]:
        """Distributions that compute beside torch, whose versions headers and numerics tell."""
        return ()

    @property
    def max_samples(self) -> int | None:
        """The longest waveform that `compute_features` is given; None: it is given any.

        Longer ones go through `compute_pieces`. Which way an utterance goes is a function of its
        own length and of the extractor, so that its values are too.
        """
        return None

    @property
    def uses_device(self) -> bool:
        """Whether it can be moved `to` a device, and be given batches of a shape.

        False for what a GPU would not make faster: it stays on the CPU, each utterance alone.
        """
        return False

    @property
    def in_bfloat16(self) -> bool:
        """Whether it computes in bfloat16."""
        return False

    def to(self, device: str) -> None:
        """Move to a torch device; only called where `uses_device`."""
        raise NotImplementedError

    def batch_shape(self, num_samples: int, batch_samples: int) -> BatchShape | None:
        """Return the shape in which an utterance is computed beside others on a device.

        A function of the extractor and of the utterance's own length, so that the values are too.

        Args:
            num_samples: of the utterance, at the extractor's rate; `max_samples` at most.
            batch_samples: that a whole batch may have, padding included.

        Returns:
            None: it is computed alone and unpadded.
        """
        return batch_shape(num_samples, batch_samples) if self.uses_device else None

    @property
    def batches(self) -> bool:
        """Whether it has a `compute_batch`; else batches go through `compute_features`.

        A subclass that changes what `compute_features` or `compute_pieces` does, and not
        `compute_batch`, has none: a batch would pass by what the others do.
        """
        batch, *others = (
            next(kind for kind in type(self).__mro__ if name in vars(kind))
            for name in ("compute_batch", "compute_features", "compute_pieces")
        )
        return batch is not Extractor and all(issubclass(batch, other) for other in others)

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Compute a padded batch on the extractor's device, without waiting for the device.

        No row may see its padding or another row, so that its values are the same whichever mates
        it has. Called in torch's inference mode, on one thread.

        Args:
            waveforms: (rows, samples) float32 on its device, zeros behind the end of each. It is
                the caller's memory, and is not written to.
            num_samples: (rows,) int64 on its device: of each without its padding. A row that holds
                no utterance is silence of full length, so that none is without a frame.

        Returns:
            By name, on its device, (rows, frames, *shape), with at least the frames of the longest
            row, or (rows, *shape) where there is one value an utterance: floats of any width, or
            integers for codes. What is behind the last frame of a row has no meaning.

        Raises:
            AudioError: a row cannot be computed. Each is then tried alone, in the same shape.
        """
        raise NotImplementedError

    @abstractmethod
    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        """Compute all features of a batch.

        Args:
            batch: waveforms of at least `framing.min_samples` samples; of a shape only where it
                `uses_device`.
            split: the split that is being computed, by the name that the corpus gives it.

        Returns:
            One dict an utterance, in the batch's order: `id`, and for each name in `outputs` an
            array (framing.num_frames(num_samples), *shape): float32, or integers for codes. Where
            there is one value an utterance it is (*shape).
        """

    def compute_pieces(
        self,
        recording: LongWaveform,  # noqa: ARG002
        split: str,  # noqa: ARG002
        *,
        batch_samples: int = 0,  # noqa: ARG002
    ) -> Iterator[dict[str, Any]]:
        """Compute all features of one utterance longer than `max_samples`, in bounded memory.

        Args:
            recording: the waveform, at the extractor's rate.
            split: the name of the split that is being computed.
            batch_samples: that may be computed together, as of `batch_shape`; 0: one window after
                the other. Only given where the extractor `batches`.

        Yields:
            Consecutive pieces: for each name in `outputs` an array (n, *shape), n over 0 and the
            same under all names, together framing.num_frames(recording.num_samples) frames; or once
            (*shape), where there is one value an utterance.

        Raises:
            AudioError: the waveform cannot be used; it may come after the first pieces.
        """
        raise FeatbankError(
            f"{type(self).__name__}.compute_pieces",
            expected="an extractor with a max_samples",
            got=self.max_samples,
            hint="give the utterance to compute_features",
        )
