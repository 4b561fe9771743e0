"""Tell whether a file is still the one that was opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import h5py

from featbank.errors import StoreError
from featbank.store.format import HEADER_NAME
from featbank.store.header import StoreHeader
from featbank.store.header_file import read_header


class Stamp(NamedTuple):
    """What tells a file from another one at its path. A number comes again once a file is gone."""

    device: int
    inode: int
    num_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, file: Path | int) -> Stamp | None:
        """Return that of a path, or of a descriptor; None where none can be seen."""
        try:
            found = os.stat(file)  # noqa: PTH116 - may be a descriptor
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class OpenedHeader:
    """The header of an opened store, which another store may replace while shards are opened."""

    def __init__(self, folder: Path) -> None:
        """Read the header; see `read_header`."""
        self.folder = folder
        self._path = folder / HEADER_NAME
        self._stamp = Stamp.of(self._path)  # before it is read: what comes between is noticed then
        self.header: StoreHeader = read_header(folder)

    def check(self) -> None:
        """Refuse to go on when another store has come to the folder.

        Raises:
            StoreError: it was replaced, or is gone.
        """
        stamp = Stamp.of(self._path)
        if stamp == self._stamp:
            return
        # a copy of it is as good: a header has digests of all that is beside it
        if stamp is None or read_header(self.folder) != self.header:
            raise replaced(f"store {self.folder}")
        self._stamp = stamp


def open_same(path: Path, stamp: Stamp | None) -> h5py.File:
    """Open an HDF5 file that was opened before.

    Raises:
        StoreError: another one is there now, or none.
        OSError: HDF5 cannot open it.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise replaced(f"shard {path}") from error
    if Stamp.of(file.id.get_vfd_handle()) != stamp:
        file.close()
        raise replaced(f"shard {path}")
    return file


def replaced(what: str) -> StoreError:
    """Return the error that says that it was replaced."""
    return StoreError(f"{what} was replaced after it was opened", hint="open it again")
