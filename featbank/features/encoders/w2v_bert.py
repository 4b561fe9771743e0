"""Wav2Vec2-BERT: w2v-BERT 2.0 (Seamless Communication et al. 2023, arXiv:2312.05187, 3.2.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from featbank.base.framing import Framing
from featbank.features.base import AudioBatch, LongWaveform, Output
from featbank.features.layers import Layers
from featbank.features.precision import FLOAT32, check_precision, computing_in
from featbank.features.signal.kaldi import INT16_SCALE, Fbank
from featbank.features.weights.pretrained_extractor import PretrainedExtractor
from featbank.features.windows import check_context, plan_windows, read_windows

from transformers.masking_utils import create_bidirectional_mask  # isort: skip
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertModel  # isort: skip

_STACKED = 2  # frames of the filterbank in one of the encoder
_LEAST_VARIANCE = 1e-7
_FRAMING = Framing(sample_rate=16000, window_length=400 + 160, hop_length=_STACKED * 160)


class Wav2Vec2BertEncoder(PretrainedExtractor):
    """Hidden states of a Wav2Vec2-BERT encoder, 50 a second.

    The front end is that of `SeamlessM4TFeatureExtractor`: Kaldi's log-mel filterbank of the 16-bit
    range, each bin with mean 0 and variance 1 over the utterance, two frames as one. An odd frame
    at the end counts in the statistics and is then left, having no partner: the reference gives a
    row for it that it masks. The filterbank is computed in float32, as Kaldi's is, and the
    reference's in float64: normalised values differ by 1e-6 on average, and by up to 0.03 where the
    audio has next to nothing in a band.

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
        precision: float32, bfloat16 or, on a GPU, float16; features are float32 in any.
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

    def deciding(self, output: str | None = None) -> dict[str, Any]:
        """Return what decides the values: the layers asked for, no context without windows."""
        found = {**super().deciding(output), "layers": self._layers.chosen(output)}
        if self._max_samples is None:
            found.pop("context_s", None)
        return found

    @property
    def framing(self) -> Framing:
        """The frame grid: two frames of the filterbank, every 20 ms."""
        return _FRAMING

    @property
    def max_samples(self) -> int | None:
        """Number of samples that `max_window_s` lasts."""
        return self._max_samples

    @property
    def outputs(self) -> Mapping[str, Output]:
        """The encoder's width for each feature name, or its layers by it."""
        return self._layers.outputs

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        features = self._encode(self._rows(waveform).unsqueeze(0))
        return {name: states[0] for name, states in features.items()}

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Compute a padded batch; see `Extractor.compute_batch`. The front end runs on the CPU."""
        rows = [
            self._rows(waveform[:length])
            for waveform, length in zip(waveforms.cpu(), num_samples.tolist(), strict=True)
        ]
        # as many frames as the shape of the batch has, whichever rows are in it
        longest = _FRAMING.num_frames(waveforms.shape[1])
        padded = torch.stack([pad(row, (0, 0, 0, longest - len(row))) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return self._encode(padded, torch.arange(longest) < lengths.unsqueeze(1))

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        assert self._max_samples is not None
        pieces = self._fbank.compute_pieces(recording, "")
        scaling = _scaling(piece["fbank"] for piece in pieces)
        windows = plan_windows(
            recording.num_samples,
            _FRAMING,
            max_frames=_FRAMING.num_frames(self._max_samples),
            context_frames=self._context_frames,
        )
        for window, samples in read_windows(recording, windows):
            rows = _stacked(self._log_mel(torch.from_numpy(samples)), scaling)
            features = self._encode(rows.unsqueeze(0))
            yield {name: states[0, window.kept_rows] for name, states in features.items()}

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

    def _encode(
        self, rows: torch.Tensor, mask: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Turn (B, T, 160) into features (B, T, ...); frames outside the mask (B, T) are unseen."""
        with computing_in(self._precision, self._device, self._model):
            encoder, mask = self._model.encoder, None if mask is None else mask.to(self._device)
            hidden, _ = self._model.feature_projection(rows.to(self._device))
            if mask is not None:
                hidden = hidden.masked_fill(~mask.unsqueeze(-1), 0)
            attended = create_bidirectional_mask(
                config=self._model.config, inputs_embeds=hidden, attention_mask=mask
            )
            positions = encoder.embed_positions and encoder.embed_positions(hidden)
            states = [hidden]
            for layer in encoder.layers[: self._layers.deepest]:
                states.append(
                    layer(
                        states[-1],
                        attention_mask=attended,
                        relative_position_embeddings=positions,
                        conv_attention_mask=mask,
                    )
                )
            features = self._layers(states, states[-1])
        return {name: values.float() for name, values in features.items()}


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
