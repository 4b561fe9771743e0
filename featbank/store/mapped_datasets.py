"""Find the datasets of a shard in its memory map: HDF5 says where each lies, once."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from featbank.errors import StoreError
from featbank.store.encoding import Array, Encoding


class MappedDatasets:
    """The datasets of an open shard, each checked to lie inside its file.

    Args:
        shard: open while they are looked for.
        mapped: the whole file.
        damaged: makes the error about what was expected and what is there.
    """

    def __init__(
        self,
        shard: h5py.File,
        mapped: npt.NDArray[np.uint8],
        damaged: Callable[[str, object], StoreError],
    ) -> None:
        self._shard = shard
        self._map = mapped
        self._damaged = damaged

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a dataset of a name."""
        return name in self._shard

    def find(self, name: str, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> Array:
        """Return a dataset as a view of the map.

        Args:
            name: of the dataset.
            dtype: that it must have.
            shape: that it must have, None standing for any size.

        Raises:
            StoreError: it is another one, or lies outside the file.
            KeyError: it is not there.
        """
        dataset = self._dataset(name)
        if dataset.dtype != dtype:
            raise self._damaged(f"{name} of {dtype.str}", dataset.dtype.str)
        return self._view(dataset, dtype, shape)

    def are_values_chunked(self) -> bool:
        """Tell whether HDF5 holds the values in chunks, as it does where they are compressed."""
        return self._dataset("values").chunks is not None

    def values(self, encoding: Encoding) -> tuple[Array, int]:
        """Return the values as a view of the map, and where they begin in the file; 0 for none.

        Raises:
            StoreError: they are stored as another dtype, or lie outside the file.
        """
        dataset = self._values(encoding)
        return self._view(dataset, encoding.stored, None), dataset.id.get_offset() or 0

    def shape_of_values(self, encoding: Encoding) -> tuple[int, ...]:
        """Return (num_frames, *shape) of values in chunks.

        Raises:
            StoreError: they are stored as another dtype, or are no frames.
        """
        shape: tuple[int, ...] = self._values(encoding).shape
        if not shape:
            raise self._damaged("values of shape (num_frames, ...)", shape)
        return shape

    def _values(self, encoding: Encoding) -> h5py.Dataset:
        values = self._dataset("values")
        if values.id.get_type() != encoding.hdf5_type:
            raise self._damaged(f"values of {encoding.name}", values.dtype)
        return values

    def _dataset(self, name: str) -> h5py.Dataset:
        if not isinstance(dataset := self._shard[name], h5py.Dataset):
            raise self._damaged("datasets only", "a group")
        return dataset

    def _view(
        self, dataset: h5py.Dataset, dtype: np.dtype[Any], shape: tuple[int | None, ...] | None
    ) -> Array:
        """Return a dataset as a view of the map, checked to lie inside the file."""
        name, found = dataset.name, dataset.shape
        if not found or not _fits(found, shape):
            raise self._damaged(f"{name} of shape {shape or '(num_frames, ...)'}", found)
        if prod(found) == 0:  # HDF5 gives an empty dataset no place in the file
            return np.empty(found, dtype)
        start = dataset.id.get_offset()
        if start is None:
            raise self._damaged(f"{name} contiguous and uncompressed", "another storage")
        end = start + prod(found) * dtype.itemsize
        if end > len(self._map):  # reading a map past its file is a SIGBUS
            raise self._damaged(f"{name} up to byte {end}", f"{len(self._map)} bytes")
        return self._map[start:end].view(dtype).reshape(found)


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...] | None) -> bool:
    """Tell whether a shape is the wanted one, None standing for any size and for any shape."""
    if wanted is None:
        return True
    return len(found) == len(wanted) and all(
        size is None or size == real for size, real in zip(wanted, found, strict=True)
    )
