"""The contract of batches on a device: who has `compute_batch`, and in which shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from featbank.features.base import AudioBatch
from featbank.features.pooled import Pooled
from featbank.features.several import Several
from featbank.features.shapes import batch_shape
from featbank.features.signal.kaldi import Fbank
from tests.features.checks import compute
from tests.tiny_encoder import PickyEncoder, TinyEncoder
from tests.two_features import FbankAndEnergy


class Doubled(PickyEncoder):
    """Changes both ways alike."""

    def compute_batch(
        self, waveforms: torch.Tensor, num_samples: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        computed = super().compute_batch(waveforms, num_samples)
        return {name: 2 * values for name, values in computed.items()}


def test_what_uses_no_device_is_given_no_shape_and_no_batch() -> None:
    for extractor in (Fbank(num_mel_bins=20), FbankAndEnergy()):
        assert extractor.batch_shape(16_000, 960_000) is None
        assert not extractor.batches


def test_an_encoder_has_batches_unless_somebody_changed_only_the_other_way() -> None:
    assert TinyEncoder().batches
    assert TinyEncoder().batch_shape(16_000, 960_000) == batch_shape(16_000, 960_000)
    assert not PickyEncoder("a").batches
    assert PickyEncoder("a").batch_shape(16_000, 960_000) == batch_shape(16_000, 960_000)
    assert Doubled("a").batches


def test_rows_of_a_batch_are_those_of_compute_features(speech: dict[str, torch.Tensor]) -> None:
    encoder = TinyEncoder()
    shape = batch_shape(9_000, 4 * 16_384)
    waveform = next(iter(speech.values()))[:9_000]
    waveforms = torch.zeros(shape.rows, shape.samples)
    waveforms[2, :9_000] = waveform
    num_samples = torch.tensor([shape.samples, shape.samples, 9_000, shape.samples])
    with torch.inference_mode():
        computed = encoder.compute_batch(waveforms, num_samples)
    batch = AudioBatch(ids=["a"], waveforms=[waveform], shape=shape)
    [expected] = encoder.compute_features(batch, "train")
    for name in encoder.outputs:
        row = computed[name][2, : encoder.framing.num_frames(9_000)]
        assert np.array_equal(row.numpy(), expected[name])
    alone = compute(encoder, waveform)  # in another shape
    assert np.abs(alone["low"] - expected["low"]).max() < 1e-4


def test_several_that_use_a_device_share_a_batch_of_their_one_shape() -> None:
    class Halved(TinyEncoder):
        def batch_shape(self, num_samples: int, batch_samples: int) -> Any:
            return batch_shape(num_samples, batch_samples // 2)

    one, other = TinyEncoder(), TinyEncoder(layers={"middle": 2})
    both = Several(extractors=[one, other])
    assert both.batches
    shape = both.batch_shape(16_000, 960_000)
    assert shape == batch_shape(16_000, 960_000)
    waveforms, num_samples = torch.zeros(2, 16_384), torch.full((2,), 16_384)
    with torch.inference_mode():
        computed = both.compute_batch(waveforms, num_samples)
        assert torch.equal(
            computed["middle"], other.compute_batch(waveforms, num_samples)["middle"]
        )
    assert list(computed) == ["low", "high", "middle"]
    halved = Several(extractors=[one, Halved(layers={"middle": 2})])
    assert halved.batch_shape(16_000, 960_000) is None


def test_several_of_which_some_stay_on_the_cpu_have_no_batch() -> None:
    grid = TinyEncoder().framing
    fbank = Fbank(frame_length_ms=grid.window_length / 16, frame_shift_ms=grid.hop_length / 16,
                  num_mel_bins=20)  # fmt: skip
    both = Several(extractors=[TinyEncoder(), fbank])
    assert not both.batches
    assert both.batch_shape(16_000, 960_000) == batch_shape(16_000, 960_000)


def test_what_pools_an_encoder_has_its_shapes() -> None:
    pooled = Pooled(extractor=TinyEncoder())
    assert pooled.batch_shape(16_000, 960_000) == batch_shape(16_000, 960_000)
    assert pooled.batches
