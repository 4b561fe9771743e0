"""Scan the audio files of a corpus, several at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile

from featbank.audio import UNKNOWN_LENGTH, AudioScan, scan_audio
from featbank.errors import AudioError
from featbank.progress import Advance

_BATCH = 1024
_SAMPLED = 100


def scan_files(
    root: Path, files: Sequence[str], *, num_workers: int | None, advance: Advance
) -> dict[str, AudioScan | AudioError]:
    """Decode each file once. The result does not depend on the number of workers.

    Args:
        root: of the corpus.
        files: relative to it.
        num_workers: threads, as decoding and hashing leave the interpreter free; None for one a
            processor that this process may use.
        advance: told the seconds of audio done.

    Returns:
        By file: what it holds, or why it cannot be used.

    Raises:
        FeatbankError: a file needs ffmpeg, which is not there or was killed.
        OSError, MemoryError: the machine failed, not a file.
    """

    def scan(file: str) -> AudioScan | AudioError:
        try:
            return scan_audio(root / file)
        except AudioError as error:
            return error

    scans: dict[str, AudioScan | AudioError] = {}
    pool = ThreadPoolExecutor(num_workers or len(os.sched_getaffinity(0)))
    try:
        # in batches, so that a million files do not wait in the pool at once
        for start in range(0, len(files), _BATCH):
            batch = files[start : start + _BATCH]
            for file, found in zip(batch, pool.map(scan, batch), strict=True):
                scans[file] = found
                if isinstance(found, AudioScan):
                    advance(found.duration_s)
    finally:
        pool.shutdown(cancel_futures=True)
    return scans


def estimate_duration_s(root: Path, files: Sequence[str]) -> float:
    """Estimate the seconds of audio in `files`, for a progress bar, from the headers of a few.

    Returns:
        The estimate; 0 when none of the few can be opened and states a length.
    """
    seconds, num_bytes = 0.0, 0
    for file in files[:: max(1, len(files) // _SAMPLED)]:
        if not (root / file).is_file():
            continue
        try:
            info = soundfile.info(root / file)
        except soundfile.LibsndfileError:
            continue
        if info.frames == UNKNOWN_LENGTH:
            continue
        seconds += info.frames / info.samplerate
        num_bytes += (root / file).stat().st_size
    if not num_bytes:
        return 0.0
    total = sum((root / file).stat().st_size for file in files if (root / file).is_file())
    return total * seconds / num_bytes
