"""Work folder of a recipe's unfinished split: its journals, until all of it is computed."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self

from featbank.errors import StoreError
from featbank.files.locking import lock
from featbank.files.provenance import write_atomic
from featbank.recipes.caching.journal import SUFFIX, Journal

_log = logging.getLogger(__name__)

WORK_NAME = ".featbank-work"
_FINGERPRINT_DIGITS = 16


class RecipeWork:
    """Journals of one split under one fingerprint, of this process and of those before it.

    It lies at `<base_path>/.featbank-work/<split>-<fingerprint>/`, which git ignores: what was
    computed in another way is in another folder.

    Attributes:
        path: of the folder.
    """

    def __init__(self, base_path: Path, split: str, fingerprint: str) -> None:
        """Take the folder.

        Args:
            base_path: of all stores.
            split: or another name of what is computed.
            fingerprint: of the recipe.

        Raises:
            StoreError: another process is at work in it.
        """
        self._split = split
        self.path = work_path(base_path, split, fingerprint)
        self._lock = lock(self.path, f"work folder {self.path}", expected="one run at a time")
        try:
            self.path.mkdir(exist_ok=True)
            write_atomic(self.path.parent / ".gitignore", "*\n")
        except BaseException:
            self._lock.release()
            raise

    def begin_journal(self) -> Journal:
        """Return a journal of this process."""
        return Journal(self.path)

    def clear(self) -> None:
        """Remove all journals: everything is to be computed anew."""
        for path in self.path.glob(f"*{SUFFIX}"):
            path.unlink()

    def finish(self) -> None:
        """Remove the folder, and those of the split under other fingerprints: it is published."""
        if not self._lock.is_mine:  # another run was told to take it
            return
        shutil.rmtree(self.path, ignore_errors=True)  # what ranks that were killed listed, too
        _remove_others(self.path.parent, self._split, self.path)

    def __enter__(self) -> Self:
        """Return the folder."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let another run have the folder; say what is kept in it. An empty one goes."""
        if kind is not None and any(self.path.glob(f"*{SUFFIX}")):
            _log.warning(
                "what is computed of split %r is kept in %s: call cache_features again to go on",
                self._split,
                self.path,
            )
        with suppress(OSError):  # it holds something
            self.path.rmdir()
        self._lock.release()
        _remove_empty(self.path.parent)


def remove_work(base_path: Path, split: str) -> None:
    """Remove the work folders of a split, but those in which a `RecipeWork` is at work."""
    folder = base_path.absolute() / WORK_NAME
    _remove_others(folder, split)
    _remove_empty(folder)


def work_path(base_path: Path, split: str, fingerprint: str) -> Path:
    """Return where the work folder of a split is."""
    return base_path.absolute() / WORK_NAME / f"{split}-{fingerprint[:_FINGERPRINT_DIGITS]}"


def _remove_others(folder: Path, split: str, own: Path | None = None) -> None:
    for path in folder.glob("*-*"):
        if path != own and path.name.rpartition("-")[0] == split:
            with suppress(StoreError):  # another run is at work in it
                held = lock(path, f"work folder {path}")
                shutil.rmtree(path, ignore_errors=True)
                held.release()


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # others are at work there
        if [path.name for path in folder.iterdir()] == [".gitignore"]:
            (folder / ".gitignore").unlink()
            folder.rmdir()
