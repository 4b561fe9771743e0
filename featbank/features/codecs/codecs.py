"""Codecs of transformers: EnCodec, the Descript Audio Codec, Mimi and X-Codec."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import torch
from torch.nn.functional import pad

from featbank.errors import ConfigError
from featbank.features.codecs.base import Codec  # first: without transformers, it says what to do

# isort: split
from transformers import DacModel, EncodecModel, MimiModel, XcodecModel

_STD = 0.02  # of random codebooks: so small that their directions decide, not their lengths


class _AtBandwidth(Codec):
    """A codec that uses as many codebooks as a bandwidth has room for.

    Args:
        bandwidth_kbps: one of the model's, in kbit/s.
        settings: see `Codec`.
    """

    def __init__(self, *, bandwidth_kbps: float, **settings: Any) -> None:
        super().__init__(**settings)
        offered = self._model.config.target_bandwidths
        if bandwidth_kbps not in offered:
            raise ConfigError(
                "bandwidth_kbps", expected=" or ".join(map(str, offered)), got=bandwidth_kbps
            )
        self._bandwidth_kbps = bandwidth_kbps

    @property
    def num_codebooks(self) -> int:
        """Number of codebooks that the bandwidth has room for."""
        quantizer = self._model.quantizer
        number: int = quantizer.get_num_quantizers_for_bandwidth(self._bandwidth_kbps)
        return number


class Encodec(_AtBandwidth):
    """EnCodec (Défossez et al., 2022), mono and causal: the 24 kHz model.

    An LSTM runs over the whole waveform: behind a seam it has seen `context_s` and no more.

    Args:
        bandwidth_kbps: one of the model's, in kbit/s: 75 frames of codes of 10 bits are 0.75.
        settings: see `Codec`.
    """

    model_class = EncodecModel

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        config = self._model.config
        if config.normalize or config.chunk_length_s is not None or config.audio_channels != 1:
            raise ConfigError(
                "an EnCodec model",
                expected="one that encodes a whole mono waveform as it is",
                got="one of chunks that are scaled, or of several channels",
                hint="codes of the 48 kHz model mean nothing without their scales",
            )

    @property
    def hop_length(self) -> int:
        """Samples a frame: the product of the strides."""
        return prod(self._model.config.upsampling_ratios)

    def _encode(self, waveform: torch.Tensor) -> torch.Tensor:
        encoded = self._model.encode(waveform[None, None], bandwidth=self._bandwidth_kbps)
        codes: torch.Tensor = encoded.audio_codes[0, 0]
        return codes

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waveform: torch.Tensor = self._model.decode(codes[None, None], [None]).audio_values
        return waveform

    def _draw_codebooks(self, generator: torch.Generator) -> None:
        for layer in self._model.quantizer.layers:
            layer.codebook.embed.normal_(std=_STD, generator=generator)


class _FirstCodebooks(Codec):
    """A codec of which the first codebooks may be used alone.

    Args:
        num_codebooks: how many.
        settings: see `Codec`.
    """

    def __init__(self, *, num_codebooks: int, **settings: Any) -> None:
        super().__init__(**settings)
        if not self._fewest <= num_codebooks <= self._most:
            raise ConfigError(
                "num_codebooks", expected=f"{self._fewest} to {self._most}", got=num_codebooks
            )
        self._num_codebooks = num_codebooks

    @property
    def num_codebooks(self) -> int:
        """Number of codebooks asked for."""
        return self._num_codebooks

    @property
    def _fewest(self) -> int:
        return 1

    @property
    def _most(self) -> int:
        raise NotImplementedError


class Dac(_FirstCodebooks):
    """The Descript Audio Codec (Kumar et al., 2023): convolutions alone.

    Zeros fill the last frame, as the reference's preprocessing has it. A code sees a fraction of a
    second: windows whose contexts cover that give the codes of the whole recording, but where two
    centroids are equally near.
    """

    model_class = DacModel

    @property
    def hop_length(self) -> int:
        """Samples a frame: the product of the strides.

        Published configurations state another `hop_length`, which is that of the 44 kHz model.
        """
        return prod(self._model.config.downsampling_ratios)

    @property
    def _most(self) -> int:
        number: int = self._model.config.n_codebooks
        return number

    @property
    def _reach_frames(self) -> int:
        """What the convolutions of the encoder, one after the other, see beyond a frame."""
        first = last = 0  # positions that the first frame sees, from its end to the waveform
        for layer in reversed(list(self._model.encoder.modules())):
            if isinstance(layer, torch.nn.Conv1d):
                [size], [stride], [step] = layer.kernel_size, layer.stride, layer.dilation
                padding = int(layer.padding[0])
                first = first * stride - padding
                last = last * stride - padding + (size - 1) * step
        return ceil(max(-first, last + 1 - self.hop_length) / self.hop_length)

    def _encode(self, waveform: torch.Tensor) -> torch.Tensor:
        filled = pad(waveform, (0, -len(waveform) % self.hop_length))
        encoded = self._model.encode(filled[None, None], n_quantizers=self.num_codebooks)
        codes: torch.Tensor = encoded.audio_codes[0]
        return codes

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waveform: torch.Tensor = self._model.decode(audio_codes=codes[None]).audio_values
        return waveform


class Mimi(_FirstCodebooks):
    """Mimi (Défossez et al., 2024): causal; its first codebooks are semantic, the others acoustic.

    Each of its transformer's layers looks `sliding_window` of its frames back, together further
    than a context of a sensible length: behind a seam the codes may differ from those of the whole.
    """

    model_class = MimiModel

    @property
    def hop_length(self) -> int:
        """Samples a frame: the product of the strides, with that of the last convolution."""
        return int(self._model.config.frame_size)

    @property
    def _fewest(self) -> int:
        return int(self._model.config.num_semantic_quantizers)

    @property
    def _most(self) -> int:
        return int(self._model.config.num_quantizers)

    def _encode(self, waveform: torch.Tensor) -> torch.Tensor:
        encoded = self._model.encode(
            waveform[None, None], num_quantizers=self.num_codebooks, use_streaming=False
        )
        codes: torch.Tensor = encoded.audio_codes[0]
        return codes

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waveform: torch.Tensor = self._model.decode(codes[None]).audio_values
        return waveform

    def _draw_codebooks(self, generator: torch.Generator) -> None:
        quantizer = self._model.quantizer
        for part in (
            quantizer.semantic_residual_vector_quantizer,
            quantizer.acoustic_residual_vector_quantizer,
        ):
            for layer in part.layers:
                layer.codebook.embed_sum.normal_(std=_STD, generator=generator)


class Xcodec(_AtBandwidth):
    """X-Codec (Ye et al., 2024): an acoustic encoder, and all layers of an SSL encoder beside it.

    Zeros fill the last frame, as the reference's preprocessing has it. The SSL encoder normalises
    and attends over the whole waveform: windows give other codes than that, at seams and elsewhere.

    Args:
        bandwidth_kbps: one of the model's, in kbit/s: 50 frames of codes of 10 bits are 0.5.
        settings: see `Codec`.
    """

    model_class = XcodecModel

    @property
    def hop_length(self) -> int:
        """Samples a frame: the product of the acoustic encoder's strides."""
        return int(self._model.config.hop_length)

    @property
    def _sample_rate(self) -> int:
        return int(self._model.config.sample_rate)

    def _encode(self, waveform: torch.Tensor) -> torch.Tensor:
        filled = pad(waveform, (0, -len(waveform) % self.hop_length))
        encoded = self._model.encode(filled[None, None], bandwidth=self._bandwidth_kbps)
        codes: torch.Tensor = encoded.audio_codes[0]
        return codes

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waveform: torch.Tensor = self._model.decode(codes[None]).audio_values
        return waveform

    def _draw_codebooks(self, generator: torch.Generator) -> None:
        for layer in self._model.quantizer.quantizers:
            layer.codebook.embed.normal_(std=_STD, generator=generator)
