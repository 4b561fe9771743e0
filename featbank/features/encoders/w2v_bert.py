"""Wav2Vec2-BERT: w2v-BERT 2.0 (Seamless Communication et al. 2023, arXiv:2312.05187, 3.2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch

from featbank.base.framing import Framing
from featbank.features.base import LongWaveform
from featbank.features.encoders.conformer_layers import RelativeKeys, layer_over_padded
from featbank.features.encoders.encoder import Encoder
from featbank.features.encoders.padded_attention import ValidFrames
from featbank.features.encoders.w2v_bert_front_end import STACKED, RowScaling, StackedFbank
from featbank.features.layers import Layers
from featbank.features.precision import FLOAT32, check_precision
from featbank.features.weights.pretrained_extractor import PretrainedExtractor
from featbank.features.windows import (
    Window,
    check_context,
    plan_windows,
    read_windows,
    window_batches,
)

from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertModel  # isort: skip

_FRAMING = Framing(sample_rate=16000, window_length=400 + 160, hop_length=STACKED * 160)


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
            return self._encode_alone(self._front_end.alone(waveform))

    def _compute_padded(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        return self._encode_rows(waveforms, num_samples)

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        scaling = self._front_end.scaling(recording)
        for window, samples in read_windows(recording, self._windows(recording)):
            pairs = self._front_end.of_window(torch.from_numpy(samples), scaling)
            with self._computing():
                features = self._encode_alone(pairs)
            yield {name: states[window.kept_rows] for name, states in features.items()}

    def _compute_windows_together(
        self, recording: LongWaveform, batch_samples: int
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        with self._computing(), self._computing_exactly():
            scaling = self._front_end.scaling_on(self._device, recording)
        for batch in window_batches(recording, self._windows(recording), batch_samples):
            with self._computing():
                waveforms, num_samples = (
                    one.to(self._device) for one in (batch.waveforms, batch.num_samples)
                )
                features = {
                    name: states.cpu()
                    for name, states in self._encode_rows(waveforms, num_samples, scaling).items()
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

    @cached_property
    def _front_end(self) -> StackedFbank:
        return StackedFbank(self._model.config.feature_projection_input_dim // STACKED)

    def _encode_alone(self, pairs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Turn what the encoder takes of one waveform, (T, 160), into features (T, ...)."""
        encoder = self._model.encoder
        taken = pairs.to(self._device, self._dtype).unsqueeze(0)
        hidden, _ = self._model.feature_projection(taken)
        positions = encoder.embed_positions and encoder.embed_positions(hidden)
        states = [hidden]
        for layer in encoder.layers[: self._layers.deepest]:
            states.append(layer(states[-1], relative_position_embeddings=positions))
        features = self._layers(states, states[-1])
        return {name: values[0] for name, values in features.items()}

    def _encode_rows(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor, scaling: RowScaling | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Turn padded waveforms (B, S) into features (B, T, ...); see `StackedFbank.of_rows`."""
        with self._computing_exactly():
            pairs = self._front_end.of_rows(waveforms, num_samples, scaling)
        encoder = self._model.encoder
        hidden, _ = self._model.feature_projection(pairs.to(self._dtype))
        num_frames = self._front_end.num_frames(num_samples)
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
