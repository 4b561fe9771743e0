"""Audio inside other files is read as that in files of its own, and its faults are named."""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from featbank.audio import audio_digest, close_passes, load_audio, open_audio, scan_audio
from featbank.audio.inside import payloads
from featbank.audio.passes import file_key
from featbank.audio.recording import Recording
from featbank.errors import AudioError
from featbank.files import disk
from tests.ffmpeg_files import SPEECH, encode, needs_ffmpeg
from tests.inside_files import places_in, write_tar

BY_LIBSNDFILE = {
    "x.flac": ("FLAC", "PCM_16"), "x.wav": ("WAV", "PCM_16"), "float.wav": ("WAV", "FLOAT"),
    "x.ogg": ("OGG", "VORBIS"), "x.opus": ("OGG", "OPUS"), "x.mp3": ("MP3", "MPEG_LAYER_III"),
    "x.aiff": ("AIFF", "PCM_16"), "x.w64": ("W64", "PCM_16"), "x.au": ("AU", "PCM_16"),
    "x.caf": ("CAF", "PCM_16"), "x.sph": ("NIST", "PCM_16"),
}  # fmt: skip
BY_FFMPEG = ["x.m4a", "x.mka", "x.g722", "mp3.wav", "alac.caf"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    speech, rate = soundfile.read(SPEECH)
    for name, (kind, subtype) in BY_LIBSNDFILE.items():
        soundfile.write(folder / name, speech, rate, format=kind, subtype=subtype)
    for name in BY_FFMPEG if shutil.which("ffmpeg") else ():
        encode(folder / name)
    return folder


@pytest.fixture(scope="module")
def inside(files: Path) -> dict[str, Path]:
    """Where each of the files lies in one tar, at offsets that are no round numbers."""
    members = {path.name: path.read_bytes() for path in sorted(files.iterdir())}
    tar = write_tar(files.parent / "inside" / "all.tar", members)
    return {name: tar.parent / place for name, place in places_in(tar, tar.parent).items()}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that the test has just written are taken for old ones, of which copies are kept."""
    monkeypatch.setattr(payloads, "_DOUBTED_NS", 0)
    close_passes()


@pytest.mark.parametrize(
    "name", [*BY_LIBSNDFILE, *(pytest.param(one, marks=needs_ffmpeg) for one in BY_FFMPEG)]
)
def test_each_format_is_read_from_a_tar_as_from_its_file(
    name: str, files: Path, inside: dict[str, Path]
) -> None:
    own, place = files / name, inside[name]
    assert audio_digest(place) == audio_digest(own)
    scan, expected = scan_audio(place), scan_audio(own)
    assert scan == expected
    assert scan.sha256 == hashlib.sha256(own.read_bytes()).hexdigest()
    for start, number in ((0, expected.num_samples), (12_345, 20_000)):
        segment = {
            "sample_rate": expected.sample_rate, "start_sample": start, "num_samples": number,
            "digest": expected.digest,
        }  # fmt: skip
        found = load_audio(str(place), **segment)
        np.testing.assert_array_equal(found, load_audio(own, **segment))
        blocks = Recording(place, **segment, target_rate=expected.sample_rate).blocks(7000)
        np.testing.assert_array_equal(np.concatenate(list(blocks)), found)


@pytest.mark.usefixtures("kept")
def test_without_files_in_memory_a_file_without_a_name_does(
    files: Path, inside: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    for name in ("x.flac", "x.mp3"):
        assert scan_audio(inside[name]) == scan_audio(files / name)


def test_faults_have_the_kinds_of_those_of_files(
    tmp_path: Path, inside: dict[str, Path], files: Path
) -> None:
    shutil.copy(inside["x.flac"].parents[1] / "all.tar", tmp_path / "0.tar")
    with open(files / "x.wav", "rb") as file:
        (tmp_path / "1.bin").write_bytes(file.read(30_000))
    tar = tmp_path / "0.tar"
    size = tar.stat().st_size
    for path, kind, said in [
        ("9.tar!/x.flac@512+100", "missing", "No such file"),
        (f"0.tar!/x.flac@512+{size}", "truncated", f"got one of {size}"),
        (f"0.tar!/x.flac@{size + 5}+1", "truncated", "a container of at least"),
        ("0.tar!/x.flac@512+0", "empty", "an empty file"),
        ("0.tar!/x.flac@0+512", "unknown_format", "begins with"),
        ("0.tar!/x.flac", "bad_name", "FILE!/MEMBER@START"),
        ("1.bin!/x.wav@0+30000", "truncated", "cut short"),
        ("folder!/x.wav@0+30000", "missing", "No such file"),
        ("pipe!/x.wav@0+30000", "not_a_file", "a pipe"),
    ]:
        (tmp_path / "folder").mkdir(exist_ok=True)
        if not (tmp_path / "pipe").exists():
            os.mkfifo(tmp_path / "pipe")
        with pytest.raises(AudioError) as caught:
            scan_audio(tmp_path / path)
        assert caught.value.kind == kind, path
        assert said in str(caught.value)
        assert path in str(caught.value)


def test_a_folder_whose_name_ends_with_a_mark_holds_files(files: Path, tmp_path: Path) -> None:
    (tmp_path / "wow!" / "deep!").mkdir(parents=True)
    shutil.copy(files / "x.wav", tmp_path / "wow!" / "deep!" / "x.wav")
    write_tar(tmp_path / "wow!" / "0.tar", {"x.wav": (files / "x.wav").read_bytes()})
    [place] = places_in(tmp_path / "wow!" / "0.tar", tmp_path).values()
    for path in ("wow!/deep!/x.wav", place):
        assert scan_audio(tmp_path / path) == scan_audio(files / "x.wav")


@pytest.mark.usefixtures("kept")
def test_segments_of_one_recording_read_it_once(
    inside: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def read_at(*arguments: int) -> bytes:
        read.append(len(data := disk.read_at(*arguments)))
        return data

    monkeypatch.setattr(payloads, "read_at", read_at)
    path = inside["x.wav"]
    digest = audio_digest(path)
    for start in range(0, 100_000, 5000):
        load_audio(path, sample_rate=16_000, start_sample=start, num_samples=4000, digest=digest)
    assert sum(read) == int(path.name.rpartition("+")[2])


@pytest.mark.usefixtures("kept")
def test_a_container_that_changes_is_read_again(files: Path, tmp_path: Path) -> None:
    data = (files / "x.wav").read_bytes()
    tar = write_tar(tmp_path / "0.tar", {"x.wav": data})
    [place] = places_in(tar, tmp_path).values()
    digest, key = audio_digest(tmp_path / place), file_key(tmp_path / place, "")
    assert digest == audio_digest(files / "x.wav")
    with open(tar, "r+b") as file:
        file.seek(512 + 1000)
        file.write(b"other")
    os.utime(tar, ns=(1, 1))
    assert audio_digest(tmp_path / place) != digest
    assert file_key(tmp_path / place, "") != key
    with (
        pytest.raises(AudioError, match="has changed since the manifest"),
        open_audio(tmp_path / place, digest=digest),
    ):
        pass


@pytest.mark.usefixtures("kept")
def test_threads_and_forked_processes_read_the_same_copies(
    inside: dict[str, Path], files: Path
) -> None:
    names = ["x.flac", "x.wav", "x.ogg", "x.mp3", "x.caf", "x.aiff"]
    expected = {name: scan_audio(files / name) for name in names}

    def all_are_right() -> bool:
        return all(scan_audio(inside[name]) == expected[name] for name in names)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: all_are_right(), range(8)))
        child = os.fork()
        if not child:
            status = 1
            try:
                with ThreadPoolExecutor(2) as others:
                    status = 0 if all(others.map(lambda _: all_are_right(), range(4))) else 2
            finally:
                os._exit(status)
        assert all_are_right()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    num_open = _num_open_files()
    close_passes()
    assert 1 <= num_open - _num_open_files() <= 4


def _num_open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
