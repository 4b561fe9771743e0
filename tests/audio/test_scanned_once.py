"""What scanning a file reads of it, and what it hears besides."""

from __future__ import annotations

import hashlib
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from featbank.audio import holding, scan_audio
from featbank.audio.holding import hold
from tests.conftest import ROOT

SPEECH = sorted((ROOT / "corpora/demo/june_fr").glob("*.flac"))[:4]


def test_a_held_file_is_what_was_read_whatever_is_written_to_it(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(3_000_001)
    (tmp_path / "x").write_bytes(data)
    with hold(open(tmp_path / "x", "rb")) as held:
        with open(tmp_path / "x", "r+b") as file:
            file.write(b"something else")
        assert held.file.read() == data
        held.file.seek(2_999_999)
        assert held.file.read() == data[-2:]
        assert held.sha256 == hashlib.sha256(data).hexdigest()
    assert held.file.closed


def test_a_file_too_large_for_memory_is_read_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.full(1000, 0.1), 16_000)
    expected = scan_audio(path)
    assert expected.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(holding, "_MOST_BYTES", 100)
    found = scan_audio(path)
    assert (found, found.sha256) == (expected, "")


@pytest.mark.parametrize(
    ("content_rate", "rate", "ends_at_hz"),
    [
        (8000, 16_000, 4000), (11_025, 16_000, 5512), (16_000, 24_000, 8000),
        (16_000, 48_000, 8000), (8000, 44_100, 4000), (16_000, 16_000, 0), (8000, 8000, 0),
    ],
)  # fmt: skip
def test_upsampled_speech_is_told_from_speech(
    content_rate: int, rate: int, ends_at_hz: int, tmp_path: Path
) -> None:
    for path in SPEECH:
        speech, at = soundfile.read(path)
        there = soxr.resample(soxr.resample(speech, at, content_rate), content_rate, rate)
        for suffix in ("wav", "flac"):  # which are digested in two ways
            soundfile.write(tmp_path / f"x.{suffix}", there, rate, subtype="PCM_16")
            assert scan_audio(tmp_path / f"x.{suffix}").ends_at_hz == ends_at_hz


@pytest.mark.parametrize("num_samples", [1, 100, 1024, 70_000])
def test_silence_and_noise_are_not_called_upsampled(num_samples: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (num_samples, 2))
    for samples in (np.zeros((num_samples, 2)), noise):
        soundfile.write(tmp_path / "x.wav", samples, 16_000)
        assert scan_audio(tmp_path / "x.wav").ends_at_hz == 0


def test_a_file_that_memory_does_not_take_is_looked_at_itself(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"audio" * 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with hold(open(tmp_path / "x", "rb")) as held:
            found = held.file.read()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert (found, held.sha256) == (b"audio" * 1000, "")
