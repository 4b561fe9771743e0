"""Mimi, in the build of the transformers library."""

from __future__ import annotations

import torch

from featbank.features.codecs.choosing import (  # first: it says what is lacking
    RANDOM_STD,
    CodecOfFirstCodebooks,
)

# isort: split
from transformers import MimiModel


class Mimi(CodecOfFirstCodebooks):
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
                layer.codebook.embed_sum.normal_(std=RANDOM_STD, generator=generator)
