"""EnCodec, in the build of the transformers library."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from featbank.errors import ConfigError
from featbank.features.codecs.choosing import (  # first: it says what is lacking
    RANDOM_STD,
    CodecAtBandwidth,
)
from featbank.features.codecs.padded_causal import encode_causal

# isort: split
from transformers import EncodecModel


class Encodec(CodecAtBandwidth):
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

    def _embeds_rows(self) -> bool:
        config = self._model.config
        return bool(config.use_causal_conv) and config.norm_type == "weight_norm"

    def _embed(self, waveforms: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        layers = self._model.encoder.layers
        embedded, _ = encode_causal(layers, waveforms.unsqueeze(1), num_samples)
        return embedded

    def _quantize(self, embedded: torch.Tensor) -> torch.Tensor:
        codes: torch.Tensor = self._model.quantizer.encode(embedded, self._bandwidth_kbps)
        return codes.transpose(0, 1)

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waveform: torch.Tensor = self._model.decode(codes[None, None], [None]).audio_values
        return waveform

    def _draw_codebooks(self, generator: torch.Generator) -> None:
        for layer in self._model.quantizer.layers:
            layer.codebook.embed.normal_(std=RANDOM_STD, generator=generator)
