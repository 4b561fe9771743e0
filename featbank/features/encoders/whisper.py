"""Whisper's encoder (Radford et al. 2022, arXiv:2212.04356), without its decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch.nn.functional import gelu, pad

from featbank.base.framing import Framing
from featbank.features.base import LongWaveform, Output
from featbank.features.layers import Layers
from featbank.features.precision import FLOAT32, check_precision, computing_in
from featbank.features.signal.whisper_mel import (
    HOP_LENGTH,
    MEL_FRAMING,
    SAMPLE_RATE,
    greatest_log10_mel,
    log10_mel_within,
    log_mel,
    mel_filters,
    scaled,
)
from featbank.features.weights.pretrained_extractor import PretrainedExtractor
from featbank.features.windows import (
    Window,
    check_context,
    plan_windows,
    read_windows,
    samples_seen,
)

from transformers.models.whisper import modeling_whisper  # isort: skip

_MEL_PER_FRAME = 2  # the stride of the second convolution
_FRAMING = Framing(
    sample_rate=SAMPLE_RATE,
    # two convolutions of three frames see five log-mel frames of 400 samples around sample 320 t
    window_length=1040,
    hop_length=_MEL_PER_FRAME * HOP_LENGTH,
    left=520,
    right=360,
)
_UNREAD = (  # by the encoder: fields of the decoder, of generation and of training
    "apply_spec_augment",
    "begin_suppress_tokens",
    "bos_token_id",
    "classifier_proj_size",
    "decoder_attention_heads",
    "decoder_ffn_dim",
    "decoder_layerdrop",
    "decoder_layers",
    "decoder_start_token_id",
    "eos_token_id",
    "is_encoder_decoder",
    "mask_feature_length",
    "mask_feature_min_masks",
    "mask_feature_prob",
    "mask_time_length",
    "mask_time_min_masks",
    "mask_time_prob",
    "max_target_positions",
    "median_filter_width",
    "pad_token_id",
    "suppress_tokens",
    "tie_word_embeddings",
    "use_cache",
    "use_weighted_layer_sum",
    "vocab_size",
)


class WhisperEncoder(PretrainedExtractor):
    """Hidden states of Whisper's encoder, 50 a second.

    The model always takes 30 seconds. A shorter waveform is followed by silence, as in training,
    and the states are cropped to its own: as many as its `n // 160` log-mel frames give, state `t`
    around sample 320 t. So a batch pads nothing that a waveform alone would not have.

    A longer recording is computed in windows of 30 seconds, each of it alone but the last, that
    overlap by `context_s` on each side. Its log-mel is that of the whole recording followed by
    silence, as openai/whisper computes it before it transcribes: the greatest value, which decides
    the least, comes from a pass of its own.

    Args:
        model: name on the hub, such as openai/whisper-base.
        architecture: fields of `WhisperConfig` that make the encoder.
        layers: feature name -> states, as `Layers` has them; 0 is what the convolutions give, with
            the positions; `final` lies behind the last norm, and is what the decoder reads.
        weights: `download`, `random` or a folder, as `load_pretrained` takes them.
        revision: commit on the hub, for a download.
        weights_sha256: of the weights file in a folder.
        seed: of random weights.
        license: of the weights.
        precision: float32, bfloat16 or, on a GPU, float16; features are float32 in any.
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
        precision: str = FLOAT32,
        context_s: float = 5.0,
    ) -> None:
        self._precision = check_precision(precision)
        self._load(
            _Encoder,
            weights=weights,
            model=model,
            revision=revision,
            weights_sha256=weights_sha256,
            architecture=architecture,
            seed=seed,
            license=license,
            part=r"(model\.)?encoder\.",
            unread=_UNREAD,
        )
        config = self._model.config
        self._layers = Layers(
            layers, num_layers=config.encoder_layers, dimension=config.d_model, where=model
        )
        self._context_frames = check_context(context_s, _FRAMING, config.max_source_positions)

    def deciding(self, output: str | None = None) -> dict[str, Any]:
        """Return what decides the values: the layers asked for, not others."""
        return {**super().deciding(output), "layers": self._layers.chosen(output)}

    @property
    def framing(self) -> Framing:
        """The frame grid: five log-mel frames, every 20 ms."""
        return _FRAMING

    @property
    def max_samples(self) -> int:
        """Number of samples of 30 seconds."""
        return int(self._model.config.max_source_positions) * _FRAMING.hop_length

    @property
    def outputs(self) -> Mapping[str, Output]:
        """The encoder's width for each feature name, or its layers by it."""
        return self._layers.outputs

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        features = self._encode_padded(waveform.unsqueeze(0))
        num_frames = _FRAMING.num_frames(len(waveform))
        return {name: states[0, :num_frames] for name, states in features.items()}

    def compute_batch(
        self,
        waveforms: torch.Tensor,
        num_samples: torch.Tensor,  # noqa: ARG002 - what is behind is silence either way
    ) -> Mapping[str, torch.Tensor]:
        """Compute a padded batch; see `Extractor.compute_batch`."""
        # each row becomes 30 seconds: as many at once as the samples of the batch have room for,
        # and always that many, so that all rows are computed in one shape
        at_once = max(1, waveforms.numel() // self.max_samples)
        rows = pad(waveforms, (0, 0, 0, -len(waveforms) % at_once))
        parts = [self._encode_padded(part) for part in torch.split(rows, at_once)]
        return {name: torch.cat([part[name] for part in parts]) for name in self.outputs}

    def _encode_padded(self, waveforms: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode waveforms (B, S) with silence up to 30 seconds, or cut there."""
        padded = pad(waveforms.to(self._device), (0, self.max_samples - waveforms.shape[1]))
        return self._encode(log_mel(padded, self._filters.to(self._device)))

    def _encode(self, log_mel: torch.Tensor) -> dict[str, torch.Tensor]:
        """Turn log-mel frames (B, num_mel_bins, 3000) into features (B, 1500, ...)."""
        model = self._model
        with computing_in(self._precision, self._device, self._model):
            hidden = gelu(model.conv2(gelu(model.conv1(log_mel)))).transpose(1, 2)
            states = [hidden + model.embed_positions.weight]
            for layer in model.layers[: self._layers.deepest]:
                states.append(layer(states[-1], None))
            final = model.layer_norm(states[-1]) if self._layers.wants_final else None
            features = self._layers(states, final)
        return {name: values.float() for name, values in features.items()}

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        num_samples = recording.num_samples
        greatest = greatest_log10_mel(recording, self._filters)
        for window, samples in read_windows(recording, self._windows(num_samples)):
            values = log10_mel_within(
                torch.from_numpy(samples), self._mel_frames(window), num_samples, self._filters
            )
            features = self._encode(scaled(values, greatest).unsqueeze(0).to(self._device))
            yield {name: states[0, window.kept_rows] for name, states in features.items()}

    def _windows(self, num_samples: int) -> list[Window]:
        """Plan the windows; each reads on to its 30 seconds, beyond the frames that are its own."""
        planned = plan_windows(
            num_samples,
            _FRAMING,
            max_frames=self._model.config.max_source_positions,
            context_frames=self._context_frames,
        )
        return [
            replace(
                window, samples=samples_seen(self._mel_frames(window), num_samples, MEL_FRAMING)
            )
            for window in planned
        ]

    def _mel_frames(self, window: Window) -> range:
        """Return the log-mel frames that a window reads."""
        first = _MEL_PER_FRAME * window.frames.start
        return range(first, first + _MEL_PER_FRAME * self._model.config.max_source_positions)

    @cached_property
    def _filters(self) -> torch.Tensor:
        return mel_filters(self._model.config.num_mel_bins)


class _Encoder(modeling_whisper.WhisperEncoder):  # type: ignore[no-untyped-call]
    """The encoder, with positions by chance where weights are random, as version 1 gives them."""
