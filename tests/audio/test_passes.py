"""Files that cannot seek are decoded once for all of their segments, which changes no sample."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from featbank.audio import audio_digest, close_passes, load_audio, passes, scan_audio
from featbank.audio.recording import Recording
from featbank.base.manifest import MIX_CHANNELS
from featbank.errors import AudioError
from tests.extracting import extract_corpus, files, prepare_corpus
from tests.ffmpeg_files import FFMPEG, ffmpeg, needs_ffmpeg

RATE = 16_000
SECONDS = 30
ENCODERS = {
    "x.ogg": ["-c:a", "libvorbis"],
    "x.m4a": ["-c:a", "aac"],
    "x.mp3": ["-c:a", "libmp3lame", "-write_xing", "0"],  # states no length
    "x.wma": ["-c:a", "wmav2"],
}
DWVW = "x.aiff"  # of libsndfile's own encoder

pytestmark = needs_ffmpeg


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Half a minute in each format that cannot seek, in stereo where it can."""
    root = tmp_path_factory.mktemp("cannot-seek")
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.standard_normal((SECONDS * RATE, 2)).astype(np.float32)
    soundfile.write(root / "x.wav", samples, RATE)
    soundfile.write(root / DWVW, samples[:, 0], RATE, subtype="DWVW_16")
    for name, arguments in ENCODERS.items():
        ffmpeg("-i", root / "x.wav", *arguments, root / name)
    return {name: root / name for name in (*ENCODERS, DWVW)}


@pytest.fixture(autouse=True)
def _no_pass_of_another_test() -> Iterator[None]:
    close_passes()
    passes._WAITING._once.clear()
    yield
    close_passes()


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of which a decoding was begun, one entry each."""
    begun = []
    real = passes.open_audio

    def noting(path: Path, **arguments: Any) -> Any:
        begun.append(Path(path).name)
        return real(path, **arguments)

    monkeypatch.setattr(passes, "open_audio", noting)
    return begun


def segments(number: int = 40) -> list[tuple[int, int]]:
    """Starts and lengths, in no order, some within others."""
    chosen = random.Random(0)
    return [
        (chosen.randrange(0, (SECONDS - 5) * RATE), chosen.randrange(1, 4 * RATE))
        for _ in range(number)
    ]


def whole(path: Path, channel: int = 0) -> np.ndarray:
    """The samples of a decoding from the start to the end, without any pass."""
    scan = scan_audio(path)
    settings = {"sample_rate": scan.sample_rate, "num_samples": scan.num_samples}
    samples = load_audio(path, **settings, channel=channel)
    close_passes()
    passes._WAITING._once.clear()
    return samples


def load(path: Path, start: int, length: int, channel: int = 0, **more: Any) -> np.ndarray:
    where = {"start_sample": start, "num_samples": length, "channel": channel}
    return load_audio(path, sample_rate=RATE, **where, **more)


@pytest.mark.parametrize("name", [*ENCODERS, DWVW])
def test_segments_in_any_order_are_those_of_a_decoding_from_the_start(
    name: str, stored: dict[str, Path], decodings: list[str]
) -> None:
    channels = (MIX_CHANNELS, 0) if name == DWVW else (MIX_CHANNELS, 0, 1)
    by_channel = {channel: whole(stored[name], channel) for channel in channels}
    decodings.clear()
    for number, (start, length) in enumerate(segments()):
        channel = channels[number % len(channels)]
        found = load(stored[name], start, length, channel)
        np.testing.assert_array_equal(found, by_channel[channel][start : start + length])
    # the file is small: one segment of it is no reason to expect another
    assert decodings == [name] * 2


@pytest.mark.parametrize("name", ["x.ogg", "x.m4a"])
def test_a_large_file_is_decoded_once_for_all_of_its_segments(
    name: str, stored: dict[str, Path], decodings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_SMALL_BYTES", 0)
    for start, length in segments():
        load(stored[name], start, length)
    assert decodings == [name]


def test_a_scratch_that_holds_little_changes_no_sample(
    stored: dict[str, Path], decodings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(stored["x.ogg"])
    monkeypatch.setattr(passes, "_SMALL_BYTES", 0)
    monkeypatch.setattr(passes, "_SCRATCH_BYTES", 2 * 65_536 * 2 * 4)  # two blocks
    decodings.clear()
    rising = sorted(segments())
    for start, length in rising:  # which overlap by less than is kept
        np.testing.assert_array_equal(
            load(stored["x.ogg"], start, length), expected[start : start + length]
        )
    assert decodings == ["x.ogg"]
    start, length = rising[0]  # is not kept any more
    np.testing.assert_array_equal(
        load(stored["x.ogg"], start, length), expected[start : start + length]
    )
    assert decodings == ["x.ogg"] * 2


def test_without_room_for_a_scratch_segments_behind_one_another_need_one_decoding(
    stored: dict[str, Path],
    decodings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = whole(stored["x.ogg"])
    monkeypatch.setattr(passes, "_SMALL_BYTES", 0)
    monkeypatch.setattr(passes, "_IN_MEMORY_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no folder"))
    decodings.clear()
    starts = range(0, (SECONDS - 1) * RATE, RATE // 2)
    for start in starts:
        found = load(stored["x.ogg"], start, RATE // 2)
        np.testing.assert_array_equal(found, expected[start : start + RATE // 2])
    assert decodings == ["x.ogg"]
    assert caplog.text.count("are not kept") == 1
    np.testing.assert_array_equal(load(stored["x.ogg"], 5, 9), expected[5:14])
    assert decodings == ["x.ogg"] * 2


def test_what_a_caller_does_to_a_waveform_reaches_no_later_segment(
    stored: dict[str, Path],
) -> None:
    first = load(stored[DWVW], 0, 500).copy()
    for _ in range(3):
        found = load(stored[DWVW], 0, 500)
        np.testing.assert_array_equal(found, first)
        found[:] = 0


def test_several_files_by_turns_need_one_decoding_each(
    stored: dict[str, Path], decodings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_SMALL_BYTES", 0)
    for start, length in segments(10):
        for name in ("x.ogg", "x.m4a", "x.wma"):
            load(stored[name], start, length)
    assert sorted(decodings) == ["x.m4a", "x.ogg", "x.wma"]


def test_threads_that_read_one_file_disturb_each_other_in_nothing(
    stored: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(stored["x.m4a"])
    monkeypatch.setattr(passes, "_SMALL_BYTES", 0)
    wrong: list[int] = []
    begin = threading.Barrier(4)

    def read(order: list[tuple[int, int]]) -> None:
        begin.wait()
        for start, length in order:
            found = load(stored["x.m4a"], start, length)
            if not np.array_equal(found, expected[start : start + length]):
                wrong.append(start)

    orders = [segments(), segments()[::-1], sorted(segments()), sorted(segments())[::-1]]
    threads = [threading.Thread(target=read, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["x.ogg", "x.m4a"])
def test_a_forked_child_reads_by_itself(
    name: str, stored: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(stored[name])
    monkeypatch.setattr(passes, "_SMALL_BYTES", 0)
    load(stored[name], 0, RATE)  # a pass waits
    child = os.fork()
    if not child:
        try:
            same = np.array_equal(load(stored[name], RATE, RATE), expected[RATE : 2 * RATE])
            close_passes()
            passes._INHERITED.clear()  # as at the end of Python
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for start in range(RATE, (SECONDS - 2) * RATE, RATE):
        np.testing.assert_array_equal(
            load(stored[name], start, RATE), expected[start : start + RATE]
        )


def test_a_file_that_is_another_one_by_now_is_decoded_anew(
    stored: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "x.ogg"
    shutil.copy(stored["x.ogg"], path)
    digest = audio_digest(path)
    before = [load(path, start, RATE, digest=digest) for start in (0, RATE, 2 * RATE)]
    soundfile.write(path, np.zeros((SECONDS * RATE, 2)), RATE, format="OGG", subtype="VORBIS")
    assert before[1].any()
    assert not load(path, RATE, RATE).any()
    with pytest.raises(AudioError) as caught:
        load(path, RATE, RATE, digest=digest)
    assert caught.value.kind == "changed"
    path.unlink()
    with pytest.raises(AudioError) as caught:
        load(path, RATE, RATE)
    assert caught.value.kind == "missing"


def test_a_segment_that_is_refused_costs_the_next_one_no_decoding(
    stored: dict[str, Path], decodings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_SMALL_BYTES", 0)
    first = load(stored["x.m4a"], 0, RATE)
    for _ in range(2):
        with pytest.raises(AudioError, match="expected 32000 samples, got"):
            load(stored["x.m4a"], (SECONDS - 1) * RATE, 2 * RATE)
        with pytest.raises(AudioError, match="expected a channel 2, got 2 channels"):
            load(stored["x.m4a"], 0, RATE, channel=2)
    np.testing.assert_array_equal(load(stored["x.m4a"], 0, RATE), first)
    given_up = Recording(stored["x.m4a"], sample_rate=RATE, num_samples=9 * RATE, target_rate=RATE)
    for _ in range(2):
        np.testing.assert_array_equal(next(given_up.blocks(RATE)), first)
    assert decodings == ["x.m4a"]


def num_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


COUNTING = """#!/bin/sh
echo began >> {log}
exec {program} "$@"
"""


def test_extraction_decodes_a_file_of_many_segments_once_a_task_whatever_their_ids(
    stored: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    starts = random.Random(1).sample(range(SECONDS - 2), 25)  # in no order of time
    table = ["path\tid\tstart\tduration\tchannel\tspeaker"]
    for name in ("x.m4a", "x.mp3"):
        shutil.copy(stored[name], root)
        table += [f"{name}\t{n:02}-{name[2:]}\t{s}\t1.5\t{n % 2}\ta" for n, s in enumerate(starts)]
    (root / "transcripts.tsv").write_text("\n".join(table) + "\n")
    prepare_corpus(root)
    extract_corpus(root, tmp_path / "plain", num_workers=None)

    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(COUNTING.format(log=tmp_path / "began", program=FFMPEG))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    open_files = num_open_files()
    extract_corpus(root, tmp_path / "out", num_workers=None)
    num_tasks = len(list((tmp_path / "out").rglob("*.h5")))
    num_begun = len((tmp_path / "began").read_text().split())
    # of a small file twice; and once more where a class of decoders is told
    assert num_begun <= 2 * 2 * num_tasks + 1
    assert num_begun >= 2
    assert files(tmp_path / "out") == files(tmp_path / "plain")
    assert num_open_files() <= open_files
