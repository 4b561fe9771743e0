"""Base of neural codecs: codes of a waveform, and a waveform of codes.

A code is the index of the nearest centroid. On one machine, in one thread, an utterance always
gives the same codes; where two centroids are equally near but for the last bits, another numerics
class (device, instruction set, thread count) may choose the other one, and the codebooks after it
then code another remainder.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.base.framing import Framing
from featbank.errors import ConfigError, FeatbankError
from featbank.features.base import AudioBatch, LongWaveform, Output
from featbank.features.precision import FLOAT32, computing_in
from featbank.features.shapes import BatchShape
from featbank.features.weights.pretrained_extractor import PretrainedExtractor
from featbank.features.weights.sources import RANDOM
from featbank.features.windows import (
    Window,
    check_context,
    plan_windows,
    read_windows,
    window_batches,
)

# transformers reckons the padding of causal convolutions in float32, which counts no further
_MAX_SAMPLES = 1 << 24


class Codec(PretrainedExtractor):
    """A codec model of transformers, whose codes are (Q, T) under one feature name.

    On the CPU an utterance is encoded alone and unpadded, but for what the model itself puts behind
    it to fill the last frame. Masks do not keep padding out of these models (transformers#43377),
    so a batch on a device goes through `_embed`, which gives each row what its waveform gives
    alone. A model of which that does not hold has no batches: each utterance is encoded alone.

    A recording longer than `max_window_s` is encoded in windows that overlap by their contexts.

    Args:
        name: of the feature.
        model: name on the hub, owner/name.
        revision: commit there, in 40 hexadecimal digits; required for a download.
        weights: `download`, `random`, or the path of a folder that `save_pretrained` wrote.
        weights_sha256: of the weights file in a local folder.
        architecture: fields of the model's configuration, as `load_pretrained` takes them.
        seed: of random weights.
        license: of the weights, as their publisher or, of a local folder, the user states it.
        max_window_s: the longest waveform that is encoded at once, in seconds; None for the longest
            that the model can count.
        context_s: what a window encodes beyond each of its seams and leaves to its neighbour.

    Raises:
        ConfigError: the model is of a kind that this class cannot store, or the windows are longer
            than the model can count or too short for their contexts.
        WeightsError: the weights cannot be had, or are of another model.
    """

    version: ClassVar[int] = 1
    model_class: ClassVar[Any]
    changes_nothing = frozenset({"name"})  # which the stores of the feature have anyway

    def __init__(
        self,
        *,
        name: str,
        model: str,
        weights: str,
        architecture: Mapping[str, Any],
        revision: str | None = None,
        weights_sha256: str | None = None,
        seed: int = 0,
        license: str | None = None,  # noqa: A002 - the word of the config
        max_window_s: float | None = 60.0,
        context_s: float = 10.0,
    ) -> None:
        self._name = name
        self._load(
            self.model_class,
            weights=weights,
            model=model,
            revision=revision,
            weights_sha256=weights_sha256,
            architecture=architecture,
            seed=seed,
            license=license,
        )
        self._has_batches = self._embeds_rows()
        if weights == RANDOM:
            self._draw_codebooks(torch.Generator().manual_seed(seed))
        if max_window_s is None:
            max_window_s = _MAX_SAMPLES / self.framing.sample_rate
        self._window_samples = round(max_window_s * self.framing.sample_rate)
        self._check_longest(max_window_s)
        max_frames = self._window_samples // self.hop_length
        self._context_frames = check_context(context_s, self.framing, max_frames)
        if self._context_frames < self._reach_frames:
            raise ConfigError(
                "context_s",
                expected=f"{self._reach_frames / self.framing.frame_rate:g} seconds or more",
                got=context_s,
            )

    def deciding(self, output: str | None = None) -> dict[str, Any]:
        """Return what decides the codes; the longest that the model can count, by its length."""
        longest = self._window_samples / self.framing.sample_rate
        return {**super().deciding(output), "max_window_s": longest}

    @property
    @abstractmethod
    def hop_length(self) -> int:
        """Number of samples that a frame of codes stands for."""

    @property
    @abstractmethod
    def num_codebooks(self) -> int:
        """Number of codes of a frame."""

    @abstractmethod
    def _encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Encode (num_samples,): (Q, T)."""

    @abstractmethod
    def _embed(self, waveforms: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        """Return what codes are chosen by: (B, D, T), of each row what its waveform gives alone.

        Args:
            waveforms: (B, num_samples), zeros behind the end of each, which are not written to.
            num_samples: (B,), of each row.
        """

    @abstractmethod
    def _quantize(self, embedded: torch.Tensor) -> torch.Tensor:
        """Return the codes (B, Q, T) of (B, D, T)."""

    @abstractmethod
    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Decode (Q, T): a waveform of any shape, of one channel."""

    @property
    def _sample_rate(self) -> int:
        return int(self._model.config.sampling_rate)

    def _embeds_rows(self) -> bool:
        """Tell whether `_embed` can keep padding out of this model."""
        return True

    @property
    def _reach_frames(self) -> int:
        """How many frames a code sees to either side, where its windows promise no less."""
        return 0

    def _draw_codebooks(self, generator: torch.Generator) -> None:
        """Fill codebooks that a new model has empty, so that a dry run gives more than zeros."""

    @property
    def framing(self) -> Framing:
        """The frame grid: frames side by side, the last one filled."""
        hop = self.hop_length
        return Framing(
            sample_rate=self._sample_rate,
            window_length=hop,
            hop_length=hop,
            right=hop - 1,
        )

    @property
    def max_samples(self) -> int | None:
        """Number of samples that `max_window_s` lasts."""
        return self._window_samples

    @property
    def outputs(self) -> Mapping[str, Output]:
        """Codes of all codebooks that are used, which are of one size."""
        size: int = self._model.config.codebook_size
        return {self._name: Output((self.num_codebooks,), codebook_size=size)}

    @torch.inference_mode()
    def decode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """Synthesise a waveform from the codes of one utterance, for a listening check.

        Args:
            codes: (Q, T) integers, as a store gives them.

        Returns:
            (num_samples,) at the codec's rate: T hops, or a few samples less where the decoder's
            own convolutions drop them.

        Raises:
            FeatbankError: the codes are not of this codec.
        """
        [output] = self.outputs.values()
        size = output.codebook_size
        assert size is not None
        wanted = f"({self.num_codebooks}, T) integers from 0 to {size - 1}"
        if codes.ndim != 2 or codes.shape[0] != self.num_codebooks or not codes.size:
            raise FeatbankError("codes to decode", expected=wanted, got=f"shape {codes.shape}")
        if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= size:
            raise FeatbankError(
                "codes to decode",
                expected=wanted,
                got=f"{codes.dtype} from {codes.min()} to {codes.max()}",
            )
        with computing_in(FLOAT32, self._device):
            found = self._decode(torch.from_numpy(codes.astype(np.int64)).to(self._device))
        waveform: NDArray[np.float32] = found.reshape(-1).cpu().numpy()
        return waveform

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        # a copy lies in torch's own memory
        own = waveform.to(self._device, copy=True)
        with computing_in(FLOAT32, self._device):
            return {self._name: self._encode(own).T}

    def batch_shape(self, num_samples: int, batch_samples: int) -> BatchShape | None:
        """Return the shape for an utterance; None of a model that has no batches."""
        return super().batch_shape(num_samples, batch_samples) if self._has_batches else None

    @property
    def batches(self) -> bool:
        """Whether a batch gives each utterance what it gives alone."""
        return self._has_batches and super().batches

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Compute a padded batch; see `Extractor.compute_batch`."""
        with computing_in(FLOAT32, self._device):
            codes = self._quantize(self._embed(waveforms, num_samples))
        return {self._name: codes.transpose(1, 2)}

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        """Compute all features of a batch; see `Extractor.compute_features`."""
        return super().compute_features(
            batch if self._has_batches else replace(batch, shape=None), split
        )

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        for window, samples in read_windows(recording, self._windows(recording.num_samples)):
            codes = self._compute(torch.from_numpy(samples))[self._name]
            yield {self._name: codes[window.kept_rows]}

    def _compute_windows_together(
        self, recording: LongWaveform, batch_samples: int
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        windows = self._windows(recording.num_samples)
        for batch in window_batches(recording, windows, batch_samples):
            used = slice(len(batch.windows))  # as many as follow from the recording's own length
            rows = self.compute_batch(
                batch.waveforms[used].to(self._device), batch.num_samples[used].to(self._device)
            )[self._name].cpu()
            for window, codes in zip(batch.windows, rows, strict=True):
                yield {self._name: codes[window.kept_rows]}

    def _windows(self, num_samples: int) -> list[Window]:
        return plan_windows(
            num_samples,
            self.framing,
            max_frames=self._window_samples // self.hop_length,
            context_frames=self._context_frames,
        )

    def _check_longest(self, max_window_s: float) -> None:
        longest_s = _MAX_SAMPLES / self.framing.sample_rate
        if self._window_samples > _MAX_SAMPLES:
            raise ConfigError(
                "max_window_s",
                expected=f"{longest_s:.0f} seconds or less, beyond which the model miscounts",
                got=max_window_s,
            )
