"""Estimates of how much audio there is to scan, for a progress bar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import soundfile

from featbank.audio import UNKNOWN_LENGTH, find_place
from featbank.audio.containers import open_file
from featbank.base.places import Place
from featbank.corpora.scans import ScanStamp
from featbank.errors import AudioError
from featbank.files.remote import AnyPath


def estimate_duration_s(root: AnyPath, files: Iterable[str], num_bytes: int | None = None) -> float:
    """Estimate the seconds of audio in files, for a progress bar, from the headers of some.

    Args:
        root: of the corpus.
        files: some of them.
        num_bytes: of all of them; None where these are all.

    Returns:
        The estimate; 0 when none of the few can be opened and states a length.
    """
    seconds, seen_bytes = 0.0, 0
    if not isinstance(root, Path):
        return 0.0  # a hundred files would have to be fetched
    for file in files:
        try:
            info, size = _header(root / file)
        except (AudioError, soundfile.LibsndfileError, OSError):
            continue  # the scan says what is wrong
        if info is None or info.frames == UNKNOWN_LENGTH:
            continue
        seconds += info.frames / info.samplerate
        seen_bytes += size
    if not seen_bytes:
        return 0.0
    return seconds * (1 if num_bytes is None else num_bytes / seen_bytes)


def audio_bytes(audio: str, stamp: ScanStamp | None) -> int:
    """Return the bytes of audio whose file has a stamp; 0 where nobody knows."""
    if stamp and "!/" in audio and (place := Place.parse(audio)):
        return place.num_bytes or 0
    return stamp.size if stamp else 0


def _header(path: Path) -> tuple[Any, int]:
    """Return what the header of audio says, None where that costs too much; and its bytes."""
    if "!/" in str(path) and (place := find_place(path)):
        if place.start is None:
            return None, 0  # a row group would be read for it
        with open_file(path) as file:
            return soundfile.info(file), place.num_bytes or 0
    return (soundfile.info(path), path.stat().st_size) if path.is_file() else (None, 0)
