"""Hidden layers of self-supervised encoders: torchaudio's wav2vec 2.0, HuBERT and WavLM bundles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
import torchaudio.pipelines
from torchaudio.models import Wav2Vec2Model, wav2vec2_model, wavlm_model
from torchaudio.pipelines import Wav2Vec2Bundle

from featbank.errors import ConfigError
from featbank.features.base import UtteranceExtractor, Weights, check_feature_names
from featbank.features.licenses import published_license
from featbank.features.weights import FILE, RANDOM, load_model, source_of, tensors_digest
from featbank.framing import Framing


class SslEncoder(UtteranceExtractor):
    """Transformer layers of one of torchaudio's encoders, each as (T, D) under its own name.

    Only as many layers run as the deepest one asked for. A waveform is computed alone and unpadded:
    padding shifts the group norm of the base models, even under a mask.

    Args:
        bundle: a name in `torchaudio.pipelines`, such as WAVLM_BASE.
        layers: feature name -> transformer layer, from 1, as torchaudio's `extract_features`
            counts; models that normalise first (the large ones) give it before their final norm.
        weights: `download`, `random` or the path of a file as torchaudio publishes it.
        weights_sha256: of a local file, in hexadecimal.
        seed: of random weights.
        license: of the weights of a local file, as the user states it. A bundle's published weights
            have the one that torchaudio documents, which is not to be contradicted here.

    Raises:
        ConfigError: there is no such bundle or layer, or it has another licence.
        WeightsError: the weights cannot be had, or do not fit the bundle.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        bundle: str,
        layers: Mapping[str, int],
        weights: str,
        weights_sha256: str | None = None,
        seed: int = 0,
        license: str | None = None,  # noqa: A002 - the word of the config
    ) -> None:
        published = _find_bundle(bundle)
        self._architecture = _architecture(published)
        self._layers = _check_layers(bundle, layers, self._architecture.num_layers)
        self._source = source_of(weights)
        self._license = _license(bundle, self._source, license)
        self._model = load_model(
            weights,
            weights_sha256=weights_sha256,
            seed=seed,
            build=self._architecture.build,
            download=lambda: _download(published),
            unused=("aux.",),  # the letters of a bundle fine-tuned for recognition
        )

    @property
    def framing(self) -> Framing:
        """The convolutions' receptive field, hopped by the product of their strides."""
        return self._architecture.framing

    @property
    def dimensions(self) -> Mapping[str, int]:
        """The encoder's width, for each feature name."""
        return dict.fromkeys(self._layers, self._architecture.dimension)

    @cached_property
    def weights(self) -> Weights:
        """Where the weights came from; the digest is over the whole model, whatever layers run."""
        return Weights(
            source=self._source,
            digest=tensors_digest(self._model.state_dict()),
            license=self._license,
        )

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        waveform = waveform.clone()  # into torch's own memory
        if self._architecture.normalize_waveform:
            waveform = torch.nn.functional.layer_norm(waveform, waveform.shape)
        deepest = max(self._layers.values())
        outputs, _ = self._model.extract_features(waveform.unsqueeze(0), num_layers=deepest)
        return {name: outputs[layer - 1].squeeze(0) for name, layer in self._layers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Architecture:
    """What a bundle says about its model."""

    factory: Callable[..., Wav2Vec2Model]
    params: Mapping[str, Any]
    sample_rate: int
    normalize_waveform: bool

    def build(self) -> Wav2Vec2Model:
        """Make the encoder with fresh weights, and without a recognition head."""
        return self.factory(**{**self.params, "aux_num_out": None})

    @property
    def num_layers(self) -> int:
        return int(self.params["encoder_num_layers"])

    @property
    def dimension(self) -> int:
        return int(self.params["encoder_embed_dim"])

    @property
    def framing(self) -> Framing:
        window_length = hop_length = 1
        for _, kernel_size, stride in self.params["extractor_conv_layer_config"]:
            window_length += (kernel_size - 1) * hop_length
            hop_length *= stride
        return Framing(
            sample_rate=self.sample_rate, window_length=window_length, hop_length=hop_length
        )


def _find_bundle(name: str) -> Wav2Vec2Bundle:
    bundles = {
        key: value
        for key, value in vars(torchaudio.pipelines).items()
        if isinstance(value, Wav2Vec2Bundle)
    }
    if name not in bundles:
        raise ConfigError("bundle", expected=" or ".join(sorted(bundles)), got=name)
    return bundles[name]


def _architecture(bundle: Wav2Vec2Bundle) -> _Architecture:
    # A bundle's parameters have no public name, and its get_model() always fetches the weights:
    # this is the one place that reaches for them.
    factories = {"Wav2Vec2": wav2vec2_model, "WavLM": wavlm_model}
    return _Architecture(
        factory=factories[bundle._model_type],
        params=bundle._params,
        sample_rate=int(bundle.sample_rate),
        normalize_waveform=bundle._normalize_waveform,
    )


def _download(bundle: Wav2Vec2Bundle) -> Wav2Vec2Model:
    # torch.hub would unpickle anything without weights_only
    options = {"weights_only": True, "map_location": "cpu", "progress": sys.stderr.isatty()}
    model = bundle.get_model(dl_kwargs=options)
    if not isinstance(model, Wav2Vec2Model):
        model = model.model  # torchaudio's wrapper, which normalises the waveform: done in _compute
    model.aux = None
    return model


def _license(bundle: str, source: str, stated: str | None) -> str:
    if source == FILE:
        return stated or ""  # it may hold any weights that fit the bundle
    published = published_license(bundle, stated)
    return "" if source == RANDOM else published


def _check_layers(bundle: str, layers: Mapping[str, int], num_layers: int) -> dict[str, int]:
    if not layers:
        raise ConfigError(f"layers of {bundle}", expected="feature name -> layer", got="none")
    check_feature_names(layers)
    for name, layer in layers.items():
        if type(layer) is not int or not 1 <= layer <= num_layers:
            raise ConfigError(
                f"layers of {bundle}: {name}", expected=f"a layer from 1 to {num_layers}", got=layer
            )
    return dict(layers)
