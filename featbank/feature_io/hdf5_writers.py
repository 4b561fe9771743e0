"""Write HDF5 files with one dataset an utterance, for lhotse to read."""

from __future__ import annotations

import os
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from featbank.disk import fsync_file, fsync_folder
from featbank.errors import StoreError
from featbank.feature_io.base import Array
from featbank.feature_io.hdf5_files import hdf5_path, import_lilcom
from featbank.locking import lock
from featbank.manifest import check_id
from featbank.store.encoding import Encoding, as_array, find_encoding
from featbank.store.publishing import PublishingWriter
from featbank.store.shard_file import disk_fault


class _Hdf5Writer(PublishingWriter):
    """Writes `<storage_path>.h5` under a hidden name, which `commit` exchanges for its own.

    A lock refuses a second writer while this one lives, so that what a killed one left is simply
    overwritten; see `featbank.locking`.
    """

    dtypes: ClassVar[frozenset[str]]

    def __init__(self, storage_path: str | Path, *, name: str, dtype: str = "float32") -> None:
        """Begin a file.

        Args:
            storage_path: of the file to be; `.h5` is added where it is not there.
            name: of the feature.
            dtype: NumPy name of the dtype that values are stored as.

        Raises:
            StoreError: another writer is at work, or the files do not hold `dtype`.
        """
        if dtype not in self.dtypes:
            raise StoreError(
                f"dtype for {type(self).__name__}",
                expected=f"one of {', '.join(sorted(self.dtypes))}",
                got=repr(dtype),
            )
        self.name = name
        self._storage_path = hdf5_path(storage_path)
        self._encoding: Encoding = find_encoding(dtype)
        self._written: set[str] = set()
        self._partial = self.storage_path.with_name(f".{self.storage_path.name}.partial")
        self._lock = lock(self.storage_path, f"file {self.storage_path}")
        try:
            self._file = _create(self._partial)
        except BaseException:
            self._lock.release()
            raise

    @property
    def storage_path(self) -> Path:
        """Of the file to be."""
        return self._storage_path

    def write(self, key: str, value: Any) -> None:
        """Write one utterance.

        Args:
            key: its id, not yet written; slashes make HDF5 groups.
            value: (T, ...), a NumPy array or a torch tensor on the CPU.

        Raises:
            StoreError: an invalid or repeated id, one that is the folder of another, values that
                the dtype cannot hold, a writer that has failed or ended, or a disk that is full:
                the writer has failed then, and publishes nothing.
        """
        where = f"utterance {key!r} in {self.storage_path}"
        self._check_open()
        check_id(key, StoreError)
        if key in self._written:
            raise StoreError(where, expected="one write", got="a second one")
        stored = self._encoding.encode(as_array(value, where), where).stored
        packed = self._packed(stored, where)
        try:
            self._file.create_dataset(key, data=packed, track_times=False)
        except ValueError as error:
            raise StoreError(
                where,
                expected="an id that is no folder of another",
                got=error,
                hint="write it to a packed store, which knows no folders",
            ) from error
        except (OSError, RuntimeError) as error:
            self._state = "failed"  # HDF5 may have the half of it
            raise disk_fault(where, error) from error
        self._written.add(key)

    def _complete(self) -> None:
        try:
            self._file.close()
            with open(self._partial, "rb") as file:
                fsync_file(file.fileno(), self.storage_path)
        except (OSError, RuntimeError) as error:
            raise disk_fault(f"file {self.storage_path}", error) from error

    def _publish(self) -> None:
        self._lock.check()
        self._partial.replace(self.storage_path)
        fsync_folder(self.storage_path.parent)
        self._lock.release()

    def _drop(self) -> None:
        with suppress(OSError, RuntimeError):  # what a full disk could not take is dropped
            self._file.close()
        if self._lock.is_held:  # else this is a forked child, and the file is its parent's
            if self._lock.is_mine:  # else another one was told to break it
                self._partial.unlink(missing_ok=True)
            self._lock.release()

    @abstractmethod
    def _packed(self, stored: Array, where: str) -> Any:
        """Return what goes into the dataset."""


def _create(path: Path) -> h5py.File:
    """Create a file as `h5py.File(path, "w", locking=False)` does, but for one buffer.

    HDF5 would keep values below 64 KiB back until their dataset is closed, where h5py cannot raise
    what goes wrong: without that buffer the write itself fails.
    """
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_EARLIEST, h5py.h5f.LIBVER_LATEST)
    access.set_file_locking(False, False)
    access.set_sieve_buf_size(0)
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fapl=access))


class NumpyHdf5Writer(_Hdf5Writer):
    """Writes one uncompressed dataset an utterance, as lhotse's `NumpyHdf5Writer` does."""

    dtypes = frozenset(
        ["float16", "float32", "float64"]
        + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    )

    def _packed(self, stored: Array, where: str) -> Array:  # noqa: ARG002
        return stored


class LilcomHdf5Writer(_Hdf5Writer):
    """Writes one lilcom-compressed blob an utterance, as lhotse's `LilcomHdf5Writer` does.

    Lossy: values become multiples of 2 ** tick_power; they are read as float32.
    """

    dtypes = frozenset(["float32"])

    def __init__(
        self,
        storage_path: str | Path,
        *,
        name: str,
        dtype: str = "float32",
        tick_power: int = -5,
    ) -> None:
        """Begin a file.

        Args:
            storage_path: of the file to be; `.h5` is added where it is not there.
            name: of the feature.
            dtype: float32.
            tick_power: the accuracy: values are off by 2 ** (tick_power - 1) at most.

        Raises:
            StoreError: lilcom is missing, another writer is at work, or `dtype` is another.
        """
        self._lilcom = import_lilcom()
        self._tick_power = tick_power
        super().__init__(storage_path, name=name, dtype=dtype)

    def _packed(self, stored: Array, where: str) -> np.void:
        if not stored.size or not np.isfinite(stored).all():
            raise StoreError(
                where,
                expected="finite values, one or more: lilcom compresses no others",
                got="NaN or infinity" if stored.size else f"shape {stored.shape}",
            )
        # a copy, for lilcom leaves what it did not keep in the array that it is given
        return np.void(self._lilcom.compress(stored.copy(), tick_power=self._tick_power))
