"""Every sample format, rate and number of channels, against values that numpy alone decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch

from featbank.audio import load_audio, read_segment, scan_audio
from featbank.base.manifest import MIX_CHANNELS, read_manifest
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.prepare import prepare
from featbank.features.base import AudioBatch
from featbank.features.signal.kaldi import Fbank
from featbank.store import open_store
from tests.extracting import extract_corpus

_PCM, _FLOAT = 1, 3


def _signed(width: int) -> Callable[[np.ndarray], tuple[bytes, np.ndarray]]:
    """Code samples in so many bytes; what is decoded is their number over the largest."""

    def code(samples: np.ndarray) -> tuple[bytes, np.ndarray]:
        scale = 1 << 8 * width - 1
        whole = np.round(samples * (scale - 1)).astype("<i8")
        data = whole.view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
        return data, (whole / scale).astype(np.float32)

    return code


def _unsigned_8(samples: np.ndarray) -> tuple[bytes, np.ndarray]:
    whole = np.round(samples * 127)
    return (whole + 128).astype(np.uint8).tobytes(), (whole / 128).astype(np.float32)


def _floating(dtype: str) -> Callable[[np.ndarray], tuple[bytes, np.ndarray]]:
    return lambda samples: (samples.astype(dtype).tobytes(), samples.astype(dtype).astype("f4"))


# how a WAV codes samples: its tag, bytes of a sample, and the coding
CODINGS: dict[str, tuple[int, int, Callable[[np.ndarray], tuple[bytes, np.ndarray]]]] = {
    "8-bit": (_PCM, 1, _unsigned_8),
    "16-bit": (_PCM, 2, _signed(2)),
    "24-bit": (_PCM, 3, _signed(3)),
    "32-bit": (_PCM, 4, _signed(4)),
    "float": (_FLOAT, 4, _floating("<f4")),
    "double": (_FLOAT, 8, _floating("<f8")),
}
RATES = [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]


def sound(num_samples: int, channels: int) -> np.ndarray:
    """Return something between -1 and 1, (num_samples, channels), both ends included."""
    samples = np.random.default_rng(7).uniform(-1, 1, (num_samples, channels))
    samples[0], samples[1] = -1, 1
    return samples


def write_wav(
    path: Path, samples: np.ndarray, *, coding: str = "16-bit", rate: int = 16_000
) -> Any:
    """Write a WAV byte by byte; return what a decoder has to give, (num_samples, channels)."""
    tag, width, code = CODINGS[coding]
    channels = samples.shape[1]
    data, decoded = code(samples.reshape(-1))
    form = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * channels * width, channels * width, 8 * width
    )
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data"
    chunks += struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return decoded.reshape(samples.shape)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("coding", CODINGS)
def test_every_width_of_samples_gives_its_numbers(
    coding: str, channels: int, tmp_path: Path
) -> None:
    path = tmp_path / "x.wav"
    expected = write_wav(path, sound(4001, channels), coding=coding)
    scan = scan_audio(path)
    assert (scan.sample_rate, scan.num_channels, scan.num_samples) == (16_000, channels, 4001)
    for channel in range(channels):
        found = load_audio(path, sample_rate=16_000, num_samples=4001, channel=channel)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[:, channel])
    mixed = load_audio(path, sample_rate=16_000, num_samples=4001, channel=MIX_CHANNELS)
    np.testing.assert_allclose(mixed, expected.astype(np.float64).mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("name", ["x.flac", "x.w64", "x.caf", "x.aiff", "x.au"])
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_every_container_gives_the_numbers_of_its_samples(
    name: str, subtype: str, tmp_path: Path
) -> None:
    if subtype == "PCM_S8" and name == "x.w64":
        subtype = "PCM_U8"
    width = 3 if subtype == "PCM_24" else 2 if subtype == "PCM_16" else 1
    _, expected = _signed(width)(sound(4001, 6).reshape(-1))
    expected = expected.reshape(4001, 6)
    # a number of 32 bits whose lower ones are 0 is exact at every width
    soundfile.write(tmp_path / name, (expected * 2.0**31).astype(np.int32), 48_000, subtype=subtype)
    for channel in (0, 5):
        found = load_audio(
            tmp_path / name, sample_rate=48_000, num_samples=4000, start_sample=1, channel=channel
        )
        np.testing.assert_array_equal(found, expected[1:, channel])


def test_a_segment_in_several_blocks_is_that_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = write_wav(tmp_path / "x.wav", sound(10_000, 2))
    monkeypatch.setattr("featbank.audio.reading._BLOCK", 999)
    place = {"sample_rate": 16_000, "start_sample": 3, "num_samples": 5000, "channel": 1}
    blocks = list(read_segment(tmp_path / "x.wav", **place))
    assert [len(block) for block in blocks] == [999] * 5 + [5]
    np.testing.assert_array_equal(np.concatenate(blocks), expected[3:5003, 1])
    np.testing.assert_array_equal(load_audio(tmp_path / "x.wav", **place), expected[3:5003, 1])


@pytest.mark.parametrize("channel", [0, 1, MIX_CHANNELS])
@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg"])
def test_samples_are_the_same_in_room_that_is_given(
    name: str, channel: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featbank.audio.reading._BLOCK", 999)
    path = tmp_path / name
    soundfile.write(path, sound(4001, 2) / 2, 16_000)
    place = {"sample_rate": 16_000, "num_samples": 4001, "channel": channel}
    place["digest"] = scan_audio(path).digest  # of a FLAC, it has the integers hashed
    expected = load_audio(path, **place)
    room = np.full(5000, 7, np.float32)
    found = load_audio(path, **place, room=room)
    assert np.shares_memory(found, room)
    np.testing.assert_array_equal(found, expected)
    assert (room[4001:] == 7).all()
    resampled = load_audio(path, **place, room=room, target_rate=8_000)
    assert not np.shares_memory(resampled, room)
    np.testing.assert_array_equal(resampled, load_audio(path, **place, target_rate=8_000))


def test_every_rate_goes_through_prepare_and_extract(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    written = {
        f"{coding}-{rate}": (rate, write_wav(root / f"{coding}-{rate}.wav", sound(rate, 2),
                                             coding=coding, rate=rate))
        for rate, coding in zip(RATES, [*CODINGS, *CODINGS], strict=False)
    }  # fmt: skip
    corpus = FolderCorpus(
        name="c", root=root, license="free", channel="mix",
        split_rule={"by": "hash", "shares": {}},
    )  # fmt: skip
    prepare(corpus, tmp_path / "manifests", failures_path=tmp_path / "failures.jsonl")
    extract_corpus(root, tmp_path / "out")
    store = open_store(tmp_path / "out" / "fbank" / "train")
    fbank = Fbank(num_mel_bins=20)
    for row in read_manifest(tmp_path / "manifests" / "train.jsonl"):
        rate, samples = written.pop(row.id)
        assert (row.sample_rate, row.num_samples, row.channel) == (rate, rate, MIX_CHANNELS)
        waveform = samples.mean(axis=1)
        if rate != 16_000:
            waveform = soxr.resample(waveform, rate, 16_000, quality="HQ")
        batch = AudioBatch(ids=["x"], waveforms=[torch.from_numpy(waveform)])
        [expected] = fbank.compute_features(batch, "train")
        assert store[row.id].shape == (98, 20)
        np.testing.assert_allclose(store[row.id], expected["fbank"], atol=1e-3)
    assert not written
