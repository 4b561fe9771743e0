"""What libsndfile cannot read, decoded by the real ffmpeg; the faults of ffmpeg itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.audio import UNKNOWN_LENGTH, audio_digest, load_audio, open_audio, scan_audio
from featbank.audio.containers import Container, open_container
from featbank.audio.ffmpeg import open_ffmpeg
from featbank.audio.recording import Recording
from featbank.base.manifest import MIX_CHANNELS, read_manifest
from featbank.corpora.layouts.folder import FolderCorpus
from featbank.corpora.prepare import prepare
from featbank.errors import AudioError, FeatbankError
from featbank.store import open_store
from tests.extracting import extract_corpus
from tests.ffmpeg_files import ENCODED, FFMPEG, NUM_SAMPLES, SPEECH, encode, ffmpeg, needs_ffmpeg

ALL_TRAIN = {"by": "hash", "shares": {}}
LOSSLESS = ["alac.m4a", "alac.caf"]
# whose length no header states: cut between two frames they look whole
NO_LENGTH = ["x.g722"]


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


@needs_ffmpeg
@pytest.mark.parametrize("name", ENCODED)
def test_scan_gives_what_the_file_holds(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name)
    scan = scan_audio(path)
    rate = 48_000 if name == "opus.caf" else 16_000  # Opus always decodes to that
    assert (scan.sample_rate, scan.num_channels) == (rate, 1)
    assert abs(scan.num_samples * 16_000 // rate - NUM_SAMPLES) <= ENCODED[name][1]
    assert scan.digest == audio_digest(path)
    assert scan.digest.startswith("sha256:")


@needs_ffmpeg
@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_file_gives_the_samples_of_its_source(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name)
    whole = load_audio(path, sample_rate=16_000, num_samples=NUM_SAMPLES)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, speech())


@needs_ffmpeg
@pytest.mark.parametrize("name", ["x.m4a", "x.g722", "x.webm"])
def test_a_lossy_file_sounds_like_its_source(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name)
    found = load_audio(path, sample_rate=16_000, num_samples=NUM_SAMPLES - 1000)
    source = speech()
    best = max(
        np.corrcoef(found[shift : shift + 100_000], source[:100_000])[0, 1] for shift in range(32)
    )
    assert best > 0.95


@needs_ffmpeg
@pytest.mark.parametrize("name", ENCODED)
def test_a_segment_is_that_part_of_the_whole(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name)
    scan = scan_audio(path)
    place = {"sample_rate": scan.sample_rate}
    whole = load_audio(path, num_samples=scan.num_samples, **place)
    for start in (0, 1, 33_333, scan.num_samples - 3000):
        part = load_audio(path, start_sample=start, num_samples=3000, **place)
        np.testing.assert_array_equal(part, whole[start : start + 3000])


# whose header, written to a pipe, holds no length
STREAMED = {
    "wma": ("asf", "wmav2"),
    "mp3.wav": ("wav", "libmp3lame"),
    "wma.wav": ("wav", "wmav2"),
    "flac.wav": ("wav", "flac"),
    "ac3.wav": ("wav", "ac3"),
    "g722.wav": ("wav", "g722"),
    "mp3.w64": ("w64", "libmp3lame"),
    "adpcm.w64": ("w64", "adpcm_ms"),
}


@needs_ffmpeg
@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_of_no_known_length_gives_the_samples_of_its_file(
    name: str, tmp_path: Path
) -> None:
    container, codec = STREAMED[name]
    as_file, streamed = tmp_path / f"file.{name}", tmp_path / f"stream.{name}"
    arguments = ["-i", str(SPEECH), "-c:a", codec, "-f", container]
    ffmpeg(*arguments, as_file)
    assert FFMPEG
    command = [FFMPEG, "-nostdin", "-v", "error", *arguments, "pipe:1"]
    piped = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    streamed.write_bytes(piped.stdout)
    length = scan_audio(as_file).num_samples
    assert scan_audio(streamed).num_samples == length
    np.testing.assert_array_equal(
        load_audio(streamed, sample_rate=32_000 if codec == "ac3" else 16_000, num_samples=length),
        load_audio(as_file, sample_rate=32_000 if codec == "ac3" else 16_000, num_samples=length),
    )


@needs_ffmpeg
def test_the_channels_and_the_rate_are_the_file_s_own(tmp_path: Path) -> None:
    samples = np.stack([speech(), -speech() / 2], axis=1)
    soundfile.write(tmp_path / "two.wav", samples, 44_100)
    path = encode(tmp_path / "alac.m4a", tmp_path / "two.wav")
    place = {"sample_rate": 44_100, "num_samples": NUM_SAMPLES}
    expected = soundfile.read(tmp_path / "two.wav", dtype="float32")[0]
    for channel in (0, 1):
        np.testing.assert_array_equal(
            load_audio(path, channel=channel, **place), expected[:, channel]
        )
    mixed = load_audio(path, channel=MIX_CHANNELS, **place)
    np.testing.assert_array_equal(mixed, expected.mean(axis=1))


@needs_ffmpeg
def test_a_file_is_read_block_by_block(tmp_path: Path) -> None:
    with open_audio(encode(tmp_path / "alac.m4a")) as file:
        assert (file.samplerate, file.channels, file.frames) == (16_000, 1, UNKNOWN_LENGTH)
        blocks = [file.read(50_000) for _ in range(4)]
        file.check_end()
    assert [block.shape for block in blocks] == [(50_000, 1), (50_000, 1), (13_600, 1), (0, 1)]
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], speech())


@needs_ffmpeg
def test_a_recording_gives_the_samples_of_the_whole(tmp_path: Path) -> None:
    place: dict[str, Any] = {
        "sample_rate": 16_000, "start_sample": 7, "num_samples": 100_000, "target_rate": 16_000,
    }  # fmt: skip
    path = encode(tmp_path / "x.m4a")
    blocks = list(Recording(path, **place).blocks(30_000))
    assert [len(block) for block in blocks] == [30_000, 30_000, 30_000, 10_000]
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(path, **place))


@needs_ffmpeg
@pytest.mark.parametrize("kept", [0.9999, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("name", sorted(ENCODED.keys() - NO_LENGTH))
def test_scan_refuses_a_file_that_is_cut_short(name: str, kept: float, tmp_path: Path) -> None:
    path = encode(tmp_path / name)
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(AudioError) as caught:
        scan_audio(path)
    assert caught.value.kind in {"truncated", "damaged"}
    assert "/dev/fd" not in str(caught.value)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["x.m4a", "x.webm"])
def test_the_same_damage_is_told_in_the_same_words(name: str, tmp_path: Path) -> None:
    path = encode(tmp_path / name)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 2000):
        data[at] ^= 0x55
    path.write_bytes(data)
    told = set()
    for _ in range(3):
        with pytest.raises(AudioError, match="does not decode") as caught:
            scan_audio(path)
        told.add(str(caught.value))
    assert len(told) == 1
    assert " @ 0x" not in told.pop()


@needs_ffmpeg
def test_a_file_without_audio_is_no_audio(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=size=16x16:duration=0.2", tmp_path / "x.mp4")
    with pytest.raises(AudioError, match="does not decode: expected audio, got ffmpeg's") as caught:
        scan_audio(tmp_path / "x.mp4")
    assert caught.value.kind == "unknown_format"


@needs_ffmpeg
def test_the_sound_of_a_video_is_read(tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "color=size=16x16:duration=8"]
    ffmpeg(*picture, "-i", SPEECH, "-c:a", "alac", "-f", "mov", tmp_path / "x.mp4")
    found = load_audio(tmp_path / "x.mp4", sample_rate=16_000, num_samples=NUM_SAMPLES)
    np.testing.assert_array_equal(found, speech())


AMR = {
    # what the file begins with; a frame of noise (RFC 4867: its type, then the speech bits)
    "x.amr": (b"#!AMR\n", b"\x3c" + bytes(range(1, 32)), 8000),
    "x.awb": (b"#!AMR-WB\n", b"\x44" + bytes(range(1, 61)), 16_000),
}


@needs_ffmpeg
@pytest.mark.parametrize("name", AMR)
def test_amr_is_read_at_50_frames_a_second_and_refused_when_cut(name: str, tmp_path: Path) -> None:
    magic, frame, rate = AMR[name]
    path = tmp_path / name
    path.write_bytes(magic + frame * 50)
    scan = scan_audio(path)
    assert (scan.sample_rate, scan.num_channels, scan.num_samples) == (rate, 1, rate)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(
        AudioError, match=f"a last frame of {len(frame)} bytes, got {len(frame) - 1}"
    ):
        scan_audio(path)


@needs_ffmpeg
def test_aac_is_read_between_tags(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.aac")
    num_samples = scan_audio(path).num_samples
    tag = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
    path.write_bytes(tag + path.read_bytes() + b"TAG" + bytes(125))
    assert scan_audio(path).num_samples == num_samples


ID3 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
UNCOUNTED = {"vbr": ["-q:a", "6"], "abr": ["-abr", "1", "-b:a", "48k"], "cbr": ["-b:a", "64k"]}


@needs_ffmpeg
@pytest.mark.parametrize("channels", ["1", "2"])
@pytest.mark.parametrize("rate", [16_000, 44_100])  # of MPEG 2 and 1
@pytest.mark.parametrize("mode", UNCOUNTED)
def test_an_mp3_that_does_not_count_its_frames_is_read_whole(
    mode: str, rate: int, channels: str, tmp_path: Path
) -> None:
    counted, uncounted = tmp_path / "counted.mp3", tmp_path / "uncounted.mp3"
    form = ["-ar", str(rate), "-ac", channels, "-c:a", "libmp3lame", *UNCOUNTED[mode]]
    ffmpeg("-i", SPEECH, *form, counted)
    ffmpeg("-i", SPEECH, *form, "-write_xing", "0", uncounted)
    num_samples = NUM_SAMPLES * rate // 16_000
    assert scan_audio(counted).num_samples == num_samples  # without what encoders add at both ends
    assert 0 < scan_audio(uncounted).num_samples - num_samples <= 4 * 1152
    with open_audio(counted) as file:
        assert file.can_seek  # it is for libsndfile, which is faster
    uncounted.write_bytes(ID3 + uncounted.read_bytes() + b"TAG" + bytes(125))
    assert 0 < scan_audio(uncounted).num_samples - num_samples <= 4 * 1152


@needs_ffmpeg
def test_mp3s_in_a_row_are_read_to_the_last(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    soundfile.write(path, speech(), 16_000, format="MP3", subtype="MPEG_LAYER_III")
    one = path.read_bytes()
    path.write_bytes(one + one)
    assert 2 * NUM_SAMPLES <= scan_audio(path).num_samples <= 2 * NUM_SAMPLES + 4 * 1152
    path.write_bytes(one + ID3 + one)
    assert 2 * NUM_SAMPLES <= scan_audio(path).num_samples <= 2 * NUM_SAMPLES + 4 * 1152


def _twice_in_a_row(path: Path, codec: str) -> bytes:
    pages = b""
    for number in ("1", "2"):
        ffmpeg("-i", SPEECH, "-c:a", codec, "-serial_offset", number, path)
        assert scan_audio(path).num_samples == NUM_SAMPLES
        pages += path.read_bytes()
    path.write_bytes(pages)
    return pages


@needs_ffmpeg
def test_streams_of_an_ogg_in_a_row_are_read_to_the_last_or_refused(tmp_path: Path) -> None:
    vorbis, opus = tmp_path / "x.ogg", tmp_path / "x.opus"
    pages = _twice_in_a_row(vorbis, "libvorbis")
    assert 0 <= scan_audio(vorbis).num_samples - 2 * NUM_SAMPLES <= 2048
    vorbis.write_bytes(pages[:-100])
    with pytest.raises(AudioError, match="cut short"):
        scan_audio(vorbis)
    _twice_in_a_row(opus, "libopus")
    with suppress(AudioError):  # ffmpeg 5.1 does not go from one to the next, and says so
        assert scan_audio(opus).duration_s > 2 * NUM_SAMPLES / 16_000 - 0.05


@needs_ffmpeg
def test_flac_in_ogg_gives_the_samples_of_its_source(tmp_path: Path) -> None:
    ffmpeg("-i", SPEECH, "-c:a", "flac", tmp_path / "x.oga")
    samples = load_audio(tmp_path / "x.oga", sample_rate=16_000, num_samples=NUM_SAMPLES)
    assert np.array_equal(samples, speech())


@needs_ffmpeg
def test_names_mean_nothing_to_ffmpeg(tmp_path: Path) -> None:
    encode(tmp_path / "alac.m4a")
    for name in ("%03d.m4a", "-y.m4a", "http:x.m4a", "caf\udce9.m4a"):
        os.link(tmp_path / "alac.m4a", tmp_path / name)
        assert scan_audio(tmp_path / name).num_samples == NUM_SAMPLES


@needs_ffmpeg
def test_prepare_and_extract_take_what_ffmpeg_decodes(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    shutil.copy(SPEECH, root / "source.flac")
    encode(root / "alac.m4a")
    encode(root / "x.g722")
    corpus = FolderCorpus(name="c", root=root, license="free", split_rule=ALL_TRAIN)
    prepare(
        corpus, tmp_path / "manifests", failures_path=tmp_path / "failures.jsonl", num_workers=2
    )
    rows = read_manifest(tmp_path / "manifests/train.jsonl")
    assert [(row.id, row.num_samples) for row in rows] == [
        ("alac", NUM_SAMPLES), ("source", NUM_SAMPLES), ("x", NUM_SAMPLES),
    ]  # fmt: skip
    extract_corpus(root, tmp_path / "out", num_workers=2)  # whose decoders are their own
    store = open_store(tmp_path / "out/fbank/train")
    np.testing.assert_array_equal(store["alac"], store["source"])
    assert not np.array_equal(store["x"], store["source"])


def small_m4a(path: Path) -> Path:
    """What the container's check takes for an MP4; no decoder is needed for it."""
    path.write_bytes(b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat")
    return path


def test_no_ffmpeg_is_a_fault_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    small_m4a(root / "x.m4a")
    monkeypatch.setenv("PATH", str(tmp_path))
    corpus = FolderCorpus(name="c", root=root, license="free", split_rule=ALL_TRAIN)
    failures = tmp_path / "failures.jsonl"
    with pytest.raises(FeatbankError, match=r"x.m4a: expected ffmpeg .*; install ffmpeg") as caught:
        prepare(corpus, tmp_path / "out", failures_path=failures, max_failures=1)
    assert not isinstance(caught.value, AudioError)
    assert not failures.exists()
    assert not (tmp_path / "out").exists()


def fake_ffmpeg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -KILL $$", "expected it to end by itself, got SIGKILL"),
        ("kill -SEGV $$", "expected it to end by itself, got SIGSEGV"),
        ("exit 255", "expected it to end by itself, got a signal"),
        ("echo 'libx.so.1: cannot open shared object file' >&2; exit 127", "got libx.so.1"),
        ("echo \"Unknown input format: 'mov'\" >&2; exit 1", "an ffmpeg that decodes it, got"),
        (
            "echo 'Decoder (codec aac) not found for input stream #0:0' >&2; exit 1",
            "an ffmpeg that decodes it, got Decoder",
        ),
        (
            "echo 'Decoding requested, but no decoder found for: aac' >&2; exit 1",
            "an ffmpeg that decodes it, got Decoding",
        ),
    ],
)
def test_an_ffmpeg_that_does_not_run_to_its_end_is_a_fault_of_the_machine(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ffmpeg(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(FeatbankError, match=message) as caught:
        scan_audio(small_m4a(tmp_path / "x.m4a"))
    assert not isinstance(caught.value, AudioError)


@pytest.mark.parametrize(
    ("said", "error"),
    [("Cannot allocate memory", MemoryError), ("Too many open files", OSError)],
)
def test_an_ffmpeg_that_lacks_memory_or_files_is_a_fault_of_the_machine(
    said: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ffmpeg(tmp_path / "bin", f"echo '{said}' >&2; exit 1", monkeypatch)
    with pytest.raises(error, match=said):
        scan_audio(small_m4a(tmp_path / "x.m4a"))


@needs_ffmpeg
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_ffmpeg_that_is_killed_in_the_midst_is_a_fault_of_the_machine(
    number: signal.Signals, tmp_path: Path
) -> None:
    samples = np.tile(speech(), 20)  # more than a pipe holds
    soundfile.write(tmp_path / "long.wav", samples, 16_000)
    path = encode(tmp_path / "alac.m4a", tmp_path / "long.wav")
    before = children()
    with open_audio(path) as file:
        assert len(file.read(1000)) == 1000
        [child] = children() - before
        os.kill(child, number)
        while len(file.read(100_000)) == 100_000:
            pass
        with pytest.raises(FeatbankError, match="expected it to end by itself, got") as caught:
            file.check_end()
    assert not isinstance(caught.value, AudioError)


@needs_ffmpeg
def test_a_file_that_is_left_early_leaves_no_process(tmp_path: Path) -> None:
    samples = np.tile(speech(), 20)
    soundfile.write(tmp_path / "long.wav", samples, 16_000)
    path = encode(tmp_path / "alac.m4a", tmp_path / "long.wav")
    before, open_files = children(), len(list(Path("/proc/self/fd").iterdir()))
    part = load_audio(path, sample_rate=16_000, start_sample=10, num_samples=100)
    np.testing.assert_array_equal(part, samples[10:110])
    assert children() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files


@needs_ffmpeg
def test_a_demuxer_that_this_ffmpeg_lacks_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    path = encode(tmp_path / "x.m4a")
    file, _ = open_container(path)
    with (
        file,
        pytest.raises(FeatbankError, match="expected an ffmpeg that decodes it, got Unknown input"),
        open_ffmpeg(path, file, Container(name="x", demuxer="no_such_demuxer")),
    ):
        pass
