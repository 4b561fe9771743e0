"""Hidden states of self-supervised encoders in the build of the transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from featbank.errors import ConfigError, WeightsError
from featbank.features.base import Weights
from featbank.features.encoders.ssl_parts import EncoderParts, convolution_framing
from featbank.features.encoders.transformers_parts import transformers_parts
from featbank.features.encoders.waveform_encoder import WaveformEncoder
from featbank.features.precision import FLOAT32
from featbank.features.weights.hub import preprocessor_of
from featbank.features.weights.pretrained import load_pretrained

from transformers import Data2VecAudioModel, HubertModel, Wav2Vec2Model, WavLMModel  # isort: skip
from transformers import PreTrainedConfig, PreTrainedModel  # isort: skip

KINDS: Mapping[str, type[PreTrainedModel]] = MappingProxyType(
    {
        "wavlm": WavLMModel,
        "hubert": HubertModel,
        "wav2vec2": Wav2Vec2Model,
        "data2vec-audio": Data2VecAudioModel,
    }
)
"""By the word for it in a model's own `config.json`, `model_type`."""

_SAMPLE_RATE = 16000
_EPSILON = 1e-7
"""By which the library's `Wav2Vec2FeatureExtractor` normalises waveforms."""


class TransformersEncoder(WaveformEncoder):
    """Hidden states of a model of the transformers library, (T, D) or (T, L + 1, D) a name.

    Of a model that torchaudio has too, `SslEncoder` gives the same (within 1e-5, but for the
    epsilon by which it normalises waveforms), of WavLM in less time.

    Args:
        kind: wavlm, hubert, wav2vec2 or data2vec-audio.
        model: its name on the hub, owner/name.
        layers: feature name -> a layer's number, from 1, 0 for what the first takes, or a word: see
            `featbank.features.layers`. Models with a stable layer norm (the large ones) give a
            layer before their final norm, and `final` behind it.
        normalize_waveform: whether it takes waveforms with mean 0 and variance 1: `do_normalize` of
            the model's own feature extractor, with which it is compared where one is stated.
        weights: `download`, `random` or the path of a folder that `save_pretrained` wrote.
        revision: the commit of a download, in 40 hexadecimal digits.
        weights_sha256: of the weights in a local folder, in hexadecimal.
        architecture: fields of the model's configuration, by which random weights are made, and
            with which others must agree.
        seed: of random weights.
        license: of the weights, in the user's words.
        precision, max_window_s, context_s: as of `WaveformEncoder`.

    Raises:
        ConfigError: there is no such kind, layer or precision, the windows are too short for their
            contexts, or a download is not pinned.
        WeightsError: the weights cannot be had, or are not what the configuration says.
    """

    version: ClassVar[int] = 1
    names_weights = frozenset(
        {"weights", "weights_sha256", "license", "seed", "model", "revision", "architecture"}
    )
    libraries = ("transformers",)

    def __init__(
        self,
        *,
        kind: str,
        model: str,
        layers: Mapping[str, Any],
        normalize_waveform: bool,
        weights: str,
        revision: str | None = None,
        weights_sha256: str | None = None,
        architecture: Mapping[str, Any] = MappingProxyType({}),
        seed: int = 0,
        license: str | None = None,  # noqa: A002 - the word of the config
        precision: str = FLOAT32,
        max_window_s: float | None = None,
        context_s: float = 5.0,
    ) -> None:
        if kind not in KINDS:
            raise ConfigError("kind of encoder", expected=" or ".join(KINDS), got=kind)
        self._loaded = load_pretrained(
            KINDS[kind],
            weights=weights,
            model=model,
            revision=revision,
            weights_sha256=weights_sha256,
            architecture=architecture,
            license=license,
            seed=seed,
            unused=("masked_spec_embed",),  # of training; such as wav2vec2-base-960h lacks it
        )
        self._model: PreTrainedModel = self._loaded.model
        config = self._model.config
        _refuse_adapter(config, model)
        _check_preprocessor(preprocessor_of(weights, model, revision), model, normalize_waveform)
        super().__init__(
            framing=convolution_framing(
                zip(config.conv_kernel, config.conv_stride, strict=True), _SAMPLE_RATE
            ),
            layers=layers,
            num_layers=config.num_hidden_layers,
            dimension=config.hidden_size,
            where=model,
            epsilon=_EPSILON if normalize_waveform else None,
            precision=precision,
            max_window_s=max_window_s,
            context_s=context_s,
        )

    @cached_property
    def _parts(self) -> EncoderParts:
        return transformers_parts(self._model)

    @cached_property
    def weights(self) -> Weights:
        """Source, digest and licence; the digest is over all weights and the configuration."""
        return self._loaded.weights()


def _refuse_adapter(config: PreTrainedConfig, model: str) -> None:
    if getattr(config, "add_adapter", False):
        raise ConfigError(
            f"architecture of {model}: add_adapter",
            expected="false: an adapter behind the encoder gives frames at another rate",
            got="true",
        )


def _check_preprocessor(
    stated: Mapping[str, Any] | None, model: str, normalize_waveform: bool
) -> None:
    if stated is None:
        return
    expected = {"sampling_rate": _SAMPLE_RATE, "do_normalize": normalize_waveform}
    for name, value in expected.items():
        if stated.get(name, value) != value:
            raise WeightsError(
                f"feature extractor of {model}: {name}",
                expected=value,
                got=stated[name],
                hint="set normalize_waveform to what it says"
                if name == "do_normalize"
                else "only encoders of 16000 Hz are known here",
            )
