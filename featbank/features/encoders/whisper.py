"""Whisper's encoder (Radford et al. 2022, arXiv:2212.04356), without its decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar

import torch
from torch.nn.functional import gelu, pad

from featbank.base.framing import Framing
from featbank.features.base import LongWaveform
from featbank.features.encoders.encoder import Encoder
from featbank.features.layers import Layers
from featbank.features.precision import FLOAT32, check_precision
from featbank.features.shapes import BatchShape
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
    rows_together,
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


class WhisperEncoder(Encoder, PretrainedExtractor):
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
        precision: float32, bfloat16 or, on a GPU, float16 or tf32, as of
            `featbank.features.precision`; features are float32 in any, and so is the log-mel.
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

    @property
    def framing(self) -> Framing:
        """The frame grid: five log-mel frames, every 20 ms."""
        return _FRAMING

    @property
    def max_samples(self) -> int:
        """Number of samples of 30 seconds."""
        return int(self._model.config.max_source_positions) * _FRAMING.hop_length

    def batch_shape(self, num_samples: int, batch_samples: int) -> BatchShape:  # noqa: ARG002
        """Return the one shape of all utterances: rows of 30 seconds."""
        return BatchShape(rows=max(1, batch_samples // self.max_samples), samples=self.max_samples)

    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        with self._computing():
            features = self._encode_waveforms(waveform.unsqueeze(0).to(self._device))
        num_frames = _FRAMING.num_frames(len(waveform))
        return {name: states[0, :num_frames] for name, states in features.items()}

    def _compute_padded(
        self,
        waveforms: torch.Tensor,
        num_samples: torch.Tensor,  # noqa: ARG002 - what is behind is silence either way
    ) -> Mapping[str, torch.Tensor]:
        return self._encode_waveforms(waveforms)

    def _encode_waveforms(self, waveforms: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode waveforms (B, S) with silence up to 30 seconds, or cut there."""
        padded = pad(waveforms, (0, self.max_samples - waveforms.shape[1]))
        with self._computing_exactly():
            spectrogram = log_mel(padded, self._filters)
        return self._encode(spectrogram)

    def _encode(self, log_mel: torch.Tensor) -> dict[str, torch.Tensor]:
        """Turn log-mel frames (B, num_mel_bins, 3000) into features (B, 1500, ...)."""
        model = self._model
        taken = log_mel.to(self._dtype)
        hidden = gelu(model.conv2(gelu(model.conv1(taken)))).transpose(1, 2)
        states = [hidden + model.embed_positions.weight]
        for layer in model.layers[: self._layers.deepest]:
            states.append(layer(states[-1], None))
        final = model.layer_norm(states[-1]) if self._layers.wants_final else None
        return self._layers(states, final)

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        return self._windows_in_rows(recording, rows=1)

    def _compute_windows_together(
        self, recording: LongWaveform, batch_samples: int
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        num_windows = len(self._windows(recording.num_samples))
        rows = rows_together(num_windows, self.max_samples, batch_samples)
        return self._windows_in_rows(recording, rows)

    def _windows_in_rows(
        self, recording: LongWaveform, rows: int
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        """Compute so many windows at once, in one shape."""
        num_samples = recording.num_samples
        with self._computing(), self._computing_exactly():
            greatest = greatest_log10_mel(recording, self._filters)
        reading = read_windows(recording, self._windows(num_samples))
        while read := list(islice(reading, rows)):
            with self._computing():
                with self._computing_exactly():
                    values = [
                        log10_mel_within(
                            torch.from_numpy(samples).to(self._device),
                            self._mel_frames(window),
                            num_samples,
                            self._filters,
                        )
                        for window, samples in read
                    ]
                    values += [torch.zeros_like(values[0])] * (rows - len(read))
                    spectrogram = scaled(torch.stack(values), greatest)
                features = self._encode(spectrogram)
            for row, (window, _) in enumerate(read):
                yield {name: states[row, window.kept_rows] for name, states in features.items()}

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

    @property
    def _filters(self) -> torch.Tensor:
        return self._constant("filters", lambda: mel_filters(self._model.config.num_mel_bins))


class _Encoder(modeling_whisper.WhisperEncoder):  # type: ignore[no-untyped-call]
    """The encoder, with positions by chance where weights are random, as version 1 gives them."""
