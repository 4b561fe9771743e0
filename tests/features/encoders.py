"""Small encoders of each class that runs on a device, by a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from featbank.features.encoders.encoder import Encoder
from featbank.features.encoders.transformers_ssl import TransformersEncoder
from featbank.features.encoders.w2v_bert import Wav2Vec2BertEncoder
from featbank.features.encoders.whisper import WhisperEncoder
from tests.tiny_encoder import KINDS, TinyEncoder

LAYERS = {"zeroth": 0, "second": 2, "last": "final"}
_WIDE: dict[str, Any] = {  # as wide as every CPU needs for bfloat16
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_SSL = {
    "conv_dim": [32] * 4,
    "conv_kernel": [10, 8, 4, 4],
    "conv_stride": [5, 4, 4, 4],
    "num_feat_extract_layers": 4,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 1,
}
_LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


def _bundle(kind: str) -> Callable[..., Encoder]:
    def make(**settings: Any) -> Encoder:
        return TinyEncoder(kind, width=64, positional_groups=1, **settings)

    return make


def _transformers(kind: str, **fields: Any) -> Callable[..., Encoder]:
    def make(**settings: Any) -> Encoder:
        return TransformersEncoder(
            kind=kind,
            model="tiny/encoder",
            normalize_waveform=True,
            weights="random",
            architecture={**_WIDE, **_SSL, **fields},
            **settings,
        )

    return make


def _w2v_bert(**fields: Any) -> Callable[..., Encoder]:
    def make(**settings: Any) -> Encoder:
        architecture = {**_WIDE, "conv_depthwise_kernel_size": 5, **fields}
        return Wav2Vec2BertEncoder(
            model="tiny/encoder", architecture=architecture, weights="random", **settings
        )

    return make


def _whisper(**settings: Any) -> Encoder:
    """Of two seconds; the published ones take 30."""
    architecture = {
        "d_model": 64,
        "encoder_layers": 3,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "max_source_positions": 100,
    }
    given = {"context_s": 0.4, **settings}
    return WhisperEncoder(
        model="tiny/encoder", architecture=architecture, weights="random", **given
    )


ENCODERS: dict[str, Callable[..., Encoder]] = {
    **{f"{kind} of torchaudio": _bundle(kind) for kind in KINDS},
    "wavlm of transformers": _transformers("wavlm"),
    "wavlm large of transformers": _transformers("wavlm", **_LARGE),
    "hubert of transformers": _transformers("hubert"),
    "wav2vec 2.0 large with an adapter": _transformers("wav2vec2", adapter_attn_dim=8, **_LARGE),
    "data2vec": _transformers("data2vec-audio"),
    "w2v-BERT": _w2v_bert(),
    "w2v-BERT, rotary": _w2v_bert(position_embeddings_type="rotary"),
    "w2v-BERT, relative": _w2v_bert(position_embeddings_type="relative"),
    "w2v-BERT without positions": _w2v_bert(position_embeddings_type=None),
    "whisper": _whisper,
}


def of(name: str, **settings: Any) -> Encoder:
    """Make one; settings as of its class."""
    return ENCODERS[name](**{"layers": LAYERS, **settings})
