"""Several extractors in one pass give what each gives alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf

from featbank.base.building import build
from featbank.errors import ConfigError
from featbank.features.base import AudioBatch, Extractor, Output
from featbank.features.encoders.ssl import SslEncoder
from featbank.features.several import Several
from featbank.features.shapes import BatchShape
from featbank.features.signal.kaldi import Fbank, Mfcc
from tests.conftest import ROOT
from tests.features.tiny_codecs import save_codec
from tests.tiny_encoder import TinyEncoder

FBANK: dict[str, Any] = {"_target_": "featbank.features.signal.kaldi.Fbank", "num_mel_bins": 40}
MFCC: dict[str, Any] = {"_target_": "featbank.features.signal.kaldi.Mfcc", "deltas": 2}
SEVERAL = "featbank.features.several.Several"


class Waveform:
    """A waveform in memory that is read in blocks."""

    def __init__(self, samples: NDArray[np.float32]) -> None:
        self._samples = samples
        self.num_samples = len(samples)

    def blocks(self, num_samples_per_block: int) -> Iterator[NDArray[np.float32]]:
        for start in range(0, self.num_samples, num_samples_per_block):
            yield self._samples[start : start + num_samples_per_block]


def _noise(num_samples: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.normal(scale=0.1, size=num_samples).astype(np.float32)


def _whole(extractor: Extractor, samples: NDArray[np.float32]) -> dict[str, Any]:
    batch = AudioBatch(ids=["a"], waveforms=[torch.from_numpy(samples)])
    [features] = extractor.compute_features(batch, "train")
    return features


def _fbank_beside(encoder: TinyEncoder) -> Fbank:
    """Return filterbanks on the frame grid of an encoder."""
    grid = encoder.framing
    return Fbank(
        num_mel_bins=20,
        frame_length_ms=grid.window_length / 16,
        frame_shift_ms=grid.hop_length / 16,
    )


def test_each_feature_is_the_one_computed_alone() -> None:
    both = Several(extractors=[Fbank(num_mel_bins=40), Mfcc(deltas=2)])
    assert both.outputs == {"fbank": Output((40,)), "mfcc": Output((39,))}
    samples = _noise(16000)
    features = _whole(both, samples)
    assert features["id"] == "a"
    alone = {**_whole(Fbank(num_mel_bins=40), samples), **_whole(Mfcc(deltas=2), samples)}
    for name in ("fbank", "mfcc"):
        np.testing.assert_array_equal(features[name], alone[name])


@pytest.mark.parametrize("extra", [1, 100, 160 * 70 * 256])
def test_long_recordings_give_pieces_that_end_at_the_same_frames(extra: int) -> None:
    both = Several(extractors=[Fbank(num_mel_bins=40), Mfcc(deltas=2)])
    assert both.max_samples == Fbank(num_mel_bins=40).max_samples
    samples = _noise(both.max_samples + extra)
    pieces = list(both.compute_pieces(Waveform(samples), "train"))
    assert len(pieces) > (extra > 1000)
    assert all(len(piece["fbank"]) == len(piece["mfcc"]) > 0 for piece in pieces)
    whole = _whole(both, samples)
    for name in ("fbank", "mfcc"):
        np.testing.assert_array_equal(np.concatenate([p[name] for p in pieces]), whole[name])


def test_an_extractor_that_takes_the_whole_is_given_it() -> None:
    class Plain(Fbank):
        @property
        def max_samples(self) -> None:
            return None

    both = Several(extractors=[Mfcc(deltas=2), Plain(num_mel_bins=40)])
    samples = _noise(Mfcc(deltas=2).max_samples + 400)
    pieces = list(both.compute_pieces(Waveform(samples), "train"))
    got = np.concatenate([piece["fbank"] for piece in pieces])
    np.testing.assert_array_equal(got, _whole(Fbank(num_mel_bins=40), samples)["fbank"])


def test_those_that_use_a_device_are_given_batches_of_a_shape() -> None:
    encoder = TinyEncoder()
    fbank = _fbank_beside(encoder)
    assert not Several(extractors=[fbank]).uses_device
    both = Several(extractors=[encoder, fbank])
    assert both.uses_device
    both.to("cpu")  # only what can be moved
    two = {"a": torch.from_numpy(_noise(9000)), "b": torch.from_numpy(_noise(16000))}
    batch = AudioBatch(
        ids=list(two), waveforms=list(two.values()), shape=BatchShape(rows=4, samples=16384)
    )
    for found, expected in zip(
        both.compute_features(batch, "train"), encoder.compute_features(batch, "train"), strict=True
    ):
        for name in encoder.outputs:
            np.testing.assert_array_equal(found[name], expected[name])
        alone = _whole(fbank, two[found["id"]].numpy())
        np.testing.assert_array_equal(found["fbank"], alone["fbank"])


def test_those_that_all_take_batches_are_given_one_and_each_row_is_as_alone_in_its_shape() -> None:
    first, second = TinyEncoder(), TinyEncoder("wav2vec2 large", layers={"other": 1})
    both = Several(extractors=[first, second])
    assert both.batches
    assert both.batch_shape(9_000, 65_536) == first.batch_shape(9_000, 65_536)
    waveforms = torch.from_numpy(np.stack([_noise(16_384), _noise(16_384)[::-1]]))
    num_samples = torch.tensor([16_384, 9_000])
    waveforms[1, 9_000:] = 0
    with torch.inference_mode():
        found = both.compute_batch(waveforms, num_samples)
        expected = {
            **first.compute_batch(waveforms, num_samples),
            **second.compute_batch(waveforms, num_samples),
        }
    assert list(found) == list(both.outputs) == ["low", "high", "other"]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_in_a_pass_of_two_shapes_each_utterance_is_alone() -> None:
    class Shapeless(TinyEncoder):
        def batch_shape(self, num_samples: int, batch_samples: int) -> None:  # noqa: ARG002
            return None

    shapeless = Shapeless(layers={"other": 1})
    assert Several(extractors=[TinyEncoder(), shapeless]).batch_shape(9_000, 65_536) is None


def test_what_stays_on_the_cpu_keeps_a_pass_from_one_batch_but_not_from_its_shape() -> None:
    encoder = TinyEncoder()
    fbank = _fbank_beside(encoder)
    both = Several(extractors=[fbank, encoder])
    assert not both.batches
    assert both.batch_shape(9_000, 65_536) == encoder.batch_shape(9_000, 65_536)


@pytest.mark.parametrize(
    ("extractors", "said"),
    [
        ([], "expected one or more, on one frame grid, got none"),
        ([FBANK, FBANK], "each name once, got .'fbank'."),
        ([FBANK, {**MFCC, "frame_shift_ms": 20.0}], "on one frame grid, got .*hop_length=160.*320"),
        ([{"_target_": "featbank.base.framing.Framing", "sample_rate": 1, "window_length": 1,
           "hop_length": 1}], "expected a class of Extractor, got Framing"),
        ([{"num_mel_bins": 40}], "given by its _target_, got .'num_mel_bins': 40"),
        ([{"_target_": "subprocess.Popen", "args": "ls"}], "expected a class under featbank"),
    ],
)  # fmt: skip
def test_what_cannot_go_together_is_refused(extractors: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build({"_target_": SEVERAL, "extractors": extractors})


def test_each_class_may_be_of_any_package_that_is_trusted() -> None:
    config = {"_target_": SEVERAL, "extractors": [{"_target_": "tests.tiny_encoder.TinyEncoder"}]}
    assert list(build(config, ["tests"]).outputs) == ["low", "high"]
    with pytest.raises(ConfigError, match="name its package in trusted_modules"):
        build(config)


def test_the_identity_of_a_feature_is_that_of_what_computes_it() -> None:
    encoder = SslEncoder(bundle="WAVLM_BASE", layers={"a": 1}, weights="random")
    fbank = Fbank(num_mel_bins=40, frame_shift_ms=20)
    both = Several(extractors=[fbank, encoder])
    assert (both.weights.source, both.weights.license) == ("none, random", "")
    for one, name in ((fbank, "fbank"), (encoder, "a")):
        assert both.identity(name) == one.identity(name)
        assert both.weights_of(name) == one.weights


def test_the_same_weights_in_another_folder_make_the_same_features(tmp_path: Path) -> None:
    codecs = [
        build(
            {
                "_target_": "featbank.features.codecs.dac.Dac",
                **save_codec("dac", tmp_path / name),
            }
        )
        for name in ("here", "there")
    ]
    [name] = codecs[0].outputs
    first, second = (Several(extractors=[codec]).identity(name) for codec in codecs)
    assert first == second
    assert first.arguments["num_codebooks"] == 3
    assert "weights" not in first.arguments


def test_the_ready_option_is_fbank_and_mfcc_as_their_own_options_have_them() -> None:
    conf = ROOT / "conf" / "feature"
    both, *alone = (
        build(OmegaConf.to_container(OmegaConf.load(conf / f"{name}.yaml").extractor))
        for name in ("fbank_mfcc", "fbank", "mfcc")
    )
    samples = _noise(20000)
    features = _whole(both, samples)
    for extractor in alone:
        [name] = extractor.outputs
        np.testing.assert_array_equal(features[name], _whole(extractor, samples)[name])
