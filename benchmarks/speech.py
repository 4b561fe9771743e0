"""Real speech of any length: the files of a folder under as many new names as it takes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Self

import soundfile

from featbank.audio import audio_digest
from featbank.base.manifest import Utterance, read_manifest, write_manifest

SAMPLE_RATE = 16_000
SUFFIXES = (".flac", ".wav")


@dataclass(frozen=True, slots=True)
class Speech:
    """A corpus as an extraction takes it, all of it in the first split.

    Args:
        folder: with `audio` and `manifests` in it.
        rows: in order of their ids.
    """

    folder: Path
    rows: list[Utterance]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write_speech` wrote."""
        return cls(folder, read_manifest(manifest(folder)))

    @property
    def audio(self) -> Path:
        """The folder that the manifests' paths are relative to."""
        return self.folder / "audio"

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @property
    def duration_s(self) -> float:
        return sum(row.duration_s for row in self.rows)


def read_source(source: Path) -> list[Utterance]:
    """Look at the mono files of 16 kHz in a folder, in an order that mixes their subfolders."""
    rows = []
    for path in sorted(source.rglob("*")):
        if path.suffix not in SUFFIXES:
            continue
        info = soundfile.info(path)
        if (info.samplerate, info.channels) != (SAMPLE_RATE, 1):
            continue
        name = path.relative_to(source)
        rows.append(
            Utterance(
                id=name.with_suffix("").as_posix(),
                audio=name.as_posix(),
                audio_digest=audio_digest(path),
                sample_rate=SAMPLE_RATE,
                num_samples=info.frames,
            )
        )
    if not rows:
        raise ValueError(f"{source}: expected mono audio of {SAMPLE_RATE} Hz, got none")
    return sorted(rows, key=lambda row: row.audio_digest)


def write_speech(folder: Path, source: Path, duration_s: float | None = None) -> Speech:
    """Write a corpus: a source once, or under new ids again until it is as long as asked for.

    Each repetition of a file is a name of its own, so that nothing remembered by name can help.
    """
    source_rows, total_s = read_source(source), 0.0
    rows: list[Utterance] = []
    repeated = ((number, row) for number in count() for row in source_rows)
    for number, row in repeated:
        if (duration_s is None and number > 0) or (duration_s and total_s >= duration_s):
            break
        new = replace(row, id=f"{number:04}/{row.id}", audio=f"{number:04}/{row.audio}")
        link(source / row.audio, folder / "audio" / new.audio)
        rows.append(new)
        total_s += row.duration_s
    write_manifest(manifest(folder), rows)
    return Speech.read(folder)


def manifest(folder: Path) -> Path:
    """Return where the manifest of a corpus lies."""
    return folder / "manifests" / "train.jsonl"


def link(source: Path, target: Path) -> None:
    """Put a file under another name, too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)
