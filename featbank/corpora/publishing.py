"""Publishing of the folder of a corpus's manifests: written beside its place, then moved there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featbank.base.split_names import SUMMARY_NAME
from featbank.errors import CorpusError
from featbank.files.disk import fsync_folder
from featbank.files.locking import Lock, lock


@contextmanager
def publish(out: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which then takes the place of `out`: half of it is never seen.

    One process at a time does so; another waits. See `featbank.files.locking`.

    Raises:
        CorpusError: another one is at work of which nobody can tell whether it lives, or was told
            to take over; `out` is as it was.
    """
    with _locked(out) as held:
        _clear(out)
        try:
            _beside(out).mkdir()
            yield _beside(out)
            held.check(CorpusError)
            if out.exists():
                out.rename(_aside(out))
            _beside(out).rename(out)
            fsync_folder(out.parent)
        finally:
            if held.is_mine:
                _clear(out)


def clear_leftovers(out: Path) -> None:
    """Remove what a killed run left beside `out`, or put it back when that is the old folder."""
    if out.parent.is_dir():
        with _locked(out):
            _clear(out)


def check_replaceable(out: Path) -> None:
    """Refuse to replace a folder that holds anything but manifests.

    Raises:
        CorpusError: `out` is no folder, or holds no manifests.
    """
    if (
        out.exists()
        and not (out / SUMMARY_NAME).is_file()
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
def _locked(out: Path) -> Iterator[Lock]:
    held = lock(out, f"manifests folder {out}", wait=True, kind=CorpusError)
    try:
        yield held
    finally:
        held.release()
