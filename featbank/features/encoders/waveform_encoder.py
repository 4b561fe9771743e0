"""Base of encoders that take waveforms, whichever library built the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch.nn.functional import layer_norm

from featbank.base.framing import Framing
from featbank.features.base import LongWaveform
from featbank.features.encoders.encoder import Encoder
from featbank.features.encoders.ssl_front_end import RecordingFrontEnd
from featbank.features.encoders.ssl_padded import encode_frames, encode_padded
from featbank.features.encoders.ssl_parts import EncoderParts
from featbank.features.layers import Layers
from featbank.features.precision import check_precision
from featbank.features.windows import (
    Window,
    check_context,
    plan_windows,
    read_windows,
    window_batches,
)


class WaveformEncoder(Encoder):
    """Hidden states of a model of wav2vec 2.0's build.

    Only as many layers run as the deepest one asked for. A waveform is computed alone and unpadded,
    or in a batch where nothing of it sees its padding: see `featbank.features.encoders.ssl_padded`.

    Attention takes memory by the square of the length, so a recording longer than `max_window_s` is
    computed in windows of about the same length. What is normalised over the whole waveform still
    is, by statistics from a pass of its own, so that the convolutions give what they give of the
    whole (within 2e-6 of their greatest value). Attention and the positional convolution see one
    window: what that changes near the seams is for `python -m benchmarks.seams` to measure.

    A subclass makes the model: `_model`, and `_parts` of it.

    Args:
        framing: the convolutions' receptive field, hopped by the product of their strides.
        layers: feature name -> choice, as of `featbank.features.layers.Layers`.
        num_layers: of the transformer.
        dimension: its width.
        where: names the model, for errors.
        epsilon: added to the variance of waveforms that the model takes with mean 0 and variance 1;
            None: it takes them as they are.
        precision: float32, bfloat16 or, on a GPU, float16 or tf32, as of
            `featbank.features.precision`; features are float32 in any.
        max_window_s: the longest waveform that is computed at once, in seconds; None for any.
        context_s: what a window computes beyond each of its seams and leaves to its neighbour.

    Raises:
        ConfigError: there is no such layer or precision, or the windows are too short for their
            contexts.
    """

    def __init__(
        self,
        *,
        framing: Framing,
        layers: Mapping[str, Any],
        num_layers: int,
        dimension: int,
        where: str,
        epsilon: float | None,
        precision: str,
        max_window_s: float | None,
        context_s: float,
    ) -> None:
        self._framing = framing
        self._max_samples: int | None = None
        if max_window_s is not None:
            self._max_samples = round(max_window_s * framing.sample_rate)
            max_frames = framing.num_frames(self._max_samples)
            self._context_frames = check_context(context_s, framing, max_frames)
        self._layers = Layers(layers, num_layers=num_layers, dimension=dimension, where=where)
        self._precision = check_precision(precision)
        self._epsilon = epsilon

    @cached_property
    def _parts(self) -> EncoderParts:
        """The parts of `_model`."""
        raise NotImplementedError

    @property
    def framing(self) -> Framing:
        """The frame grid: the convolutions' receptive field, hopped by all their strides."""
        return self._framing

    @property
    def max_samples(self) -> int | None:
        """Number of samples that `max_window_s` lasts."""
        return self._max_samples

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        with self._computing():
            waveform = waveform.to(self._device, copy=True)  # into torch's own memory
            if self._epsilon is not None:
                waveform = layer_norm(waveform, waveform.shape, eps=self._epsilon)
            return self._encode(self._parts.convolve(waveform.to(self._dtype).unsqueeze(0)))

    def _encode(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Run the transformer over what the convolutions gave, (1, T, C)."""
        states = self._parts.states(frames, self._layers.deepest)
        return {name: values.squeeze(0) for name, values in self._chosen(states).items()}

    def _chosen(self, states: list[torch.Tensor]) -> Mapping[str, torch.Tensor]:
        final = self._parts.final(states[-1]) if self._layers.wants_final else None
        return self._layers(states, final)

    def _compute_padded(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        states = encode_padded(
            self._parts,
            waveforms,
            num_samples,
            num_layers=self._layers.deepest,
            epsilon=self._epsilon,
            dtype=self._dtype,
        )
        return self._chosen(states)

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        with self._computing():
            front_end = self._front_end(recording)
        for window, samples in read_windows(recording, self._windows(recording)):
            waveform = torch.from_numpy(samples).to(self._device)
            with self._computing():
                features = self._encode(front_end(waveform.unsqueeze(0)))
            yield {name: rows[window.kept_rows] for name, rows in features.items()}

    def _compute_windows_together(
        self, recording: LongWaveform, batch_samples: int
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        with self._computing():
            front_end = self._front_end(recording)
        for batch in window_batches(recording, self._windows(recording), batch_samples):
            waveforms, num_samples = (
                one.to(self._device) for one in (batch.waveforms, batch.num_samples)
            )
            with self._computing():
                states = encode_frames(
                    self._parts,
                    front_end(waveforms),
                    self._parts.num_frames(num_samples),
                    num_layers=self._layers.deepest,
                )
                features = {name: rows.cpu() for name, rows in self._chosen(states).items()}
            for row, window in enumerate(batch.windows):
                yield {name: rows[row, window.kept_rows] for name, rows in features.items()}

    def _front_end(self, recording: LongWaveform) -> RecordingFrontEnd:
        return RecordingFrontEnd(self._parts, recording, epsilon=self._epsilon)

    def _windows(self, recording: LongWaveform) -> list[Window]:
        assert self._max_samples is not None
        return plan_windows(
            recording.num_samples,
            self.framing,
            max_frames=self.framing.num_frames(self._max_samples),
            context_frames=self._context_frames,
        )
