"""Redaction of what no stage makes anew: pinned ids, marks, and what scans of audio remember."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from featbank.corpora.forgotten import FORGOTTEN, FORGOTTEN_VERSION, Forgotten
from featbank.errors import ConfigError
from featbank.files.provenance import readable_json, write_atomic, write_atomic_lines
from featbank.tokenizers.sample import read_pins, write_pins

_SCANS = ("scans", "log")


def write_forgotten(path: Path, forgotten: Forgotten) -> None:
    """Write the marks of a project, sorted."""
    fields = {
        "version": FORGOTTEN_VERSION,
        "salt": forgotten.salt,
        "marks": sorted(forgotten.marks),
    }
    write_atomic(path, readable_json(fields))


def joined_marks(*several: Forgotten) -> Forgotten:
    """Return all marks of some, which are of one salt.

    Raises:
        ConfigError: they are of two: marks of one salt are worth nothing beside another.
    """
    salts = {one.salt for one in several if one.marks}
    if len(salts) > 1:
        raise ConfigError(
            f"marks of {FORGOTTEN}",
            expected="one salt for all",
            got="two, of two clones in which nobody had been forgotten before",
            hint="take the file of one of them, and forget again whom the other one forgot",
        )
    marks = frozenset().union(*(one.marks for one in several))
    return Forgotten(salt=next(iter(salts), several[-1].salt), marks=marks)


def redact_pins(path: Path, ids: Collection[str]) -> None:
    """Take ids out of a list of pinned ones, and say so in its first line."""
    pinned = read_pins(path)
    left = [one for one in pinned if one not in ids]
    if len(left) == len(pinned):
        return
    with open(path, encoding="utf-8") as file:
        first = file.readline().rstrip("\n")
    drawn = f"{first.removeprefix('# ')}; " if first.startswith("# ") else ""
    write_pins(path, left, how=f"{drawn}{len(pinned) - len(left)} withdrawn since")


def refuse_empty(pins: Iterable[Path], ids: Collection[str]) -> None:
    """Refuse to take all out of a list of pinned ids: no codebook is fitted on nothing.

    Raises:
        ConfigError: one would be empty.
    """
    for path in pins:
        if all(one in ids for one in read_pins(path)):
            raise ConfigError(
                f"pinned ids {path}",
                expected="some of others",
                got="none",
                hint="take it and its codebook out of params.yaml, or draw others: python "
                f"stages/sample.py pin=true fit_on={path.parent.name} corpus={path.stem}",
            )


def is_scan_memory(path: Path) -> bool:
    """Tell whether a file is what scans of the audio of a corpus remember."""
    return path.name in _SCANS and path.parent.parent.name == "scans"


def redact_scans(path: Path, audio: Collection[str]) -> None:
    """Take files out of what scans remember, by their paths below the root of the corpus."""
    names = {os.fsencode(one) for one in audio}
    if path.is_file():
        with open(path, "rb") as file:
            kept = [line for line in file if line.partition(b"\t")[0] not in names]
        write_atomic_lines(path, kept)
