"""An utterance read in blocks is the one that is read whole, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from featbank.audio import load_audio
from featbank.audio.recording import Recording
from featbank.base.manifest import MIX_CHANNELS
from featbank.errors import AudioError
from featbank.features.signal import framewise
from tests.audio.test_machine_faults import _FILTER, needs_seccomp, run
from tests.extracting import extract_corpus, files, prepare_corpus
from tests.waiting import HANG_S

FORMATS = {
    "x.wav": ("WAV", "PCM_16"),
    "x-float.wav": ("WAV", "FLOAT"),
    "x.flac": ("FLAC", "PCM_16"),
    "x.ogg": ("OGG", "VORBIS"),
    "x.opus": ("OGG", "OPUS"),
    "x.mp3": ("MP3", "MPEG_LAYER_III"),
    "x-dwvw.aiff": ("AIFF", "DWVW_16"),
}
BLOCK = 1 << 16  # that the file is read in


def noise(num_samples: int, num_channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((num_samples, num_channels)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    kind, subtype = FORMATS[path.name]
    soundfile.write(path, samples, rate, format=kind, subtype=subtype)
    return path


@pytest.mark.parametrize("channel", [0, 1, MIX_CHANNELS])
@pytest.mark.parametrize("name", [name for name in FORMATS if "dwvw" not in name])
def test_blocks_are_the_samples_of_a_whole_read(tmp_path: Path, name: str, channel: int) -> None:
    path = write(tmp_path / name, noise(200_000, 2), 48000)
    segment = {"sample_rate": 48000, "num_samples": 150_001, "start_sample": 40_000}
    for target_rate in (48000, 16000):
        arguments = {**segment, "channel": channel, "target_rate": target_rate}
        recording = Recording(path, **arguments)
        whole = load_audio(path, **arguments)
        assert recording.num_samples == len(whole)
        assert np.array_equal(np.concatenate(list(recording.blocks(10_000))), whole)


def test_a_file_that_cannot_seek_gives_the_samples_of_a_whole_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x-dwvw.aiff", noise(150_000))
    arguments = {"sample_rate": 16000, "num_samples": 70_000, "start_sample": 75_000}
    blocks = Recording(path, **arguments, target_rate=16000).blocks(1000)
    assert np.array_equal(np.concatenate(list(blocks)), load_audio(path, **arguments))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("audio") / "x.wav", noise(3 * BLOCK + 1), 44100)


@settings(max_examples=40, deadline=None)
@given(
    num_samples=st.sampled_from(
        [n + d for n in (BLOCK, 2 * BLOCK, 3 * BLOCK) for d in (-1, 0, 1)] + [1, 2, 441]
    ),
    target_rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000]),
    size=st.sampled_from([1000, BLOCK - 1, BLOCK, BLOCK + 1, 10**6]),
)
def test_resampling_in_blocks_leaves_no_trace(
    stored: Path, num_samples: int, target_rate: int, size: int
) -> None:
    arguments = {"sample_rate": 44100, "num_samples": num_samples, "target_rate": target_rate}
    recording = Recording(stored, **arguments)
    blocks = list(recording.blocks(size))
    whole = load_audio(stored, **arguments)
    assert recording.num_samples == len(whole)
    assert [len(block) for block in blocks] == [
        min(size, len(whole) - start) for start in range(0, len(whole), size)
    ]
    assert np.array_equal(np.concatenate([whole[:0], *blocks]), whole)


def test_a_second_pass_begins_anew_even_after_one_that_was_given_up(stored: Path) -> None:
    recording = Recording(stored, sample_rate=44100, num_samples=2 * BLOCK, target_rate=16000)
    first = next(recording.blocks(5000))
    given_up = recording.blocks(5000)
    next(given_up), next(given_up)
    assert np.array_equal(next(recording.blocks(5000)), first)


def test_what_a_whole_read_refuses_is_refused(tmp_path: Path, stored: Path) -> None:
    good = {"sample_rate": 44100, "num_samples": 3 * BLOCK, "target_rate": 16000}
    damaged = noise(3 * BLOCK)
    damaged[-5] = np.nan
    nan = write(tmp_path / "x-float.wav", damaged, 44100)
    for path, changed, message in (
        (stored, {"sample_rate": 16000}, "expected 16000 Hz, got 44100 Hz"),
        (stored, {"channel": 1}, "expected a channel 1, got 1 channels"),
        (stored, {"start_sample": 2}, f"up to {3 * BLOCK + 2}, got {3 * BLOCK + 1}"),
        (tmp_path / "none.wav", {}, "expected a readable file, got No such file"),
        (nan, {}, "expected finite samples, got 1 NaN"),
    ):
        arguments = {**good, **changed}
        with pytest.raises(AudioError, match=message) as of_whole:
            load_audio(path, **arguments)
        with pytest.raises(AudioError) as of_blocks:
            list(Recording(path, **arguments).blocks(1000))
        assert str(of_blocks.value) == str(of_whole.value)


_FAILING = """
import time
import numpy as np
from featbank.audio.recording import Recording

path, lasts, target_rate = sys.argv[1], sys.argv[2] == "lasts", int(sys.argv[3])
audio = {"sample_rate": 16000, "num_samples": 2_500_000, "start_sample": 5000}
whole = np.concatenate(list(Recording(path, **audio, target_rate=target_rate).blocks(1 << 16)))
waited = []

def wait(seconds):
    waited.append(seconds)
    if not lasts:
        os.dup(spare)  # takes the place of the descriptor whose reads fail

time.sleep = wait
spare = os.open(os.devnull, os.O_RDONLY)
os.close(failing := os.dup(spare))  # which the file is about to get
blocks = Recording(path, **audio, target_rate=target_rate).blocks(1 << 16)
read = [next(blocks)]
fail_reads(failing)
try:
    read += blocks
except OSError as error:
    print(errno.errorcode[error.errno], waited)
else:
    print(np.array_equal(np.concatenate(read), whole), waited)
"""


@needs_seccomp
@pytest.mark.parametrize(("name", "target_rate"), [("x.flac", 8000), ("x.mp3", 16000)])
def test_a_read_that_fails_in_the_midst_is_tried_again_and_leaves_no_trace(
    tmp_path: Path, name: str, target_rate: int
) -> None:
    path = write(tmp_path / name, noise(2_600_000))
    for how, found in (("once", "True [1.0]"), ("lasts", "EIO [1.0, 5.0, 25.0]")):
        assert run(_FILTER + _FAILING, path, how, str(target_rate)) == found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8_scaled"])
def test_a_store_made_in_pieces_equals_one_made_whole_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    lines = ["path\tspeaker\tlanguage\tsplit\ttext"]
    for name, num_samples, rate in (
        ("a", 40_000, 16000),
        ("b", 300_001, 16000),
        ("c", 99_999, 8000),
    ):
        soundfile.write(root / f"{name}.flac", noise(num_samples), rate)
        lines.append(f"{name}.flac\ts\ten\ttrain\twords")
    (root / "transcripts.tsv").write_text("\n".join(lines) + "\n")
    prepare_corpus(root)
    made = []
    for window_frames in (256, 256_000):
        monkeypatch.setattr(framewise, "_WINDOW_FRAMES", window_frames)
        out, work = tmp_path / f"out-{window_frames}", tmp_path / f"work-{window_frames}"
        storage = [{"name": "fbank", "dtype": dtype}]
        headers = extract_corpus(root, out, num_workers=None, storage=storage, work=work)
        assert sum(header.num_frames for header in headers) == 248 + 1873 + 1248
        made.append(files(out))
    assert made[0] == made[1]


EXTRACT = """
import sys
from pathlib import Path

import torch

from featbank.features.signal.kaldi import Fbank
from featbank.audio.recording import Recording
from featbank.store import ShardRow, ShardSpec, ShardWriter

def peak_kb():
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1])

torch.set_num_threads(1)  # as workers do
folder, num_samples = Path(sys.argv[1]), int(sys.argv[2])
extractor = Fbank(num_mel_bins=80)
audio = {"sample_rate": 16000, "num_samples": num_samples, "target_rate": 16000}
recording = Recording(folder / "x.flac", **audio)
num_frames = extractor.framing.num_frames(recording.num_samples)
writers = []
for number, dtype in enumerate(("float16", "int8_scaled")):
    spec = ShardSpec(name="fbank", dtype=dtype, shape=(80,), fingerprint="f", numerics={})
    row = ShardRow(id="a", num_frames=num_frames)
    writers.append(ShardWriter(folder / f"{number:016x}.h5", spec, [row]))
before = peak_kb()
for piece in extractor.compute_pieces(recording, "test"):
    for writer in writers:
        writer.write_piece("a", piece["fbank"])
for writer in writers:
    assert writer.close().num_frames == num_frames
print(before, peak_kb())
"""


@pytest.mark.slow
def test_three_hours_go_through_fbank_into_shards_in_bounded_memory(tmp_path: Path) -> None:
    minutes = 180
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(tmp_path / "x.flac", "w", 16000, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(rng.integers(-8, 9, 60 * 16000, np.int16))
    command = [sys.executable, "-c", EXTRACT, str(tmp_path), str(minutes * 60 * 16000)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    before_kb, peak_kb = map(int, done.stdout.split())
    # the samples are 691 MB as float32, the features 346 MB; importing torch takes 550 MB
    assert peak_kb - before_kb < 250_000
    assert peak_kb < 900_000
