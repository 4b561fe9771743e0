"""Utterances played at a speed are what torchaudio and lhotse make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from lhotse.augmentation import Speed
from lhotse.utils import perturb_num_samples

from featbank.audio import decided_by, length_at, load_audio, resample, resampled_length
from featbank.audio.recording import Recording
from featbank.base.manifest import Utterance
from featbank.base.speeds import played_rate

SPEEDS = [0.9, 1.1, 0.75]


def _row(**fields: Any) -> Utterance:
    given = {"audio": "a.wav", "sample_rate": 16000, "num_samples": 16000, **fields}
    return Utterance(id="a", audio_digest="sha256:0", **given)


@pytest.fixture(params=["allison_en/vm-tempgreeting.flac", "june_fr/vm-toreply.flac"])
def speech(request: pytest.FixtureRequest, demo_corpus: Path) -> Path:
    return demo_corpus / request.param


def _read(path: Path, **changes: Any) -> Any:
    info = soundfile.info(path)
    given = {"sample_rate": info.samplerate, "num_samples": info.frames, **changes}
    return load_audio(path, **given)


@pytest.mark.parametrize("speed", SPEEDS)
def test_speech_at_a_speed_is_that_of_torchaudio_and_of_lhotse(speed: float, speech: Path) -> None:
    waveform, rate = soundfile.read(speech, dtype="float32")
    ours = _read(speech, speed=speed)
    theirs, _ = torchaudio.functional.speed(torch.from_numpy(waveform)[None], rate, speed)
    assert len(ours) == perturb_num_samples(len(waveform), speed)
    for other in (theirs[0].numpy(), Speed(speed)(waveform[None], rate)[0]):
        both = min(len(ours), len(other))  # which may have one sample more
        assert abs(len(ours) - len(other)) <= 1
        # they cut off sooner below half the rate: that far, and no further, are they apart
        error = np.sqrt(np.mean((ours[:both] - other[:both]) ** 2) / np.mean(ours**2))
        assert error < 0.04
        # a hundredth of another speed is another waveform
        wrong = _read(speech, speed=speed + 0.01)[:both]
        assert np.sqrt(np.mean((wrong - other[: len(wrong)]) ** 2) / np.mean(ours**2)) > 0.5


@pytest.mark.parametrize("speed", [0.9, 1.1])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_lengths_at_the_speeds_of_kaldi_are_those_of_lhotse(rate: int, speed: float) -> None:
    for number in [*range(1, 600), 99_999, 10**7 + 3]:
        row = _row(sample_rate=rate, num_samples=number, speed=speed)
        assert length_at(row, rate) == perturb_num_samples(number, speed)


def test_a_speed_and_another_rate_are_one_resampling(speech: Path) -> None:
    waveform, rate = soundfile.read(speech, dtype="float32")
    for target in (8000, 22050):
        once = resample(waveform, round(0.9 * rate), target)
        assert np.array_equal(_read(speech, speed=0.9, target_rate=target), once)
        row = _row(sample_rate=rate, num_samples=len(waveform), speed=0.9)
        assert length_at(row, target) == len(once)
    # where the rate that it is played at is asked for, nothing is resampled
    played = round(0.9 * rate)
    assert np.array_equal(_read(speech, speed=0.9, target_rate=played), waveform)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("target", [8000, 16000, 14400])
def test_a_recording_in_blocks_is_what_is_read_at_once(
    speed: float, target: int, speech: Path
) -> None:
    given = {
        "sample_rate": 16000, "num_samples": 30_001, "start_sample": 77, "target_rate": target,
        "speed": speed,
    }  # fmt: skip
    whole = load_audio(speech, **given)
    recording = Recording(speech, **given)
    assert recording.num_samples == len(whole)
    assert len(whole) == resampled_length(30_001, played_rate(16000, speed), target)
    assert np.array_equal(np.concatenate(list(recording.blocks(1000))), whole)


def test_room_for_samples_is_left_alone_where_a_speed_has_them_resampled(speech: Path) -> None:
    room = np.full(200_000, 7, np.float32)
    assert len(_read(speech, speed=0.9, room=room)) > soundfile.info(speech).frames
    assert (room == 7).all()
    read = _read(speech, speed=0.9, target_rate=14400, room=room)
    assert np.shares_memory(read, room)


def test_a_speed_makes_the_resampler_decide_a_sample() -> None:
    assert decided_by(_row(), 16000) == frozenset()
    assert decided_by(_row(speed=0.9), 16000) == {"soxr"}
    assert decided_by(_row(speed=0.9), 14400) == frozenset()


def test_times_and_digests_of_an_utterance_are_those_at_its_speed() -> None:
    slow, plain = _row(start_sample=8000, speed=0.5), _row(start_sample=8000)
    assert (slow.played_rate, slow.duration_s, slow.start_s) == (8000, 2.0, 0.5)
    assert plain.input_digest.hex() == "b4e8bc9cd6408955a384ee263e6e3838"
    assert len({one.input_digest for one in (slow, plain, _row(start_sample=8000, speed=0.6))}) == 3
