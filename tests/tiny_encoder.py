"""Encoders of a thousandth of the size, one of each family that torchaudio has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
import torchaudio.pipelines
from torchaudio.pipelines import Wav2Vec2Bundle

from featbank.errors import AudioError
from featbank.features.base import AudioBatch, LongWaveform
from featbank.features.encoders.ssl import SslEncoder

KINDS: dict[str, dict[str, Any]] = {
    "wav2vec2 base": {"extractor_mode": "group_norm"},
    "wav2vec2 large": {"extractor_mode": "layer_norm", "encoder_layer_norm_first": True},
    "wavlm base": {"extractor_mode": "group_norm"},
    "wavlm large": {"extractor_mode": "layer_norm", "encoder_layer_norm_first": True},
}


class TinyEncoder(SslEncoder):
    """Gives `low` and `high` or other layers, 50 frames a second that see 345 samples.

    No bias is zero, so that a padded frame is not zero by chance.

    Args:
        kind: a key of `KINDS`.
        max_window_s, context_s, layers, precision: as of `SslEncoder`.
        width: of its layers and convolutions.
        positional_groups: of the positional convolution.
    """

    def __init__(
        self,
        kind: str = "wavlm base",
        max_window_s: float | None = None,
        context_s: float = 5.0,
        *,
        layers: Mapping[str, Any] = MappingProxyType({"low": 1, "high": 3}),
        precision: str = "float32",
        width: int = 16,
        positional_groups: int = 4,
    ) -> None:
        with _bundle(kind, width, positional_groups):
            super().__init__(
                bundle="TINY",
                layers=layers,
                weights="random",
                precision=precision,
                max_window_s=max_window_s,
                context_s=context_s,
            )
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                if name.endswith("bias"):
                    parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


class NotedEncoder(TinyEncoder):
    """Notes the id of each utterance that it encodes in the file that COMPUTED_LOG names."""

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        with open(os.environ["COMPUTED_LOG"], "a", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in batch.ids))
        return super().compute_features(batch, split)


class PickyEncoder(TinyEncoder):
    """Has no use for the utterances of one corpus folder, and for what is computed with them."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:
        if any(id.startswith(self._folder) for id in batch.ids):  # noqa: A001
            raise AudioError("utterance", kind="bad_features", expected="another", got=batch.ids)
        return super().compute_features(batch, split)


class GreedyEncoder(TinyEncoder):
    """Needs more memory than a GPU has."""

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:  # noqa: ARG002
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def compute_pieces(self, recording: LongWaveform, split: str) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        yield from self.compute_features(AudioBatch(ids=["a"], waveforms=[]), split)


@contextmanager
def _bundle(kind: str, width: int, positional_groups: int) -> Iterator[None]:
    """Let torchaudio have a bundle called TINY."""
    is_wavlm = kind.startswith("wavlm")
    published = torchaudio.pipelines.WAVLM_BASE if is_wavlm else torchaudio.pipelines.WAV2VEC2_BASE
    params = {
        **published._params,
        "extractor_conv_bias": kind.endswith("large"),
        "extractor_conv_layer_config": [(width, 10, 5), (width, 8, 4), *[(width, 4, 4)] * 2],
        "encoder_embed_dim": width,
        "encoder_num_layers": 3,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 32,
        "encoder_pos_conv_groups": positional_groups,
        **KINDS[kind],
    }
    torchaudio.pipelines.TINY = Wav2Vec2Bundle(  # type: ignore[attr-defined]
        _path="tiny.pth",
        _params=params,
        _sample_rate=16000,
        _normalize_waveform=kind.endswith("large"),
        _model_type="WavLM" if is_wavlm else "Wav2Vec2",
    )
    try:
        yield
    finally:
        del torchaudio.pipelines.TINY  # type: ignore[attr-defined]
