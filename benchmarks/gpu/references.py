"""Bare forward passes of the libraries that the models come from, eager, and what they compute.

Nothing of featbank is in them but the numbers that say how large a model is: torchaudio's WavLM and
HuBERT, transformers' Whisper encoder, EnCodec and Mimi, with weights by chance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.models import Model

_COUNTED_S = (2.0, 8.0, 20.0)  # three lengths make a parabola, which is what attention costs


class Reference(ABC):
    """A library's model on a device.

    Args:
        settings: of featbank's extractor.
        device: to compute on.

    Attributes:
        sample_rate: of its waveforms, in Hz.
        dtype: that it computes in.
    """

    sample_rate: ClassVar[int]

    def __init__(self, settings: Mapping[str, Any], device: torch.device) -> None:
        self.device = device
        self.dtype = getattr(torch, settings.get("precision", "float32"))
        with device, torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.model = self.build(settings).eval().to(self.dtype)

    @abstractmethod
    def build(self, settings: Mapping[str, Any]) -> torch.nn.Module:
        """Make the model."""

    def padded(self, length: int) -> int:
        """Return the samples that an utterance of some samples is computed in, at least."""
        return length

    def inputs(self, rows: int, samples: int) -> torch.Tensor:
        """Return what it takes for waveforms of a shape, as noise."""
        return torch.randn(rows, samples, device=self.device).mul_(0.1).to(self.dtype)

    @abstractmethod
    def forward(self, inputs: torch.Tensor) -> object:
        """Compute."""

    @torch.no_grad()  # inference mode and the counter do not go together
    def flops(self) -> Callable[[float], float]:
        """Return what an utterance of some seconds costs alone, in floating-point operations.

        Counted by torch's flop counter (a multiplication and an addition are two) over what this
        model does with three lengths, LSTMs by their formula.
        """
        counted = []
        for length_s in _COUNTED_S:
            inputs = self.inputs(1, round(length_s * self.sample_rate))
            counter = FlopCounterMode(display=False)
            with counting_lstms(self.model) as of_lstms, sdpa_kernel(SDPBackend.MATH), counter:
                self.forward(inputs)
            counted.append(counter.get_total_flops() + sum(of_lstms))
        curve = np.polynomial.Polynomial.fit(_COUNTED_S, counted, 2)
        return lambda seconds: float(curve(seconds))


class Torchaudio(Reference):
    """WavLM or HuBERT, as far as the layer that is asked for."""

    sample_rate = 16_000

    def build(self, settings: Mapping[str, Any]) -> torch.nn.Module:
        import torchaudio

        bundle = getattr(torchaudio.pipelines, settings["bundle"])
        make = {
            "WavLM": torchaudio.models.wavlm_model,
            "Wav2Vec2": torchaudio.models.wav2vec2_model,
        }
        self._num_layers = max(settings["layers"].values())
        model: torch.nn.Module = make[bundle._model_type](**bundle._params)
        return model

    def forward(self, inputs: torch.Tensor) -> object:
        return self.model.extract_features(inputs, num_layers=self._num_layers)  # type: ignore[operator]


class Whisper(Reference):
    """The encoder, of log-mel frames that are there already."""

    sample_rate = 16_000

    def build(self, settings: Mapping[str, Any]) -> torch.nn.Module:
        from transformers.models.whisper.configuration_whisper import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        config = WhisperConfig(**settings["architecture"])
        self._mel = config.num_mel_bins, 2 * config.max_source_positions
        return WhisperEncoder(config)

    def padded(self, length: int) -> int:
        _, num_mel_frames = self._mel
        return max(length, 160 * num_mel_frames)

    def inputs(self, rows: int, samples: int) -> torch.Tensor:  # noqa: ARG002 - always 30 s
        return torch.randn(rows, *self._mel, device=self.device).to(self.dtype)

    def forward(self, inputs: torch.Tensor) -> object:
        return self.model(inputs)


class Encodec(Reference):
    sample_rate = 24_000

    def build(self, settings: Mapping[str, Any]) -> torch.nn.Module:
        from transformers import EncodecConfig, EncodecModel

        self._bandwidth = settings["bandwidth_kbps"]
        return EncodecModel(EncodecConfig(**settings["architecture"]))

    def forward(self, inputs: torch.Tensor) -> object:
        return self.model.encode(inputs.unsqueeze(1), bandwidth=self._bandwidth)  # type: ignore[operator]


class Mimi(Reference):
    sample_rate = 24_000

    def build(self, settings: Mapping[str, Any]) -> torch.nn.Module:
        from transformers import MimiConfig, MimiModel

        self._num_codebooks = settings["num_codebooks"]
        return MimiModel(MimiConfig(**settings["architecture"]))

    def forward(self, inputs: torch.Tensor) -> object:
        return self.model.encode(  # type: ignore[operator]
            inputs.unsqueeze(1), num_quantizers=self._num_codebooks, use_streaming=False
        )


_KINDS: Mapping[str, type[Reference]] = {
    "whisper_large_v3": Whisper,
    "encodec_24khz": Encodec,
    "mimi": Mimi,
}


def reference(model: Model, device: torch.device) -> Reference:
    """Make the reference implementation of a model."""
    return _KINDS.get(model.option, Torchaudio)(model.extractor, device)


def equal_batches(
    lengths: Iterable[int], padded: Callable[[int], int], batch_samples: int
) -> Iterator[list[int]]:
    """Give lengths in batches as a careful user makes them: sorted, each padded to its longest.

    Args:
        lengths: of utterances, in samples.
        padded: what an utterance of a length takes at least.
        batch_samples: of a batch, padding included, at most, unless it is a single one.
    """
    batch: list[int] = []
    for length in sorted(lengths):
        if batch and (len(batch) + 1) * padded(length) > batch_samples:
            yield batch
            batch = []
        batch.append(length)
    if batch:
        yield batch


@contextmanager
def counting_lstms(model: torch.nn.Module) -> Iterator[list[float]]:
    """Note what LSTMs cost, which torch's counter passes by: four gates of two products each."""
    found: list[float] = []

    def note(lstm: torch.nn.Module, inputs: Any, _: Any) -> None:
        assert isinstance(lstm, torch.nn.LSTM)
        steps = inputs[0].numel() / inputs[0].shape[-1]
        for layer in range(lstm.num_layers):
            width = lstm.input_size if layer == 0 else lstm.hidden_size
            found.append(steps * 2 * 4 * lstm.hidden_size * (width + lstm.hidden_size))

    hooks = [
        module.register_forward_hook(note)
        for module in model.modules()
        if isinstance(module, torch.nn.LSTM)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
