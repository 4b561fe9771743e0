"""The folder in which an export is written: hidden, kept when it is stopped, published whole.

Beside `OUT` lies `.OUT.featbank-export/`: `made-from.json` says what is exported and how; `files/`
holds what will be `OUT`; `done/` a record of each file that is finished, with its digest. A run
that was stopped is followed by one that keeps the finished files whose bytes are those recorded, if
it is made from the same. One rename makes `files/` the export.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from featbank.errors import FeatbankError, StoreError
from featbank.export.finished import FinishedFile, from_json, to_json
from featbank.files.disk import fsync_file, fsync_folder
from featbank.files.json_files import read_json
from featbank.files.provenance import (
    canonical_json,
    digest,
    open_atomic,
    readable_json,
    write_atomic,
)

MARKER = ".featbank-export.json"
"""The file in an export that says what it was made from, hidden from other toolkits."""

MADE_FROM = "made-from.json"
"""The file in the folder of an unfinished export that says what it is made from."""

_ASIDE = "replaced"
_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])


class ExportWork:
    """The files of one export on their way to `out`.

    Args:
        out: where they will be.
        made_from: all that decides their bytes, as JSON values.
    """

    def __init__(self, out: Path, made_from: Mapping[str, Any]) -> None:
        self.out = out
        self.num_kept = 0
        self._made_from = made_from
        self._folder = _folder_of(out)
        self._files = self._folder / "files"
        self._done = self._folder / "done"
        self._finished: dict[str, FinishedFile] = {}
        self._begin()

    @property
    def finished(self) -> Mapping[str, FinishedFile]:
        """The files that are finished, by their names."""
        return self._finished

    def make(self, write: Callable[..., object], *names: str) -> None:
        """Make files that belong together, unless a run that was stopped has finished them.

        Args:
            write: is given each file, open for writing bytes, in the order of the names. What it
                writes must follow from what the export is made from, and the names.
            names: of the files, relative, with forward slashes.

        Raises:
            StoreError: the disk is full; what is finished is kept.
            OSError: the disk failed.
        """
        assert not set(names) & self._finished.keys(), names
        record = self._done / f"{digest(names)[:32]}.json"
        found = self._kept(record, names)
        if found is None:
            with _full_disk_told(self.out):
                with ExitStack() as stack:
                    # an error drops all of them; what a machine that fails leaves of them is held
                    # against the digests, so that the disk is waited for only at the end
                    paths = [self._files / name for name in names]
                    write(*(stack.enter_context(open_atomic(one, sync=False)) for one in paths))
                found = {name: FinishedFile.at(self._files / name) for name in names}
                write_atomic(record, canonical_json(to_json(found)), sync=False)
        else:
            self.num_kept += len(names)
        self._finished |= found

    def make_text(self, name: str, text: str) -> None:
        """Make a small file of a text, in UTF-8."""
        self.make(lambda file: file.write(text.encode()), name)

    def open(self, name: str) -> BinaryIO:
        """Open a finished file to read it, such as to join several."""
        assert name in self._finished, name
        return open(self._files / name, "rb")

    def publish(self) -> None:
        """Put the files in their place, all at once, with a record of what they were made from."""
        record = {"made_from": self._made_from, "files": to_json(self._finished)}
        with _full_disk_told(self.out):
            self._files.mkdir(exist_ok=True)  # of an export without files
            write_atomic(self._files / MARKER, readable_json(record))
            self._remove_unfinished()
            self._sync()
        if self.out.exists():
            self.out.rename(self._folder / _ASIDE)
        self._files.rename(self.out)
        fsync_folder(self.out.parent)
        clear(self.out)

    def _begin(self) -> None:
        """Find what a stopped run has left, and drop it where it is made from something else."""
        said = self._folder / MADE_FROM
        text = canonical_json(self._made_from)
        try:
            same = said.read_text() == text
        except (OSError, UnicodeDecodeError):
            same = False
        if not same:
            clear(self.out)
            with _full_disk_told(self.out):
                self._done.mkdir(parents=True)
                self._files.mkdir()
                write_atomic(said, text)

    def _kept(self, record: Path, names: tuple[str, ...]) -> dict[str, FinishedFile] | None:
        """Return what a record says of files, if they are there as it says."""
        try:
            found = from_json(read_json(record, what="record", error=StoreError))
            at = {name: one.is_at(self._files / name) for name, one in found.items()}
            if at == dict.fromkeys(names, True):
                return found
        except (FeatbankError, OSError, LookupError, TypeError, ValueError, AttributeError):
            pass
        return None

    def _remove_unfinished(self) -> None:
        """Remove what is in the folder and is no file of the export, such as a killed run's."""
        kept = {MARKER, *self._finished}
        for folder, _, files in os.walk(self._files, topdown=False):
            for file in files:
                path = Path(folder, file)
                if path.relative_to(self._files).as_posix() not in kept:
                    path.unlink()
            with suppress(OSError):  # it holds files
                Path(folder).rmdir()

    def _sync(self) -> None:
        """Wait until the disk has all files."""
        for folder, _, files in os.walk(self._files):
            for file in files:
                path = Path(folder, file)
                with open(path, "rb") as opened:
                    fsync_file(opened.fileno(), path)
            fsync_folder(folder)


@contextmanager
def _full_disk_told(out: Path) -> Iterator[None]:
    """Say what to do where a disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StoreError(
            f"export {out}",
            expected="a disk with room",
            got=error,
            hint="free some space and run the same again: finished files are kept",
        ) from error


def restore(out: Path) -> None:
    """Put an export back that a stopped run was about to replace, and had moved away."""
    aside = _folder_of(out) / _ASIDE
    if aside.exists():
        if os.path.lexists(out):
            shutil.rmtree(aside)
        else:
            aside.rename(out)


def clear(out: Path) -> None:
    """Remove what stopped runs have left of an export that is whole."""
    shutil.rmtree(_folder_of(out), ignore_errors=True)


def _folder_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.featbank-export")
