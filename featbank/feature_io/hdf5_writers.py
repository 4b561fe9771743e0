"""Write HDF5 files with one dataset an utterance, for lhotse to read."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from featbank.base.manifest import check_id
from featbank.errors import StoreError
from featbank.feature_io.base import Array
from featbank.feature_io.hdf5_files import hdf5_path, import_lilcom
from featbank.feature_io.hdf5_rows import Hdf5Rows, state_input, state_origin
from featbank.feature_io.own_writes import OwnWrites
from featbank.files.disk import fsync_folder
from featbank.files.locking import lock
from featbank.store.encoding import ENCODINGS, Encoded, Encoding, find_encoding
from featbank.store.given import DTypeLike, as_array, dtype_name
from featbank.store.narrowing import refuse_nonfinite
from featbank.store.publishing import PublishingWriter
from featbank.store.shard_file import disk_fault


class _Hdf5Writer(PublishingWriter):
    """Writes `<storage_path>.h5` under a hidden name, which `commit` exchanges for its own.

    A lock refuses a second writer while this one lives, so that what a killed one left is simply
    overwritten; see `featbank.files.locking`.
    """

    version: ClassVar[int] = 1

    dtypes: ClassVar[frozenset[str]]
    _is_blob: ClassVar[bool] = False

    def __init__(
        self,
        storage_path: str | Path,
        *,
        name: str | None = None,
        dtype: DTypeLike = "float32",
        allow_nonfinite: bool = False,
        mode: str = "w",
    ) -> None:
        """Begin a file.

        Args:
            storage_path: of the file to be; `.h5` is added where it is not there.
            name: of the feature, which the file does not state; None for the name of the file.
            dtype: that values are stored as, by name or as NumPy or torch has it.
            allow_nonfinite: store NaN and infinity, where the dtype has them, too.
            mode: `w` replaces a file that is there, `x` refuses to.

        Raises:
            StoreError: another writer is at work, or the files do not hold `dtype`.
        """
        dtype = dtype_name(dtype)
        if dtype not in self.dtypes:
            raise StoreError(
                f"dtype for {type(self).__name__}",
                expected=f"one of {', '.join(sorted(self.dtypes))}",
                got=repr(dtype),
            )
        self._storage_path = hdf5_path(storage_path).absolute()
        self.name = self._storage_path.stem if name is None else name
        self._encoding: Encoding = find_encoding(dtype)
        self._checks_finite = self._encoding.rounds and not allow_nonfinite
        self._written: set[str] = set()
        self._partial = self.storage_path.with_name(f".{self.storage_path.name}.partial")
        self._lock = lock(self.storage_path, f"file {self.storage_path}")
        super().__init__(f"writer of file {self.storage_path}")
        try:
            self._check_mode(mode)
            descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        except BaseException:
            self._state = "ended"
            self._lock.release()
            raise
        self._writes = OwnWrites(descriptor, self._partial, self._owner)
        self._file = _create(self._writes)

    @property
    def storage_path(self) -> Path:
        """Of the file to be."""
        return self._storage_path

    def write(self, key: str, value: Any) -> str:
        """Write one utterance.

        Args:
            key: its id, not yet written; slashes make HDF5 groups.
            value: (T, ...), a NumPy array or a torch tensor.

        Returns:
            The key, by which it can be read.

        Raises:
            StoreError: an invalid or repeated id, one that is the folder of another, values that
                the dtype cannot hold, a writer that has failed or ended, or a disk that is full:
                the writer has failed then, and publishes nothing.
        """
        self._put(key, self._packed_value(key, value))
        return key

    def describe(self, *, fingerprint: str, provenance: Mapping[str, Any]) -> None:
        """State what determines the values, as attributes of the file, before the first of them.

        Raises:
            StoreError: an utterance is written already.
        """
        self._check_open()
        if self._written:
            raise StoreError(
                f"writer of {self.storage_path}", expected="no utterance yet", got="one or more"
            )
        state_origin(self._file, fingerprint, provenance)

    def encode(self, key: str, value: Any) -> Encoded:
        """Return the values of an utterance as the file will hold them; see `write_encoded`.

        Raises:
            StoreError: as of `write`.
        """
        packed = self._packed_value(key, value)
        is_blob = isinstance(packed, np.void)
        return Encoded(np.frombuffer(packed.tobytes(), np.uint8) if is_blob else packed)

    def write_encoded(self, key: str, encoded: Encoded, input_digest: bytes = b"") -> None:
        """Write an utterance that a writer with the same options has encoded.

        Args:
            key: its id, not yet written.
            encoded: as `encode` or `Hdf5Rows.encoded` gave it.
            input_digest: 16 bytes that stand for what it was computed from; zeros where none.

        Raises:
            StoreError: as of `write`, or it is encoded for another file.
        """
        self._check_open()
        check_id(key, StoreError)
        stored = encoded.stored
        if stored.dtype != self._held:
            raise StoreError(
                f"utterance {key!r} in {self.storage_path}",
                expected=f"values as {self._held.name}",
                got=stored.dtype.name,
            )
        self._put(key, np.void(stored.tobytes()) if self._is_blob else stored)
        state_input(self._file[key], stored, input_digest or bytes(16))
        self._refuse_fault(f"utterance {key!r} in {self.storage_path}")

    def is_same_as(self, published: Hdf5Rows) -> bool:  # noqa: ARG002
        """Tell that a file of the same fingerprint is what this writer would make: it has no more.

        Args:
            published: the file.
        """
        return True

    @property
    def _held(self) -> np.dtype[Any]:
        """The dtype of what is encoded."""
        return np.dtype(np.uint8) if self._is_blob else self._encoding.stored

    def _packed_value(self, key: str, value: Any) -> Any:
        where = f"utterance {key!r} in {self.storage_path}"
        self._check_open()
        check_id(key, StoreError)
        if key in self._written:
            raise StoreError(where, expected="one write", got="a second one")
        array = as_array(value, where)
        if self._checks_finite:
            refuse_nonfinite(array, self._encoding.name, where)
        return self._packed(self._encoding.encode(array, where).stored, where)

    def _put(self, key: str, packed: Any) -> None:
        where = f"utterance {key!r} in {self.storage_path}"
        if key in self._written:
            raise StoreError(where, expected="one write", got="a second one")
        try:
            self._file.create_dataset(key, data=packed, track_times=False)
        except ValueError as error:
            raise StoreError(
                where,
                expected="an id that is no folder of another",
                got=error,
                hint="write it to a packed store, which knows no folders",
            ) from error
        self._refuse_fault(where)
        self._written.add(key)

    @property
    def _has_rows(self) -> bool:
        return bool(self._written)

    def _complete(self) -> None:
        self._file.close()
        self._refuse_fault(f"file {self.storage_path}")
        try:
            self._writes.sync()
        except OSError as error:
            raise disk_fault(f"file {self.storage_path}", error) from error

    def _publish(self) -> None:
        self._lock.check()
        try:
            self._partial.replace(self.storage_path)
            fsync_folder(self.storage_path.parent)
        except OSError as error:
            raise disk_fault(f"file {self.storage_path}", error) from error
        self._release()

    def _drop(self) -> None:
        self._file.close()
        if self._lock.is_mine:  # else another one was told to break it
            self._partial.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        self._writes.close()
        self._lock.release()

    def _refuse_fault(self, where: str) -> None:
        if self._writes.error is not None:
            self._state = "failed"  # the file has the half of it
            raise disk_fault(where, self._writes.error) from self._writes.error

    @abstractmethod
    def _packed(self, stored: Array, where: str) -> Any:
        """Return what goes into the dataset."""


def _create(writes: OwnWrites) -> h5py.File:
    """Create a file that lhotse's h5py reads, whatever its version."""
    return h5py.File(writes, "w", libver=("earliest", "latest"))


class NumpyHdf5Writer(_Hdf5Writer):
    """Writes one uncompressed dataset an utterance, as lhotse's `NumpyHdf5Writer` does."""

    dtypes = frozenset(name for name, encoding in ENCODINGS.items() if encoding.is_plain)

    def _packed(self, stored: Array, where: str) -> Array:  # noqa: ARG002
        return stored


class LilcomHdf5Writer(_Hdf5Writer):
    """Writes one lilcom-compressed blob an utterance, as lhotse's `LilcomHdf5Writer` does.

    Lossy: values become multiples of 2 ** tick_power; they are read as float32.
    """

    dtypes = frozenset(["float32"])
    _is_blob = True

    def __init__(
        self,
        storage_path: str | Path,
        *,
        name: str | None = None,
        dtype: DTypeLike = "float32",
        tick_power: int = -5,
        mode: str = "w",
    ) -> None:
        """Begin a file.

        Args:
            storage_path: of the file to be; `.h5` is added where it is not there.
            name: of the feature, which the file does not state; None for the name of the file.
            dtype: float32.
            tick_power: the accuracy: values are off by 2 ** (tick_power - 1) at most.
            mode: `w` replaces a file that is there, `x` refuses to.

        Raises:
            StoreError: lilcom is missing, another writer is at work, or `dtype` is another.
        """
        self._lilcom = import_lilcom()
        self._tick_power = tick_power
        super().__init__(storage_path, name=name, dtype=dtype, mode=mode)

    def _packed(self, stored: Array, where: str) -> np.void:
        if not stored.size:
            raise StoreError(
                where,
                expected="one value or more: lilcom compresses no others",
                got=f"shape {stored.shape}",
            )
        # a copy, for lilcom leaves what it did not keep in the array that it is given
        return np.void(self._lilcom.compress(stored.copy(), tick_power=self._tick_power))
