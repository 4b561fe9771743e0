"""Mimi, in the build of the transformers library."""

from __future__ import annotations

import torch

from featbank.features.codecs.choosing import (  # first: it says what is lacking
    RANDOM_STD,
    CodecOfFirstCodebooks,
)
from featbank.features.codecs.padded_causal import convolve_causal, encode_causal

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

    def _embeds_rows(self) -> bool:
        return bool(self._model.config.use_causal_conv)

    def _embed(self, waveforms: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        encoder = self._model.encoder
        hidden, lengths = encode_causal(
            encoder.encoder_seanet.layers, waveforms.unsqueeze(1), num_samples
        )
        hidden = encoder.encoder_transformer(
            hidden.transpose(1, 2),
            # given a whole mask, the library does not look whether the positions are of one row
            attention_mask=_sliding_mask(hidden, self._model.config.sliding_window),
            use_cache=False,
        ).last_hidden_state
        embedded, _ = convolve_causal(encoder.downsample, hidden.transpose(1, 2), lengths)
        return embedded

    def _quantize(self, embedded: torch.Tensor) -> torch.Tensor:
        quantizer = self._model.quantizer
        codes: torch.Tensor = quantizer.encode(embedded, self.num_codebooks)
        return codes.transpose(0, 1)

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


def _sliding_mask(hidden: torch.Tensor, window: int) -> torch.Tensor:
    """Return what is added to the scores of attention among (B, D, T): (1, 1, T, T) of 0 and -inf.

    Each frame sees itself and those before it, `window` in all.
    """
    at = torch.arange(hidden.shape[2], device=hidden.device)
    back = at.unsqueeze(1) - at
    scores = torch.zeros(back.shape, dtype=hidden.dtype, device=hidden.device)
    return scores.masked_fill_((back < 0) | (back >= window), float("-inf"))[None, None]
