"""Wav2Vec2-BERT: w2v-BERT 2.0 (Seamless Communication et al. 2023, arXiv:2312.05187, 3.2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from featbank.base.framing import Framing
from featbank.features.base import AudioBatch, LongWaveform
from featbank.features.encoders.conformer_layers import RelativeKeys, layer_over_padded
from featbank.features.encoders.encoder import Encoder
from featbank.features.encoders.padded_attention import ValidFrames
from featbank.features.layers import Layers
from featbank.features.precision import FLOAT32, check_precision
from featbank.features.signal.kaldi import INT16_SCALE, Fbank
from featbank.features.weights.pretrained_extractor import PretrainedExtractor
from featbank.features.windows import (
    Window,
    check_context,
    plan_windows,
    read_windows,
    window_batches,
)

from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertModel  # isort: skip

_STACKED = 2  # frames of the filterbank in one of the encoder
_LEAST_VARIANCE = 1e-7
_FRAMING = Framing(sample_rate=16000, window_length=400 + 160, hop_length=_STACKED * 160)


class Wav2Vec2BertEncoder(Encoder, PretrainedExtractor):
    """Hidden states of a Wav2Vec2-BERT encoder, 50 a second.

    The front end is that of `SeamlessM4TFeatureExtractor`: Kaldi's log-mel filterbank of the 16-bit
    range, each bin with mean 0 and variance 1 over the utterance, two frames as one. An odd frame
    at the end counts in the statistics and is then left, having no partner: the reference gives a
    row for it that it masks. The filterbank is computed in float32, as Kaldi's is, and the
    reference's in float64: normalised values differ by 1e-6 on average, and by up to 0.03 where the
    audio has next to nothing in a band. A batch has its front end on the device of the model.

    A recording longer than `max_window_s` is computed in windows of about the same length, with the
    statistics of the whole recording, from a pass of their own; attention sees one window.

    Args:
        model: name on the hub, such as facebook/w2v-bert-2.0.
        architecture: fields of `Wav2Vec2BertConfig`.
        layers: feature name -> states, as `Layers` has them; `final` is the last, behind whose norm
            there is no other.
        weights: `download`, `random` or a folder, as `load_pretrained` takes them.
        revision: commit on the hub, for a download.
        weights_sha256: of the weights file in a folder.
        seed: of random weights.
        license: of the weights.
        precision: float32, bfloat16 or, on a GPU, float16 or tf32, as of
            `featbank.features.precision`; features are float32 in any, and so is the front end.
        max_window_s: the longest waveform that is computed at once, in seconds; None for any.
            Memory grows with the square: the relative positions of 30 s take 0.6 GB, those of 60 s
            2.3 GB.
        context_s: what a window computes beyond each of its seams and leaves to its neighbour.

    Raises:
        ConfigError: there is no such layer or precision, or `context_s` leaves nothing of a window.
        WeightsError: the weights cannot be had, or are of another model.
    """

    version: ClassVar[int] = 1

    def __init__(
        self,
        *,
        model: str,
        architecture: Mapping[str, Any],
        layers: Mapping[str, Any],
        weights: str,
        revision: str | None = None,
        weights_sha256: str | None = None,
        seed: int = 0,
        license: str | None = None,  # noqa: A002 - the word of the config
        max_window_s: float | None = 30.0,
        precision: str = FLOAT32,
        context_s: float = 5.0,
    ) -> None:
        self._precision = check_precision(precision)
        self._max_samples: int | None = None
        if max_window_s is not None:
            self._max_samples = round(max_window_s * _FRAMING.sample_rate)
            max_frames = _FRAMING.num_frames(self._max_samples)
            self._context_frames = check_context(context_s, _FRAMING, max_frames)
        self._load(
            Wav2Vec2BertModel,
            weights=weights,
            model=model,
            revision=revision,
            weights_sha256=weights_sha256,
            architecture=architecture,
            seed=seed,
            license=license,
        )
        config = self._model.config
        self._layers = Layers(
            layers, num_layers=config.num_hidden_layers, dimension=config.hidden_size, where=model
        )

    @property
    def framing(self) -> Framing:
        """The frame grid: two frames of the filterbank, every 20 ms."""
        return _FRAMING

    @property
    def max_samples(self) -> int | None:
        """Number of samples that `max_window_s` lasts."""
        return self._max_samples

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        with self._computing():
            return self._encode_alone(self._rows(waveform))

    def _compute_padded(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        num_frames = _num_frames(num_samples, self._fbank.framing)
        log_mel = self._log_mel_of_rows(waveforms)
        rows = _stacked_rows(log_mel, *_moments(log_mel, num_frames))
        return self._encode_padded(rows, num_frames // _STACKED)

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        scaling = self._scaling_of(recording)
        for window, samples in read_windows(recording, self._windows(recording)):
            rows = _stacked(self._log_mel(torch.from_numpy(samples)), scaling)
            with self._computing():
                features = self._encode_alone(rows)
            yield {name: states[window.kept_rows] for name, states in features.items()}

    def _compute_windows_together(
        self, recording: LongWaveform, batch_samples: int
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        mean, factor = map(torch.from_numpy, self._scaling_of(recording))
        for batch in window_batches(recording, self._windows(recording), batch_samples):
            with self._computing():
                waveforms, num_samples, *scaling = (
                    one.to(self._device)
                    for one in (batch.waveforms, batch.num_samples, mean, factor)
                )
                rows = _stacked_rows(self._log_mel_of_rows(waveforms), *scaling)
                num_frames = _num_frames(num_samples, self._fbank.framing) // _STACKED
                features = {
                    name: states.cpu()
                    for name, states in self._encode_padded(rows, num_frames).items()
                }
            for row, window in enumerate(batch.windows):
                yield {name: states[row, window.kept_rows] for name, states in features.items()}

    def _windows(self, recording: LongWaveform) -> list[Window]:
        assert self._max_samples is not None
        return plan_windows(
            recording.num_samples,
            _FRAMING,
            max_frames=_FRAMING.num_frames(self._max_samples),
            context_frames=self._context_frames,
        )

    def _scaling_of(self, recording: LongWaveform) -> _MelScaling:
        return _scaling(piece["fbank"] for piece in self._fbank.compute_pieces(recording, ""))

    def _rows(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return what the encoder takes of a whole waveform, (T, 160)."""
        log_mel = self._log_mel(waveform)
        return _stacked(log_mel, _scaling([log_mel]))

    @cached_property
    def _fbank(self) -> Fbank:
        num_mel_bins = self._model.config.feature_projection_input_dim // _STACKED
        return Fbank(num_mel_bins=num_mel_bins, waveform_scale=INT16_SCALE)

    def _log_mel(self, waveform: torch.Tensor) -> NDArray[np.float32]:
        [features] = self._fbank.compute_features(AudioBatch(ids=[""], waveforms=[waveform]), "")
        log_mel: NDArray[np.float32] = features["fbank"]
        return log_mel

    def _log_mel_of_rows(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Return the filterbank of padded waveforms (B, S), on their device."""
        with self._computing_exactly():
            return self._fbank.log_mel(waveforms)

    def _encode_alone(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Turn what the encoder takes of one waveform, (T, 160), into features (T, ...)."""
        encoder = self._model.encoder
        taken = rows.to(self._device, self._dtype).unsqueeze(0)
        hidden, _ = self._model.feature_projection(taken)
        positions = encoder.embed_positions and encoder.embed_positions(hidden)
        states = [hidden]
        for layer in encoder.layers[: self._layers.deepest]:
            states.append(layer(states[-1], relative_position_embeddings=positions))
        features = self._layers(states, states[-1])
        return {name: values[0] for name, values in features.items()}

    def _encode_padded(
        self, rows: torch.Tensor, num_frames: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Turn padded rows (B, T, 160), of which (B,) are valid, into features (B, T, ...)."""
        encoder = self._model.encoder
        hidden, _ = self._model.feature_projection(rows.to(self._dtype))
        valid = ValidFrames(num_frames, hidden.shape[1], hidden.dtype)
        hidden = hidden * valid.mask.unsqueeze(2)
        positions = encoder.embed_positions and self._constant(
            # held here: the module drops them for those of another length, and a graph reads on
            f"positions of {hidden.shape[1]}",
            lambda: encoder.embed_positions(hidden),
        )
        states = [hidden]
        for layer in encoder.layers[: self._layers.deepest]:
            states.append(
                layer_over_padded(layer, states[-1], valid, positions, self._relative_keys)
            )
        return self._layers(states, states[-1])

    @cached_property
    def _relative_keys(self) -> RelativeKeys:
        return RelativeKeys()


class _MelScaling(NamedTuple):
    """A normalised value is (value - mean) x factor; each (num_mel_bins,) float64."""

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]


def _scaling(pieces: Iterable[NDArray[np.float32]]) -> _MelScaling:
    """Gather mean and variance, over the count less one, of all frames (T, num_mel_bins)."""
    count, total, squares = 0, np.float64(0), np.float64(0)
    for piece in pieces:
        values = piece.astype(np.float64)
        count += len(values)
        total = total + values.sum(axis=0)
        squares = squares + np.square(values).sum(axis=0)
    mean = np.asarray(total / count)
    variance = np.maximum(squares - count * np.square(mean), 0) / (count - 1)
    return _MelScaling(mean, (variance + _LEAST_VARIANCE) ** -0.5)


def _stacked(log_mel: NDArray[np.float32], scaling: _MelScaling) -> torch.Tensor:
    """Normalise (T, D) and return pairs of frames, (T // 2, 2 D)."""
    paired = log_mel[: len(log_mel) // _STACKED * _STACKED].astype(np.float64)
    normal = torch.from_numpy((paired - scaling.mean) * scaling.factor)
    return normal.float().view(-1, _STACKED * log_mel.shape[1])  # in torch's own memory


def _num_frames(num_samples: torch.Tensor, framing: Framing) -> torch.Tensor:
    """Return how many frames of the filterbank waveforms (B,) have."""
    return (num_samples - framing.window_length) // framing.hop_length + 1


def _moments(log_mel: torch.Tensor, num_frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the `_MelScaling` of the valid frames of each row: (B, 1, num_mel_bins) each."""
    valid = torch.arange(log_mel.shape[1], device=log_mel.device) < num_frames.unsqueeze(1)
    values = log_mel.double() * valid.unsqueeze(2)
    count = num_frames.view(-1, 1, 1)
    mean = values.sum(dim=1, keepdim=True) / count
    squares = values.square().sum(dim=1, keepdim=True)
    variance = (squares - count * mean.square()).clamp(min=0) / (count - 1)
    return mean, (variance + _LEAST_VARIANCE).rsqrt()


def _stacked_rows(log_mel: torch.Tensor, mean: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Normalise (B, T, D) and return pairs of frames, (B, T // 2, 2 D) float32."""
    paired = log_mel[:, : log_mel.shape[1] // _STACKED * _STACKED].double()
    normal = ((paired - mean) * factor).float()
    return normal.view(len(normal), -1, _STACKED * normal.shape[2])
