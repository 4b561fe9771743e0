"""Base of encoders that take waveforms, whichever library built the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch.nn.functional import layer_norm

from featbank.base.framing import Framing
from featbank.features.base import LongWaveform, Output, UtteranceExtractor
from featbank.features.encoders.ssl_front_end import RecordingFrontEnd
from featbank.features.encoders.ssl_padded import encode_padded
from featbank.features.encoders.ssl_parts import EncoderParts
from featbank.features.layers import Layers
from featbank.features.precision import check_precision, computing_in
from featbank.features.windows import check_context, plan_windows, read_windows


class WaveformEncoder(UtteranceExtractor):
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
        precision: float32, bfloat16 or, on a GPU, float16; features are float32 in any.
        max_window_s: the longest waveform that is computed at once, in seconds; None for any.
        context_s: what a window computes beyond each of its seams and leaves to its neighbour.

    Raises:
        ConfigError: there is no such layer or precision, or the windows are too short for their
            contexts.
    """

    _model: torch.nn.Module

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
        self._device = torch.device("cpu")

    def deciding(self, output: str | None = None) -> dict[str, Any]:
        """Return what decides the values: the layers asked for, no context without windows."""
        found = {**super().deciding(output), "layers": self._layers.chosen(output)}
        if self._max_samples is None:
            found.pop("context_s", None)
        return found

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

    @property
    def outputs(self) -> Mapping[str, Output]:
        """The encoder's width, or all its layers of that width, by feature name."""
        return self._layers.outputs

    @property
    def uses_device(self) -> bool:
        """True: a GPU computes a batch many times as fast as a processor."""
        return True

    def to(self, device: str) -> None:
        """Move the model to a device."""
        self._model.to(device)
        self._device = torch.device(device)

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        waveform = waveform.to(self._device, copy=True)  # into torch's own memory
        if self._epsilon is not None:
            waveform = layer_norm(waveform, waveform.shape, eps=self._epsilon)
        with computing_in(self._precision, self._device, self._model):
            return self._encode(self._parts.convolve(waveform.unsqueeze(0)))

    def _encode(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Run the transformer over what the convolutions gave, (1, T, C)."""
        states = self._parts.states(frames, self._layers.deepest)
        return {name: values.squeeze(0) for name, values in self._chosen(states).items()}

    def _chosen(self, states: list[torch.Tensor]) -> Mapping[str, torch.Tensor]:
        final = self._parts.final(states[-1]) if self._layers.wants_final else None
        return self._layers(states, final)

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Compute a padded batch; see `Extractor.compute_batch`."""
        with computing_in(self._precision, self._device, self._model):
            states = encode_padded(
                self._parts,
                waveforms,
                num_samples,
                num_layers=self._layers.deepest,
                epsilon=self._epsilon,
            )
            return self._chosen(states)

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        assert self._max_samples is not None
        windows = plan_windows(
            recording.num_samples,
            self.framing,
            max_frames=self.framing.num_frames(self._max_samples),
            context_frames=self._context_frames,
        )
        front_end = RecordingFrontEnd(self._parts, recording, epsilon=self._epsilon)
        for window, samples in read_windows(recording, windows):
            waveform = torch.from_numpy(samples).to(self._device)
            with computing_in(self._precision, self._device, self._model):
                features = self._encode(front_end(waveform))
            yield {name: rows[window.kept_rows] for name, rows in features.items()}
