"""Extractors that compute one utterance at a time, or a padded batch of one shape."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from featbank.errors import AudioError, FeatbankError
from featbank.features.base import AudioBatch, Extractor, LongWaveform, check_feature_names
from featbank.features.precision import BFLOAT16, FLOAT32


class UtteranceExtractor(Extractor):
    """An extractor that computes each utterance alone and unpadded, so that no row can see another.

    In a batch of a shape, `compute_batch` sees to that. A subclass gives `_compute`, and that one
    where it `uses_device`; what goes in and comes out is checked here against the framing.
    """

    _precision: str = FLOAT32
    _device: torch.device = torch.device("cpu")  # where it was moved to

    @property
    def in_bfloat16(self) -> bool:
        """Whether its precision is bfloat16."""
        return self._precision == BFLOAT16

    @abstractmethod
    def _compute(self, waveform: torch.Tensor) -> Mapping[str, torch.Tensor]:
        """Compute the features of one waveform (num_samples,): (num_frames, *shape) by name.

        The waveform is the caller's memory: it is never written to, and a computation whose last
        bits depend on alignment starts from a copy.
        """

    def _compute_windows(self, recording: LongWaveform) -> Iterator[Mapping[str, torch.Tensor]]:
        """Compute a long waveform: (n, *shape) under each name, piece after piece.

        Given by a subclass that has a `max_samples`.
        """
        raise NotImplementedError

    def _compute_windows_together(
        self,
        recording: LongWaveform,
        batch_samples: int,  # noqa: ARG002 - one by one, unless a subclass knows better
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        """Compute a long waveform as `_compute_windows` does, several windows at once in one shape.

        Given by a subclass that `batches`. `batch_samples`, over 0, may be computed together.
        """
        return self._compute_windows(recording)

    def compute_features(self, batch: AudioBatch, split: str) -> list[dict[str, Any]]:  # noqa: ARG002
        """Compute all features of a batch, as numpy arrays.

        Raises:
            ConfigError: a feature is called `id`.
            AudioError: a waveform is too short for one frame.
            FeatbankError: a feature is not what `framing` and `outputs` promise, or the batch has
                more or longer rows than its own shape.
        """
        check_feature_names(self.outputs)
        num_frames = [
            self._num_frames(id, waveform)
            for id, waveform in zip(batch.ids, batch.waveforms, strict=True)  # noqa: A001
        ]
        with torch.inference_mode():
            computed: Iterator[Mapping[str, torch.Tensor]]
            if batch.shape is None:
                computed = map(self._compute, batch.waveforms)
            else:
                padded = (tensor.to(self._device) for tensor in _padded(batch))
                computed = self._rows_of(self.compute_batch(*padded), num_frames)
            return [
                {
                    "id": id,
                    **self._as_promised(
                        features, number, f"of utterance {id!r} ({len(waveform)} samples)"
                    ),
                }
                for id, waveform, number, features in zip(  # noqa: A001
                    batch.ids, batch.waveforms, num_frames, computed, strict=True
                )
            ]

    def _num_frames(self, id: str, waveform: torch.Tensor) -> int:  # noqa: A002
        (num_samples,) = waveform.shape
        if num_samples < self.framing.min_samples:
            raise AudioError(
                f"utterance {id!r} is too short for one frame",
                kind="too_short",
                expected=f"{self.framing.min_samples} samples at {self.framing.sample_rate} Hz",
                got=num_samples,
            )
        return self.framing.num_frames(num_samples)

    def _rows_of(
        self, features: Mapping[str, torch.Tensor], num_frames: Sequence[int]
    ) -> Iterator[Mapping[str, torch.Tensor]]:
        """Give the rows of padded features, without what is behind their last frames."""
        on_cpu = {name: features[name].cpu() for name in self.outputs}
        for row, number in enumerate(num_frames):
            yield {name: values[row, :number] for name, values in on_cpu.items()}

    def compute_pieces(
        self, recording: LongWaveform, split: str, *, batch_samples: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Compute all features of a long utterance, as numpy arrays, piece by piece.

        Raises:
            FeatbankError: a feature is not what `framing` and `outputs` promise, or this
                extractor has no `max_samples`.
        """
        if self.max_samples is None:
            return super().compute_pieces(recording, split, batch_samples=batch_samples)
        check_feature_names(self.outputs)
        return self._pieces_checked(recording, batch_samples)

    @torch.inference_mode()  # on while a piece is computed, off while the caller has it
    def _pieces_checked(
        self, recording: LongWaveform, batch_samples: int
    ) -> Iterator[dict[str, Any]]:
        num_frames = self.framing.num_frames(recording.num_samples)
        where = f"of a recording of {recording.num_samples} samples"
        done = 0
        computed = (
            self._compute_windows_together(recording, batch_samples)
            if batch_samples
            else self._compute_windows(recording)
        )
        for features in computed:
            num_new = max(1, min(len(features[name]) for name in self.outputs))
            yield self._as_promised(features, num_new, f"from frame {done} on {where}")
            done += num_new
        if done != num_frames:
            raise FeatbankError(f"features {where}", expected=f"{num_frames} frames", got=done)

    def _as_promised(
        self, features: Mapping[str, torch.Tensor], num_frames: int, where: str
    ) -> dict[str, Any]:
        """Return features as numpy arrays, once their shapes are what was promised."""
        for name, output in self.outputs.items():
            values = features[name]
            if values.shape != (num_frames, *output.shape):
                raise FeatbankError(
                    f"feature {name!r} {where}",
                    expected=f"{num_frames} frames x {_times(output.shape)}",
                    got=_times(values.shape),
                )
            if output.is_codes == values.is_floating_point():
                raise FeatbankError(
                    f"feature {name!r} {where}",
                    expected="integers, since it is codes" if output.is_codes else "floats",
                    got=values.dtype,
                )
        return {name: features[name].cpu().numpy() for name in self.outputs}


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _padded(batch: AudioBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the waveforms in the shape of their batch, and the length of each row.

    Rows without an utterance hold silence of full length, so that no row is without a frame.
    """
    shape = batch.shape
    assert shape is not None
    longest = max(map(len, batch.waveforms), default=0)
    if len(batch.ids) > shape.rows or longest > shape.samples:
        raise FeatbankError(
            "batch of waveforms",
            expected=f"{shape.rows} of {shape.samples} samples at most",
            got=f"{len(batch.ids)} of up to {longest}",
        )
    padded = torch.zeros(shape.rows, shape.samples)
    num_samples = torch.full((shape.rows,), shape.samples)
    for row, waveform in enumerate(batch.waveforms):
        padded[row, : len(waveform)] = waveform
        num_samples[row] = len(waveform)
    return padded, num_samples
