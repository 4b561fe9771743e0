"""The models that are measured: featbank's own definitions, with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torchaudio.pipelines
import yaml
from torchaudio.pipelines import Wav2Vec2Bundle

CONF = Path(__file__).parent.parent.parent / "conf" / "feature"

_WIDTH = 32  # the least that CPUs compute rightly in bfloat16
_TINY_BUNDLES = {
    "WAVLM_BASE": {"extractor_mode": "group_norm"},
    "HUBERT_BASE": {"extractor_mode": "group_norm"},
    "WAVLM_LARGE": {"extractor_mode": "layer_norm", "encoder_layer_norm_first": True},
    "HUBERT_LARGE": {"extractor_mode": "layer_norm", "encoder_layer_norm_first": True},
}
_TINY = {
    "whisper_large_v3": {
        "context_s": 1.0,
        "architecture": {
            "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64, "num_mel_bins": 80, "max_source_positions": 150,
        },
    },
    "encodec_24khz": {
        "architecture": {
            "sampling_rate": 24000, "num_filters": 2, "hidden_size": 8, "codebook_size": 16,
            "target_bandwidths": [0.3, 0.6, 1.2],
        },
        "bandwidth_kbps": 1.2,
    },
    "mimi": {
        "architecture": {
            "sampling_rate": 24000, "frame_rate": 12.5, "num_filters": 2, "hidden_size": 16,
            "codebook_size": 16, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8,
            "num_quantizers": 4, "upsample_groups": 16, "num_hidden_layers": 1,
            "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2,
        },
        "num_codebooks": 4,
    },
}  # fmt: skip
_LAYERS_CHECKED = 3  # all of a kind: what holds for three holds for each


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One definition to measure.

    Args:
        option: its name in conf/feature.
        goal: seconds of audio a second, from files to published stores, on an H200 with 16 cores.
        share: of the time, next to the other models'.
        precision: that it computes in; empty where its definition has none.
        needs: modules that its reference implementation, and featbank's build of it, is in.
        extractor: as the definition has it, with random weights.
        storage: as the definition has it.
    """

    option: str
    goal: float
    share: float = 1.0
    precision: str = ""
    needs: tuple[str, ...] = ("torchaudio",)
    extractor: Mapping[str, Any] = field(default_factory=dict)
    storage: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def lacks(self) -> str:
        """Names of modules that it needs and that are not installed."""
        return ", ".join(module for module in self.needs if not find_spec(module))

    @property
    def is_codec(self) -> bool:
        return "layers" not in self.extractor

    def read(self, *, tiny: bool) -> Model:
        """Return the model with its definition, or a tiny one of the same kind."""
        settings = yaml.safe_load((CONF / f"{self.option}.yaml").read_text(encoding="utf-8"))
        extractor = {**settings["extractor"], "weights": "random", "revision": None}
        if self.precision:
            extractor["precision"] = self.precision
        if "bundle" in extractor:
            del extractor["revision"]
            if tiny:
                extractor["bundle"] = _offer_tiny_bundle(extractor["bundle"])
                extractor["layers"] = dict.fromkeys(extractor["layers"], 2)
        elif tiny:
            extractor |= _TINY[self.option]
        return replace(self, extractor=extractor, storage=settings["storage"])

    def checked(self, precision: str) -> Mapping[str, Any]:
        """Return the extractor in a precision, with few of its layers: enough to see what is wrong.

        Args:
            precision: the encoder's; codecs have none.
        """
        if self.is_codec:
            return self.extractor
        extractor = {**self.extractor, "precision": precision}
        layers = extractor["layers"]
        if "architecture" in extractor:  # whisper: what is behind the last of them is asked for
            architecture = extractor["architecture"]
            few = min(_LAYERS_CHECKED, architecture["encoder_layers"])
            extractor["architecture"] = {**architecture, "encoder_layers": few}
        else:
            few = min(_LAYERS_CHECKED, *layers.values())
            extractor["layers"] = dict.fromkeys(layers, few)
        return extractor


_TRANSFORMERS = ("transformers",)
MODELS = (
    Model(option="wavlm", goal=10_000, precision="bfloat16"),
    Model(option="hubert", goal=10_000, precision="bfloat16"),
    Model(option="wavlm_large", goal=5_000, share=1.2, precision="bfloat16"),
    Model(option="hubert_large", goal=5_000, share=1.2, precision="bfloat16"),
    Model(
        option="whisper_large_v3",
        goal=2_500,
        share=1.5,
        precision="bfloat16",
        needs=_TRANSFORMERS,
    ),
    Model(option="mimi", goal=5_000, needs=_TRANSFORMERS),
    Model(option="encodec_24khz", goal=0, needs=_TRANSFORMERS),
)
"""A goal of 0: no goal was set."""


def _offer_tiny_bundle(name: str) -> str:
    """Let torchaudio have a bundle of the same kind, but tiny; return its name."""
    published = getattr(torchaudio.pipelines, name)
    tiny = f"TINY_{name}"
    params = {
        **published._params,
        "extractor_conv_layer_config": [(_WIDTH, 10, 5), (_WIDTH, 8, 4), *[(_WIDTH, 4, 4)] * 2],
        "encoder_embed_dim": _WIDTH,
        "encoder_num_layers": 3,
        "encoder_num_heads": 2,
        "encoder_ff_interm_features": 64,
        "encoder_pos_conv_groups": 1,
        **_TINY_BUNDLES[name],
    }
    bundle = Wav2Vec2Bundle(
        _path="tiny.pth",
        _params=params,
        _sample_rate=16_000,
        _normalize_waveform=published._normalize_waveform,
        _model_type=published._model_type,
    )
    setattr(torchaudio.pipelines, tiny, bundle)
    return tiny
