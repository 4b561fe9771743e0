"""The folder of a corpus's manifests: written beside its place, then moved there."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featbank.disk import fsync_folder
from featbank.errors import CorpusError


@contextmanager
def publish(out: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which then takes the place of `out`: half of it is never seen.

    One process at a time does so in the folder that holds `out`; another waits.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked(out.parent):
        _clear(out)
        try:
            _beside(out).mkdir()
            yield _beside(out)
            if out.exists():
                out.rename(_aside(out))
            _beside(out).rename(out)
            fsync_folder(out.parent)
        finally:
            _clear(out)


def clear_leftovers(out: Path) -> None:
    """Clear what a killed run left beside `out`, or put it back when that is the old folder."""
    if out.parent.is_dir():
        with _locked(out.parent):
            _clear(out)


def check_replaceable(out: Path) -> None:
    """Refuse to put manifests where something else is.

    Raises:
        CorpusError: `out` is no folder, or holds no manifests.
    """
    if (
        out.exists()
        and not (out / "corpus.json").is_file()
        and (not out.is_dir() or any(out.iterdir()))
    ):
        raise CorpusError(
            f"manifests folder {out}",
            expected="a free place, or manifests to replace",
            got="something else there",
            hint="remove it, or choose another path",
        )


def _clear(out: Path) -> None:
    shutil.rmtree(_beside(out), ignore_errors=True)
    if not _aside(out).exists():
        return
    # ended between the two renames: the old folder is still the one
    if out.exists():
        shutil.rmtree(_aside(out))
    else:
        _aside(out).rename(out)


def _beside(out: Path) -> Path:
    return out.with_name(f".{out.name}.partial")


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock that dies with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
