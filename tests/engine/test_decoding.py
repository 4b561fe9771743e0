from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from featbank.base.building import build
from featbank.base.components import ComponentConfig
from featbank.engine.decode import decode_utterance
from featbank.engine.definition import FeatureDefinition, build_definition
from featbank.errors import ConfigError, StoreError
from featbank.feature_io import PackedStorage
from featbank.store import StoreWriter
from featbank.tokenizers.sample import write_pins, write_sample
from tests.features.tiny_codecs import TINY_DAC

STORAGE = [PackedStorage("dac", "uint8")]
CODES = np.random.default_rng(0).integers(16, size=(3, 20)).astype(np.uint8)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    made = build_definition(_definition(), Path())
    with StoreWriter(
        folder / "dac" / "dev", name="dac", dtype="uint8", shape=(3,), time_axis=-1,
        codebook_size=16, frame_rate=50.0, fingerprint=made.fingerprints["dac"],
    ) as writer:  # fmt: skip
        writer.write("a", CODES)
    return folder


def decode(features: Path, out: Path, **changes: Any) -> float:
    utterance_id = changes.pop("utterance_id", "a")
    return decode_utterance(_definition(**changes), features, utterance_id, out)


def _definition(
    extractor: Mapping[str, Any] = TINY_DAC, storage: Sequence[PackedStorage] = STORAGE
) -> FeatureDefinition:
    return FeatureDefinition(name="dac", extractor=ComponentConfig.of(extractor), storage=storage)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_stored_codes_become_a_file_of_the_codecs_rate(
    features: Path, tmp_path: Path, name: str
) -> None:
    duration_s = decode(features, tmp_path / "new" / name)
    samples, sample_rate = soundfile.read(tmp_path / "new" / name, dtype="float32")
    expected = build(TINY_DAC).decode(CODES)
    assert sample_rate == 16000
    assert duration_s == len(expected) / 16000
    torch.testing.assert_close(
        torch.from_numpy(samples), torch.from_numpy(expected.clip(-1, 1)), atol=1e-4, rtol=0
    )


def test_codes_of_another_codec_are_not_decoded(features: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected those of this codec: fingerprint"):
        decode(features, tmp_path / "a.wav", extractor={**TINY_DAC, "seed": 1})
    with pytest.raises(StoreError, match="'b'"):
        decode(features, tmp_path / "a.wav", utterance_id="b")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_decoded_is_refused(features: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"out: expected \*.flac or \*.wav, got"):
        decode(features, tmp_path / "a.mp3")
    fbank = {"_target_": "featbank.features.signal.kaldi.Fbank", "num_mel_bins": 20}
    with pytest.raises(ConfigError, match=r"kaldi.Fbank: expected a codec, whose codes"):
        decode(features, tmp_path / "a.wav", extractor=fbank, storage=[PackedStorage("fbank")])


def test_no_codebook_is_fitted_on_codes(features: Path, tmp_path: Path) -> None:
    pins = tmp_path / "pins.txt"
    write_pins(pins, ["a"], how="")
    with pytest.raises(ConfigError, match=r"values are floats, got uint8 codes; codes are tokens"):
        write_sample(features=[features / "dac" / "dev"], pins=pins, out=tmp_path / "sample")
    assert not (tmp_path / "sample").exists()
