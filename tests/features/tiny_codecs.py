"""Codecs of the shapes of the published ones, but tiny, saved as `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import (
    DacConfig,
    DacModel,
    EncodecConfig,
    EncodecModel,
    MimiConfig,
    MimiModel,
    XcodecConfig,
    XcodecModel,
)

from featbank.features.codecs.base import Codec
from featbank.features.codecs.dac import Dac
from featbank.features.codecs.encodec import Encodec
from featbank.features.codecs.mimi import Mimi
from featbank.features.codecs.xcodec import Xcodec
from featbank.files.provenance import file_sha256

ENCODEC = {
    "num_filters": 2,
    "hidden_size": 8,
    "codebook_size": 16,
    "target_bandwidths": [0.3, 0.6, 1.2],
}
DAC = {
    "sampling_rate": 16000,
    "downsampling_ratios": [2, 4, 5, 8],
    "encoder_hidden_size": 2,
    "decoder_hidden_size": 32,
    "n_codebooks": 3,
    "codebook_size": 16,
}
TINY_DAC = {  # as an option has it
    "_target_": "featbank.features.codecs.dac.Dac",
    "name": "dac",
    "model": "a/b",
    "weights": "random",
    "architecture": DAC,
    "num_codebooks": 3,
}
MIMI = {
    "frame_rate": 12.5,
    "num_filters": 2,
    "hidden_size": 16,
    "codebook_size": 16,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_quantizers": 4,
    "upsample_groups": 16,
    "num_hidden_layers": 1,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
XCODEC = {
    "codebook_size": 16,
    "target_bandwidths": [0.25, 0.45, 0.65],  # kbit/s; a codebook takes 0.2
    "acoustic_model_config": {
        "model_type": "dac",
        "encoder_hidden_size": 2,
        "decoder_hidden_size": 32,
        "hidden_size": 32,
        "downsampling_ratios": [8, 5, 4, 2],
        "upsampling_ratios": [8, 5, 4, 2],
    },
    "semantic_model_config": {
        "model_type": "hubert",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    },
}
# what an option states of it: fields of its own, not those of the two models inside
XCODEC_STATED = {name: XCODEC[name] for name in ("codebook_size", "target_bandwidths")}


def random_encodec() -> EncodecModel:
    model = EncodecModel(EncodecConfig(**ENCODEC))
    last = model.encoder.layers[-1].conv
    with torch.no_grad():  # a new model's frames are all alike but for a thousandth
        frames = model.encoder(torch.randn(1, 1, 48_000) / 10)
        last.bias -= frames.mean(dim=2).flatten()
        for tensor in (last.bias, last.parametrizations.weight.original0):
            tensor /= frames.std(dim=2).mean()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    return model


def random_dac() -> DacModel:
    return DacModel(DacConfig(**DAC))


def random_mimi() -> MimiModel:
    model = MimiModel(MimiConfig(**MIMI))
    quantizer = model.quantizer
    for part in (
        quantizer.semantic_residual_vector_quantizer,
        quantizer.acoustic_residual_vector_quantizer,
    ):
        for layer in part.layers:
            layer.codebook.embed_sum.normal_(std=0.02)
    return model


def random_xcodec() -> XcodecModel:
    model = XcodecModel(XcodecConfig(**XCODEC))
    for layer in model.quantizer.quantizers:
        layer.codebook.embed.normal_(std=0.02)
    return model


KINDS: dict[str, tuple[Any, type[Codec], dict[str, Any]]] = {
    "encodec": (random_encodec, Encodec, {"architecture": ENCODEC, "bandwidth_kbps": 1.2}),
    "dac": (random_dac, Dac, {"architecture": DAC, "num_codebooks": 3}),
    "mimi": (random_mimi, Mimi, {"architecture": MIMI, "num_codebooks": 4}),
    "xcodec": (
        random_xcodec,
        Xcodec,
        {"architecture": XCODEC_STATED, "bandwidth_kbps": 0.65},
    ),
}


def save_codec(kind: str, folder: Path) -> dict[str, Any]:
    """Save a random codec, and return the arguments that read it."""
    make, _, settings = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        make().save_pretrained(folder)
    return {
        "name": "codes",
        "model": "a/b",
        "weights": str(folder),
        "weights_sha256": file_sha256(folder / "model.safetensors"),
        "license": "mine",
        "max_window_s": 60.0,
        "context_s": 10.0,
        **settings,
    }


def make_codec(kind: str, **changes: Any) -> Codec:
    """Make a random codec that was saved and read, with other arguments."""
    with TemporaryDirectory() as folder:
        return KINDS[kind][1](**{**save_codec(kind, Path(folder)), **changes})
