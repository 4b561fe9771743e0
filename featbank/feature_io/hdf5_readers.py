"""Read HDF5 files with one dataset an utterance: lhotse's, speechbrain's and our own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from featbank.errors import StoreError
from featbank.feature_io.base import Array
from featbank.feature_io.file_reader import FileReader, absent, is_file
from featbank.feature_io.frames import NUMBERS, Chunked, Frames, Whole, no_numbers
from featbank.feature_io.hdf5_files import (
    CHUNK_SIZE_KEY,
    Kind,
    import_lilcom,
    kind_of,
    kind_of_file,
    sound,
    told,
)
from featbank.files.opening import open_regular
from featbank.store.joining import is_store

_BY_CONTENT = "featbank.feature_io.open_features picks the reader by what a file holds"


class _Hdf5Reader(FileReader):
    """Reads such a file, by whatever name; `.h5` is added where nothing is there without it."""

    suffix = ".h5"
    kind: ClassVar[Kind]

    def __init__(self, storage_path: str | Path, *, name: str | None = None) -> None:
        self._file: h5py.File | None = None
        self._process = -1
        self._opened: tuple[Path, tuple[int, int] | None] = (Path(), None)
        super().__init__(storage_path, name=name)

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""
        return self._dataset(key) is not None

    def __iter__(self) -> Iterator[str]:
        """Give the ids."""
        found: list[str] = []
        with sound(self._given):
            self._open().visititems(
                lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
            )
        return (name for name in found if name != CHUNK_SIZE_KEY)

    def close(self) -> None:
        """Close the file; a later read opens it anew."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def _look(self) -> None:
        self._open()
        self.close()  # another file may stand there before the first read

    def _open(self) -> h5py.File:
        if self._file is None or self._process != os.getpid() or self._is_replaced():
            path = self._place()
            if not self._exists():
                raise absent(path)
            path = path if is_file(path) else self._path
            self._opened = path, identity(path)
            file = open_hdf5(path)
            try:
                with sound(path):
                    kind = kind_of_file(file)
                self._refuse_file_of(kind)
            except BaseException:
                file.close()
                raise
            self._file = file
            self._process = os.getpid()
        return self._file

    def _is_replaced(self) -> bool:
        """Whether another file, such as one computed anew, stands where this one was opened."""
        path, opened = self._opened
        return identity(path) not in (opened, None)

    def _refuse_file_of(self, kind: Kind | None) -> None:
        if kind in (None, self.kind):
            return
        if kind == "shard":
            raise shard_alone(self.storage_path)
        raise StoreError(
            f"file {self.storage_path}",
            expected=f"{_TOLD[self.kind]}, which {type(self).__name__} reads",
            got=_TOLD[kind],
            hint=_BY_CONTENT if kind in _READABLE else "these are no features",
        )

    def _dataset(self, key: object) -> h5py.Dataset | None:
        if not isinstance(key, str) or key in ("", CHUNK_SIZE_KEY) or "\0" in key:
            return None
        file = self._open()
        with sound(self._given):
            try:
                found = file.get(key)
            except UnicodeEncodeError:  # half a surrogate pair
                return None
        return found if isinstance(found, h5py.Dataset) else None

    @contextmanager
    def _frames(self, key: str, where: str) -> Iterator[Frames]:
        dataset = self._dataset(key)
        if dataset is None:
            raise self._unknown(key)
        yield self._unpacked(dataset, where)

    def _unpacked(self, dataset: h5py.Dataset, where: str) -> Frames:
        raise NotImplementedError


class NumpyHdf5Reader(_Hdf5Reader):
    """Reads one dataset of numbers an utterance: lhotse's files, speechbrain's, our own."""

    kind = "numbers"

    def _unpacked(self, dataset: h5py.Dataset, where: str) -> Frames:
        return _Slices(dataset, where)


class LilcomHdf5Reader(_Hdf5Reader):
    """Reads what `LilcomHdf5Writer`, lhotse's too, wrote; the extra `archive`."""

    kind = "lilcom"

    def __init__(self, storage_path: str | Path, *, name: str | None = None) -> None:
        self._lilcom = import_lilcom()
        super().__init__(storage_path, name=name)

    def _unpacked(self, dataset: h5py.Dataset, where: str) -> Frames:
        _refuse_others(dataset, self.kind, where)
        return Whole(self._lilcom.decompress(dataset[()].tobytes()), where)


class ChunkedLilcomHdf5Reader(_Hdf5Reader):
    """Reads what lhotse's `ChunkedLilcomHdf5Writer` wrote; the extra `archive`."""

    kind = "chunked lilcom"

    def __init__(self, storage_path: str | Path, *, name: str | None = None) -> None:
        self._lilcom = import_lilcom()
        super().__init__(storage_path, name=name)

    def _unpacked(self, dataset: h5py.Dataset, where: str) -> Frames:
        _refuse_others(dataset, self.kind, where)
        size = self._open().get(CHUNK_SIZE_KEY)
        if not isinstance(size, h5py.Dataset) or size.shape != () or size.dtype.kind not in "iu":
            raise ValueError(f"no frames a chunk under {CHUNK_SIZE_KEY}")
        if (frames := int(size[()])) < 1:
            raise ValueError(f"{frames} frames a chunk")
        return _LilcomChunks(dataset, frames, self._lilcom)


class _Slices:
    """The frames of a dataset, which HDF5 slices; asking h5py for a dtype costs as much as that."""

    def __init__(self, dataset: h5py.Dataset, where: str) -> None:
        if not (shape := dataset.shape):
            _refuse_others(dataset, "numbers", where)
        self.sure_frames = int(shape[0])
        self._dataset = dataset
        self._where = where

    def __len__(self) -> int:
        return self.sure_frames

    def __getitem__(self, frames: slice) -> Array:
        values: Array = self._dataset[frames]
        if values.dtype.kind not in NUMBERS:
            _refuse_others(self._dataset, "numbers", self._where)
        return values


class _LilcomChunks(Chunked):
    """The frames of a dataset of lilcom-compressed chunks."""

    def __init__(self, dataset: h5py.Dataset, chunk_size: int, lilcom: Any) -> None:
        super().__init__(len(dataset), chunk_size)
        self._dataset = dataset
        self._lilcom = lilcom

    def chunk(self, number: int) -> Array:
        values: Array = self._lilcom.decompress(np.asarray(self._dataset[number]).tobytes())
        return values


def _refuse_others(dataset: h5py.Dataset, kind: Kind, where: str) -> None:
    if kind_of(dataset) != kind:
        raise no_numbers(where, told(dataset), _BY_CONTENT)


_TOLD: dict[Kind, str] = {
    "numbers": "datasets of numbers",
    "lilcom": "lilcom-compressed datasets",
    "chunked lilcom": "datasets of lilcom-compressed chunks",
    "shard": "a shard of a packed store",
    "other": "datasets that are no numbers",
}
_READABLE: tuple[Kind, ...] = ("numbers", "lilcom", "chunked lilcom")


def shard_alone(path: Path) -> StoreError:
    """Return the error about a shard that is opened without its store."""
    return StoreError(
        f"file {path}",
        expected="a file of one dataset an utterance",
        got="a shard of a packed store",
        hint=f"open its store: open_store({str(path.parent)!r})",
    )


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another in its place; None where none can be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_hdf5(path: Path) -> h5py.File:
    """Open a file to read, also one that somebody has open.

    Raises:
        StoreError: it is not there, or it is no HDF5 file.
    """
    where = f"file {path}"
    try:
        open_regular(path).close()  # HDF5 would wait for a pipe
    except OSError as error:
        raise StoreError(
            where,
            expected="an HDF5 file",
            got="the folder of a packed store" if is_store(path) else error,
            hint=_BY_CONTENT if path.is_dir() else "",
        ) from error
    try:
        # HDF5 wants the flags of whoever has it open in this process, and lhotse has the usual ones
        return h5py.File(path, "r")
    except OSError:
        try:
            return h5py.File(path, "r", locking=False)  # some file systems have no locks
        except OSError as error:
            raise StoreError(where, expected="an HDF5 file", got=error) from error
