"""Hidden states of self-supervised encoders: torchaudio's wav2vec 2.0, HuBERT and WavLM bundles."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from featbank.features.base import Weights
from featbank.features.encoders.bundles import architecture, download, find_bundle
from featbank.features.encoders.ssl_parts import EncoderParts, torchaudio_parts
from featbank.features.encoders.waveform_encoder import WaveformEncoder
from featbank.features.precision import FLOAT32
from featbank.features.weights.loading import load_model

_LAYER_NORM_EPSILON = 1e-5
"""Of torch's layer_norm, by which torchaudio and fairseq normalise whole waveforms."""


class SslEncoder(WaveformEncoder):
    """Hidden states of one of torchaudio's encoders, (T, D) or (T, L + 1, D) under each name.

    Args:
        bundle: a name in `torchaudio.pipelines`, such as WAVLM_BASE.
        layers: feature name -> a layer's number, from 1 as torchaudio's `extract_features` counts,
            0 for what the first takes, or a word: see `featbank.features.layers`. Models that
            normalise first (the large ones) give a layer before their final norm, and `final`
            behind it.
        weights: `download`, `random` or the path of a file as torchaudio publishes it.
        weights_sha256: of a local file, in hexadecimal.
        seed: of random weights.
        license: of the weights of a local file, as the user states it. A bundle's published weights
            have the one that torchaudio documents, which is not to be contradicted here.
        precision, max_window_s, context_s: as of `WaveformEncoder`.

    Raises:
        ConfigError: there is no such bundle or layer, it has another licence, or the windows are
            too short for their contexts.
        WeightsError: the weights cannot be had, or do not fit the bundle.
    """

    version: ClassVar[int] = 1
    libraries = ("torchaudio",)
    names_weights = frozenset({"weights", "weights_sha256", "license", "seed"})

    def __init__(
        self,
        *,
        bundle: str,
        layers: Mapping[str, Any],
        weights: str,
        weights_sha256: str | None = None,
        seed: int = 0,
        license: str | None = None,  # noqa: A002 - the word of the config
        precision: str = FLOAT32,
        max_window_s: float | None = None,
        context_s: float = 5.0,
    ) -> None:
        published = find_bundle(bundle)
        self._architecture = architecture(published)
        super().__init__(
            framing=self._architecture.framing,
            layers=layers,
            num_layers=self._architecture.num_layers,
            dimension=self._architecture.dimension,
            where=bundle,
            epsilon=_LAYER_NORM_EPSILON if self._architecture.normalize_waveform else None,
            precision=precision,
            max_window_s=max_window_s,
            context_s=context_s,
        )
        self._loaded = load_model(
            weights,
            name=bundle,
            license=license,
            weights_sha256=weights_sha256,
            seed=seed,
            build=self._architecture.build,
            download=lambda: download(published),
            architecture=self._architecture.described,
            libraries=self.libraries,
            unused=("aux.",),  # the letters of a bundle fine-tuned for recognition
        )
        self._model = self._loaded.model

    @cached_property
    def _parts(self) -> EncoderParts:
        return torchaudio_parts(self._model)

    @cached_property
    def weights(self) -> Weights:
        """Source, digest and licence of the weights; the digest is over the whole model."""
        return self._loaded.weights()
