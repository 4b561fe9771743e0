"""The Descript Audio Codec, in the build of the transformers library."""

from __future__ import annotations

from math import ceil, prod

import torch
from torch.nn.functional import pad

from featbank.features.codecs.choosing import (
    CodecOfFirstCodebooks,  # first: it says what is lacking
)
from featbank.features.codecs.padded_symmetric import encode_dac

# isort: split
from transformers import DacModel


class Dac(CodecOfFirstCodebooks):
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

    def _embed(self, waveforms: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        hop = self.hop_length
        filled = pad(waveforms, (0, -waveforms.shape[1] % hop))
        lengths = num_samples + -num_samples % hop
        embedded, _ = encode_dac(self._model.encoder, filled, lengths)
        return embedded

    def _quantize(self, embedded: torch.Tensor) -> torch.Tensor:
        codes: torch.Tensor = self._model.quantizer(embedded, self.num_codebooks)[1]
        return codes

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waveform: torch.Tensor = self._model.decode(audio_codes=codes[None]).audio_values
        return waveform
