"""Architectures of torchaudio's bundled encoders: wav2vec 2.0, HuBERT and WavLM."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchaudio.pipelines
from torchaudio.models import Wav2Vec2Model, wav2vec2_model, wavlm_model
from torchaudio.pipelines import Wav2Vec2Bundle

from featbank.base.framing import Framing
from featbank.base.notices import tell
from featbank.errors import ConfigError
from featbank.features.encoders.ssl_parts import convolution_framing
from featbank.features.weights.sources import hub_cache, tell_loading


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Architecture of a bundle's model.

    Args:
        factory: of torchaudio's, which makes the model.
        params: its arguments.
        sample_rate: of the waveforms that the model was trained on, in Hz.
        normalize_waveform: whether it takes them with mean 0 and variance 1.
    """

    factory: Callable[..., Wav2Vec2Model]
    params: Mapping[str, Any]
    sample_rate: int
    normalize_waveform: bool

    def build(self) -> Wav2Vec2Model:
        """Make the encoder with fresh weights, and without a recognition head."""
        return self.factory(**{**self.params, "aux_num_out": None})

    @property
    def described(self) -> list[Any]:
        """The architecture as JSON values."""
        return [self.factory.__name__, dict(self.params)]

    @property
    def num_layers(self) -> int:
        """Number of transformer layers."""
        return int(self.params["encoder_num_layers"])

    @property
    def dimension(self) -> int:
        """Width of each layer."""
        return int(self.params["encoder_embed_dim"])

    @property
    def framing(self) -> Framing:
        """The convolutions' receptive field, hopped by the product of their strides."""
        layers = self.params["extractor_conv_layer_config"]
        return convolution_framing([layer[1:] for layer in layers], self.sample_rate)


def find_bundle(name: str) -> Wav2Vec2Bundle:
    """Return the bundle of that name in `torchaudio.pipelines`.

    Raises:
        ConfigError: there is none.
    """
    bundles = {
        key: value
        for key, value in vars(torchaudio.pipelines).items()
        if isinstance(value, Wav2Vec2Bundle)
    }
    if name not in bundles:
        raise ConfigError("bundle", expected=" or ".join(sorted(bundles)), got=name)
    return bundles[name]


def architecture(bundle: Wav2Vec2Bundle) -> Architecture:
    """Return the architecture of a bundle's model."""
    # A bundle's parameters have no public name, and its get_model() always fetches the weights:
    # this is the one place that reaches for them.
    factories = {"Wav2Vec2": wav2vec2_model, "WavLM": wavlm_model}
    return Architecture(
        factory=factories[bundle._model_type],
        params=bundle._params,
        sample_rate=int(bundle.sample_rate),
        normalize_waveform=bundle._normalize_waveform,
    )


def download(bundle: Wav2Vec2Bundle) -> Wav2Vec2Model:
    """Make the encoder of a bundle with its published weights, and without a recognition head."""
    # under the name that torch.hub gives it
    file = hub_cache() / Path(bundle._path).name
    if file.is_file():
        tell_loading(file.stem, [file])
    else:
        tell(phase=f"downloading the weights {file.name} to {file.parent}")
    # torch.hub would unpickle anything without weights_only
    options = {"weights_only": True, "map_location": "cpu", "progress": sys.stderr.isatty()}
    model = bundle.get_model(dl_kwargs=options)
    if not isinstance(model, Wav2Vec2Model):
        model = model.model  # torchaudio's wrapper, which normalises the waveform: SslEncoder does
    model.aux = None
    return model
