"""Read folders with one file an utterance, as lhotse's `NumpyFilesWriter` makes them.

lhotse puts `abcdef` into `abc/abcdef.npy`, and its manifests name it by that. Here an utterance has
both names: its id, and the file's path in the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from featbank.base.manifest import check_id
from featbank.errors import StoreError
from featbank.feature_io.base import Array
from featbank.feature_io.file_reader import FileReader, absent
from featbank.feature_io.frames import NUMBERS, Frames, Whole, no_numbers
from featbank.feature_io.hdf5_files import import_lilcom
from featbank.files.opening import NotAFileError, open_regular


class _FilesReader(FileReader):
    """Reads such a folder."""

    ending: str

    def __contains__(self, key: object) -> bool:
        """Tell whether an id, or the path of a file in the folder, is there."""
        self._look()
        return isinstance(key, str) and any(one.is_file() for one in self._candidates(key))

    def __iter__(self) -> Iterator[str]:
        """Give the ids."""
        self._look()
        for folder in ("", *sorted(one.name for one in self._path.iterdir() if one.is_dir())):
            for path in sorted(self._path.joinpath(folder).glob(f"[!.]*{self.ending}")):
                one = path.name.removesuffix(self.ending)
                # what lies elsewhere would not be found by this id
                if folder in ("", one[:3], path.name[:3]):
                    yield one

    def _place(self) -> Path:
        return self._path

    def _look(self) -> None:
        if not self._path.is_dir():
            if not os.path.lexists(self._path):
                raise absent(self._path)
            raise StoreError(
                f"features {self.storage_path}",
                expected=f"a folder of {self.ending} files",
                got="a file",
            )

    @contextmanager
    def _frames(self, key: str, where: str) -> Iterator[Frames]:
        self._look()
        for path in self._candidates(key):
            try:
                file = open_regular(path)
            except FileNotFoundError:
                continue
            except NotAFileError as error:
                raise StoreError(where, expected="a file", got=error) from error
            with file:
                yield self._unpacked(file, where)
            return
        raise self._unknown(key)

    def _candidates(self, key: str) -> Iterator[Path]:
        """Give where an utterance may lie, by its id or by its path in the folder."""
        try:
            check_id(key, StoreError)
        except StoreError:  # no path below the folder
            return
        if key.endswith(self.ending):
            yield self._path / key
            yield self._path / key[:3] / key
        else:
            yield self._path / key[:3] / f"{key}{self.ending}"
            yield self._path / f"{key}{self.ending}"

    def _unpacked(self, file: BinaryIO, where: str) -> Frames:
        raise NotImplementedError


class NumpyFilesReader(_FilesReader):
    """Reads a folder of `.npy` files; of a part of an utterance, the bytes of that part."""

    ending = ".npy"

    def _unpacked(self, file: BinaryIO, where: str) -> Frames:
        return _NpyFrames(file, where)


class LilcomFilesReader(_FilesReader):
    """Reads a folder of lilcom-compressed `.llc` files; the extra `archive`."""

    ending = ".llc"

    def __init__(self, storage_path: str | Path, *, name: str | None = None) -> None:
        self._lilcom = import_lilcom()
        super().__init__(storage_path, name=name)

    def _unpacked(self, file: BinaryIO, where: str) -> Frames:
        return Whole(self._lilcom.decompress(file.read()), where)


class _NpyFrames:
    """The frames of an open `.npy` file, of which a slice reads its bytes alone."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self._shape, self._is_fortran, self._dtype = _read_npy_header(file)
        if not self._shape or self._dtype.kind not in NUMBERS:
            raise no_numbers(where, f"{self._dtype} of shape {self._shape}")
        self._start = file.tell()
        self.sure_frames = self._shape[0]

    def __len__(self) -> int:
        return self.sure_frames

    def __getitem__(self, frames: slice) -> Array:
        if self._is_fortran and len(self._shape) > 1:  # frames are not one after the other
            return self._read(0, self._shape[::-1]).T[frames]
        skipped = frames.start * prod(self._shape[1:])
        return self._read(skipped, (frames.stop - frames.start, *self._shape[1:]))

    def _read(self, skipped: int, shape: tuple[int, ...]) -> Array:
        """Read values behind some that are skipped."""
        start, size = self._start + skipped * self._dtype.itemsize, prod(shape)
        # asked before memory is taken: a header can state any shape
        if start + size * self._dtype.itemsize > self._file.seek(0, os.SEEK_END):
            raise ValueError("a file that is cut short")
        self._file.seek(start)
        values = np.fromfile(self._file, self._dtype, size)
        if len(values) != size:
            raise ValueError("a file that is cut short")
        return values.reshape(shape)


def _read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, the order and the dtype that a `.npy` file states; nothing in it is run."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"a .npy file of version {version[0]}.{version[1]}")
