"""Bar: the segments of a file that cannot seek, against those of FLAC."""

from __future__ import annotations

import functools
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.bars import Bar, Report
from benchmarks.extraction import DEMO
from benchmarks.scale import Scale
from benchmarks.shelf import Shelf
from benchmarks.speech import read_source
from benchmarks.timing import interleave, median_ratio
from featbank.audio import close_passes, load_audio, scan_audio

RATE = 16_000
FLAC = "FLAC"
_VORBIS_BLOCK = RATE  # libsndfile's encoder of Vorbis overflows the stack when handed more

# how ffmpeg encodes each
_ENCODED = {
    "M4A": ("x.m4a", ["-c:a", "aac"]),
    "MP3 without a table": ("x.mp3", ["-c:a", "libmp3lame", "-write_xing", "0"]),
}


def measure(shelf: Shelf, scale: Scale) -> list[Report]:
    """Read all of a recording, segment by segment, as a worker reads the rows of a task."""
    folder = shelf.folder / "segments"
    paths = _recordings(folder, shelf.audio or DEMO, scale.segment_minutes)
    length = round(scale.segment_minutes * 60 * RATE / scale.num_segments)
    starts = [number * length for number in range(scale.num_segments - 1)]
    orders = {"in order": starts, "shuffled": np.random.default_rng(0).permutation(starts).tolist()}
    report = Report(
        f"Segments: {scale.num_segments} of {scale.segment_minutes:g} minutes",
        ["format", *(f"s, {order}" for order in orders), *(f"{order} / FLAC" for order in orders)],
    )
    rates = {
        order: interleave(
            {name: _turn(path, chosen, length) for name, path in paths.items()},
            scale.segment_rounds,
        )
        for order, chosen in orders.items()
    }
    for name in paths:
        seconds = [1 / float(np.median(found[name])) for found in rates.values()]
        times = [median_ratio(found[FLAC], found[name]) for found in rates.values()]
        report.rows.append([name, *seconds, *times])
        if name != FLAC:
            report.bars.append(Bar(f"{name} / FLAC, time in order", 3, times[0], at_most=True))
    if len(paths) < 2 + len(_ENCODED):
        report.notes.append("ffmpeg is not installed: only what libsndfile decodes was measured")
    return [report]


def _recordings(folder: Path, audio: Path, minutes: float) -> dict[str, Path]:
    """Write one recording of speech in each format."""
    folder.mkdir(parents=True)
    speech = np.concatenate(
        [soundfile.read(audio / row.audio, dtype="float32")[0] for row in read_source(audio)[:200]]
    )
    samples = np.resize(speech, round(minutes * 60 * RATE))
    paths = {FLAC: folder / "x.flac", "Vorbis": folder / "x.ogg"}
    soundfile.write(paths[FLAC], samples, RATE)
    with soundfile.SoundFile(paths["Vorbis"], "w", RATE, 1, "VORBIS", format="OGG") as file:
        for start in range(0, len(samples), _VORBIS_BLOCK):
            file.write(samples[start : start + _VORBIS_BLOCK])
    if ffmpeg := shutil.which("ffmpeg"):
        for name, (file_name, arguments) in _ENCODED.items():
            paths[name] = folder / file_name
            command = [ffmpeg, "-v", "error", "-i", paths[FLAC], *arguments, paths[name]]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return paths


def _turn(path: Path, starts: list[int], length: int) -> Callable[[], float]:
    """Return a turn that reads the segments, in readings a second."""
    sample_rate = scan_audio(path).sample_rate

    def turn() -> float:
        begin = time.perf_counter()
        read = functools.partial(load_audio, path, sample_rate=sample_rate, num_samples=length)
        for start in starts:
            read(start_sample=start)
        close_passes()
        return 1 / (time.perf_counter() - begin)

    return turn
