"""Hidden layers of self-supervised encoders: torchaudio's wav2vec 2.0, HuBERT and WavLM bundles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from torch.nn.functional import layer_norm

from featbank.errors import ConfigError
from featbank.features.base import (
    LongWaveform,
    Output,
    UtteranceExtractor,
    Weights,
    check_feature_names,
)
from featbank.features.bundles import architecture, download, find_bundle
from featbank.features.licenses import published_license
from featbank.features.ssl_front_end import RecordingFrontEnd
from featbank.features.ssl_padded import encode_padded
from featbank.features.weights import FILE, RANDOM, load_model, source_of, tensors_digest
from featbank.features.windows import plan_windows, read_windows
from featbank.framing import Framing


class SslEncoder(UtteranceExtractor):
    """Transformer layers of one of torchaudio's encoders, each as (T, D) under its own name.

    Only as many layers run as the deepest one asked for. A waveform is computed alone and unpadded,
    or in a batch where nothing of it sees its padding: see `featbank.features.ssl_padded`.

    Attention takes memory by the square of the length, so a recording longer than `max_window_s` is
    computed in windows of about the same length. What is normalised over the whole waveform still
    is, by statistics from a pass of its own, so that the convolutions give what they give of the
    whole (within 2e-6 of their greatest value). Attention and the positional convolution see one
    window: what that changes near the seams is for `python -m benchmarks.seams` to measure.

    Args:
        bundle: a name in `torchaudio.pipelines`, such as WAVLM_BASE.
        layers: feature name -> transformer layer, from 1, as torchaudio's `extract_features`
            counts; models that normalise first (the large ones) give it before their final norm.
        weights: `download`, `random` or the path of a file as torchaudio publishes it.
        weights_sha256: of a local file, in hexadecimal.
        seed: of random weights.
        license: of the weights of a local file, as the user states it. A bundle's published weights
            have the one that torchaudio documents, which is not to be contradicted here.
        max_window_s: the longest waveform that is computed at once, in seconds; None for any.
        context_s: what a window computes beyond each of its seams and leaves to its neighbour.

    Raises:
        ConfigError: there is no such bundle or layer, it has another licence, or the windows are
            too short for their contexts.
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
        max_window_s: float | None = None,
        context_s: float = 5.0,
    ) -> None:
        published = find_bundle(bundle)
        self._architecture = architecture(published)
        self._windowing = _windowing(self.framing, max_window_s, context_s)
        self._layers = _check_layers(bundle, layers, self._architecture.num_layers)
        self._source = source_of(weights)
        self._license = _license(bundle, self._source, license)
        self._device = torch.device("cpu")
        self._model = load_model(
            weights,
            weights_sha256=weights_sha256,
            seed=seed,
            build=self._architecture.build,
            download=lambda: download(published),
            unused=("aux.",),  # the letters of a bundle fine-tuned for recognition
        )

    @property
    def framing(self) -> Framing:
        """The convolutions' receptive field, hopped by the product of their strides."""
        return self._architecture.framing

    @property
    def max_samples(self) -> int | None:
        """What `max_window_s` lasts."""
        return self._windowing.max_samples if self._windowing else None

    @property
    def outputs(self) -> Mapping[str, Output]:
        """The encoder's width, for each feature name."""
        return dict.fromkeys(self._layers, Output((self._architecture.dimension,)))

    @cached_property
    def weights(self) -> Weights:
        """Where the weights came from; the digest is over the whole model, whatever layers run."""
        return Weights(
            source=self._source,
            digest=tensors_digest(self._model.state_dict()),
            license=self._license,
        )

    @property
    def uses_device(self) -> bool:
        """True: a GPU computes a batch many times as fast as a processor."""
        return True

    def to(self, device: str) -> None:
        """Move the model to a device."""
        self._model.to(device)
        self._device = torch.device(device)

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        waveform = waveform.to(self._device, copy=True)  # into torch's own memory
        if self._architecture.normalize_waveform:
            waveform = layer_norm(waveform, waveform.shape)
        frames, _ = self._model.feature_extractor(waveform.unsqueeze(0), None)
        return self._encode(frames)

    def _encode(self, frames: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Run the transformer over what the convolutions gave, (1, T, D)."""
        deepest = max(self._layers.values())
        outputs = self._model.encoder.extract_features(frames, None, num_layers=deepest)
        return {name: outputs[layer - 1].squeeze(0) for name, layer in self._layers.items()}

    def _compute_padded(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        outputs = encode_padded(
            self._model,
            waveforms.to(self._device),
            num_samples.to(self._device),
            num_layers=max(self._layers.values()),
            normalize_waveform=self._architecture.normalize_waveform,
        )
        return {name: outputs[layer - 1] for name, layer in self._layers.items()}

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        assert self._windowing is not None
        windows = plan_windows(
            recording.num_samples,
            self.framing,
            max_frames=self.framing.num_frames(self._windowing.max_samples),
            context_frames=self._windowing.context_frames,
        )
        front_end = RecordingFrontEnd(
            self._model, recording, normalize_waveform=self._architecture.normalize_waveform
        )
        for window, samples in read_windows(recording, windows):
            features = self._encode(front_end(torch.from_numpy(samples).to(self._device)))
            yield {name: rows[window.kept_rows] for name, rows in features.items()}


class _Windowing(NamedTuple):
    max_samples: int
    context_frames: int


def _windowing(framing: Framing, max_window_s: float | None, context_s: float) -> _Windowing | None:
    if max_window_s is None:
        return None
    windowing = _Windowing(
        max_samples=round(max_window_s * framing.sample_rate),
        context_frames=round(context_s * framing.frame_rate),
    )
    if context_s < 0:
        raise ConfigError("context_s", expected="0 seconds or more", got=context_s)
    if framing.num_frames(windowing.max_samples) <= 2 * windowing.context_frames:
        raise ConfigError(
            "max_window_s",
            expected=f"over {2 * context_s:g} seconds, for context_s on both sides",
            got=max_window_s,
        )
    return windowing


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
