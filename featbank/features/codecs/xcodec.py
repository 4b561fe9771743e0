"""X-Codec, in the build of the transformers library."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from featbank.features.codecs.choosing import (  # first: it says what is lacking
    RANDOM_STD,
    CodecAtBandwidth,
)

# isort: split
from transformers import XcodecModel


class Xcodec(CodecAtBandwidth):
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
            layer.codebook.embed.normal_(std=RANDOM_STD, generator=generator)
