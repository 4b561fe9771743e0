"""Real speech in utterances of any lengths: that of a folder laid end to end, and cut anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.speech import SAMPLE_RATE, Speech, link, manifest, read_source
from featbank.audio import audio_digest
from featbank.base.manifest import Utterance, write_manifest

_STRIDE = 7919  # samples by which each utterance begins elsewhere, so that no two are alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How audio is kept in files.

    Args:
        suffix: of the files, which names the format.
        sample_rate: in Hz.
    """

    suffix: str = ".flac"
    sample_rate: int = SAMPLE_RATE

    def __str__(self) -> str:
        return f"{self.suffix[1:].upper()}, {self.sample_rate / 1000:g} kHz"


FLAC = Encoding()


def write_ragged(
    folder: Path,
    source: Path,
    lengths_s: Iterable[float],
    encoding: Encoding = FLAC,
    duration_s: float | None = None,
) -> Speech:
    """Write a corpus of utterances of given lengths, each cut out of the speech in a folder.

    Args:
        folder: of the corpus.
        source: mono files of 16 kHz.
        lengths_s: of the utterances.
        encoding: of the files.
        duration_s: give the files further names until the corpus lasts that long; None: once each.
    """
    speech = endless(source, encoding.sample_rate)
    rows = []
    for number, length_s in enumerate(lengths_s):
        name = f"{number // 100:04}/{number % 100:02}"
        path = folder / "audio" / "0000" / f"{name}{encoding.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = round(length_s * encoding.sample_rate)
        start = number * (length + _STRIDE) % len(speech)
        samples = np.take(speech, np.arange(start, start + length), mode="wrap")
        soundfile.write(path, samples, encoding.sample_rate)
        rows.append(
            Utterance(
                id=f"0000/{name}",
                audio=path.relative_to(folder / "audio").as_posix(),
                audio_digest=audio_digest(path),
                sample_rate=encoding.sample_rate,
                num_samples=soundfile.info(path).frames,  # of a lossy format, what it promises
            )
        )
    write_manifest(manifest(folder), list(_again(folder, rows, duration_s)))
    return Speech.read(folder)


def _again(folder: Path, rows: list[Utterance], duration_s: float | None) -> Iterator[Utterance]:
    """Give rows, then under new names until they last long enough."""
    total_s = 0.0
    for number in count():
        for row in rows:
            if total_s >= (duration_s or 0) and number:
                return
            new = replace(row, id=f"{number:04}{row.id[4:]}", audio=f"{number:04}{row.audio[4:]}")
            if number:
                link(folder / "audio" / row.audio, folder / "audio" / new.audio)
            total_s += row.duration_s
            yield new


def endless(source: Path, sample_rate: int) -> NDArray[np.float32]:
    """Return all speech of a folder in one waveform."""
    waveforms = [
        soundfile.read(source / row.audio, dtype="float32")[0] for row in read_source(source)
    ]
    whole = np.concatenate(waveforms)
    resampled: NDArray[np.float32] = soxr.resample(whole, SAMPLE_RATE, sample_rate)
    return resampled
