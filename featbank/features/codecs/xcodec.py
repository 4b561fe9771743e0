"""X-Codec, in the build of the transformers library."""

from __future__ import annotations

from functools import cached_property

import torch
from torch.nn.functional import pad

from featbank.features.codecs.choosing import (  # first: it says what is lacking
    RANDOM_STD,
    CodecAtBandwidth,
)
from featbank.features.codecs.padded_symmetric import (
    convolved_length,
    encode_dac,
    encode_semantic,
)
from featbank.features.encoders.ssl_padded import encode_padded
from featbank.features.encoders.ssl_parts import EncoderParts
from featbank.features.encoders.transformers_parts import transformers_parts

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

    def _embeds_rows(self) -> bool:
        """Tell whether both encoders give as many frames of a waveform of whole frames.

        Otherwise the model pads what the acoustic one is given.
        """
        model, num_samples = self._model, 100 * self.hop_length
        acoustic = _num_frames(model.acoustic_encoder, num_samples)
        semantic = _num_frames(model.semantic_model.feature_extractor, num_samples + 2 * model.pad)
        return acoustic == _num_frames(model.encoder_semantic, semantic)

    @cached_property
    def _semantic_parts(self) -> EncoderParts:
        return transformers_parts(self._model.semantic_model)

    def _embed(self, waveforms: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        hop, model = self.hop_length, self._model
        filled = pad(waveforms, (0, -waveforms.shape[1] % hop))
        lengths = num_samples + -num_samples % hop
        acoustic, num_frames = encode_dac(model.acoustic_encoder, filled, lengths)
        states = encode_padded(
            self._semantic_parts,
            pad(filled, (model.pad, model.pad)),
            lengths + 2 * model.pad,
            num_layers=len(self._semantic_parts.layers),
            epsilon=None,
            dtype=model.fc.weight.dtype,
        )
        hidden = torch.stack(states, dim=1).mean(dim=1).transpose(1, 2)
        semantic, _ = encode_semantic(model.encoder_semantic, hidden, num_frames)
        embedded = torch.cat([acoustic, semantic], dim=1).transpose(1, 2)
        joined: torch.Tensor = model.fc(embedded)
        return joined.transpose(1, 2)

    def _quantize(self, embedded: torch.Tensor) -> torch.Tensor:
        codes: torch.Tensor = self._model.quantizer.encode(embedded, self._bandwidth_kbps)
        return codes.transpose(0, 1)

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waveform: torch.Tensor = self._model.decode(codes[None]).audio_values
        return waveform

    def _draw_codebooks(self, generator: torch.Generator) -> None:
        for layer in self._model.quantizer.quantizers:
            layer.codebook.embed.normal_(std=RANDOM_STD, generator=generator)


def _num_frames(encoder: torch.nn.Module, length: int) -> int:
    """Return how many steps the convolutions of an encoder, one after the other, make of some."""
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv1d):
            length = convolved_length(layer, length)
    return length
