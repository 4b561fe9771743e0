"""Read HDF5 files with one dataset an utterance, lhotse's too."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import h5py

from featbank.errors import StoreError
from featbank.feature_io.base import Array
from featbank.feature_io.hdf5_files import hdf5_path, import_lilcom
from featbank.opening import open_regular


class _Hdf5Reader(ABC):
    """Reads such a file; HDF5 handles do not survive a fork, so each process opens its own."""

    def __init__(self, storage_path: str | Path) -> None:
        """Open a file.

        Args:
            storage_path: of the file; `.h5` is added where it is not there.

        Raises:
            StoreError: it is not there, or it is no HDF5 file.
        """
        self.storage_path = hdf5_path(storage_path)
        self._path = self.storage_path.absolute()  # it may be opened again from another folder
        self._file: h5py.File | None = None
        self._process = -1
        self._open()

    def read(
        self, key: str, left_offset_frames: int = 0, right_offset_frames: int | None = None
    ) -> Array:
        """Return frames of one utterance, (frames, ...).

        Raises:
            StoreError: an id that is not there, damaged values, or offsets outside the frames.
        """
        dataset = self._open().get(key)
        if not isinstance(dataset, h5py.Dataset):
            raise StoreError(
                f"file {self.storage_path}", expected="an id that it holds", got=repr(key)
            )
        where = f"utterance {key!r} in {self.storage_path}"
        try:
            values, num_frames = self._unpacked(dataset)
            right = num_frames if right_offset_frames is None else right_offset_frames
            if not 0 <= left_offset_frames <= right <= num_frames:
                raise StoreError(
                    where,
                    expected=f"offsets within its {num_frames} frames",
                    got=f"{left_offset_frames} to {right}",
                )
            frames: Array = values[left_offset_frames:right]
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise StoreError(where, expected="values as they were written", got=error) from error
        return frames

    @property
    def ids(self) -> list[str]:
        """All ids, sorted."""
        return sorted(self)

    def __getitem__(self, key: str) -> Array:
        """Return all frames of an utterance."""
        return self.read(key)

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""
        return isinstance(key, str) and isinstance(self._open().get(key), h5py.Dataset)

    def __iter__(self) -> Iterator[str]:
        """Give the ids."""
        found: list[str] = []
        self._open().visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        return iter(found)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return sum(1 for _ in self)

    def close(self) -> None:
        """Close the file; a later read opens it anew."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path."""
        return type(self), (self._path,)

    @abstractmethod
    def _unpacked(self, dataset: h5py.Dataset) -> tuple[Any, int]:
        """Return what gives frames when it is sliced, and their number."""

    def _open(self) -> h5py.File:
        if self._file is None or self._process != os.getpid():
            self._file = _open_to_read(self._path)
            self._process = os.getpid()
        return self._file


class NumpyHdf5Reader(_Hdf5Reader):
    """Reads what `NumpyHdf5Writer`, lhotse's too, wrote."""

    def _unpacked(self, dataset: h5py.Dataset) -> tuple[Any, int]:
        return dataset, len(dataset)


class LilcomHdf5Reader(_Hdf5Reader):
    """Reads what `LilcomHdf5Writer`, lhotse's too, wrote."""

    def __init__(self, storage_path: str | Path) -> None:
        self._lilcom = import_lilcom()
        super().__init__(storage_path)

    def _unpacked(self, dataset: h5py.Dataset) -> tuple[Any, int]:
        values = self._lilcom.decompress(dataset[()].tobytes())
        return values, len(values)


def _open_to_read(path: Path) -> h5py.File:
    try:
        open_regular(path).close()  # HDF5 would wait for a pipe
    except OSError as error:
        raise StoreError(f"file {path}", expected="an HDF5 file", got=error) from error
    try:
        return h5py.File(path, "r", locking=False)
    except OSError:
        try:
            # HDF5 wants the flags of whoever has it open in this process: lhotse keeps files open
            return h5py.File(path, "r")
        except OSError as error:
            raise StoreError(f"file {path}", expected="an HDF5 file", got=error) from error
