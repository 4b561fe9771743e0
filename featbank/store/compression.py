"""Compressed values, for archives: HDF5's own filters, which plain h5py undoes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featbank.errors import StoreError
from featbank.store.encoding import Array
from featbank.store.format import COMPRESSIONS
from featbank.store.healing import heal
from featbank.store.stamps import Stamp, open_same

_CHUNK_BYTES = 1 << 17  # a random read undoes one or two: small enough for that, and large for zstd


def check_compression(name: str | None) -> None:
    """Refuse a compression that there is not, or that is not installed.

    Raises:
        StoreError: it is unknown, or hdf5plugin is missing.
    """
    if name is None:
        return
    if name not in COMPRESSIONS:
        raise StoreError(
            "compression of a store", expected=f"{' or '.join(COMPRESSIONS)}, or none", got=name
        )
    _plugins()


def chunked(name: str, shape: tuple[int, ...], itemsize: int) -> Mapping[str, Any]:
    """Return what h5py creates a compressed dataset of values with.

    Args:
        name: `zstd` (level 3) or `blosc` (Blosc with zstd, level 5), both after a byte shuffle.
        shape: (num_frames, *shape) of the values, which are not empty.
        itemsize: bytes a value.
    """
    num_frames, *frame_shape = shape
    chunks = (min(num_frames, max(1, _CHUNK_BYTES // (itemsize * prod(frame_shape)))), *frame_shape)
    plugins = _plugins()
    if name == "zstd":
        return {"chunks": chunks, "shuffle": True, **plugins.Zstd(clevel=3)}
    return {
        "chunks": chunks,
        **plugins.Blosc(cname="zstd", clevel=5, shuffle=plugins.Blosc.SHUFFLE),
    }


class CompressedValues:
    """The compressed values of a shard: slices of frames, as stored.

    HDF5 handles do not survive a fork, so each process opens the file when it first reads.
    """

    def __init__(
        self, path: Path, stamp: Stamp | None, shape: tuple[int, ...], stored: np.dtype[Any]
    ) -> None:
        """Open nothing yet.

        Args:
            path: of the shard.
            stamp: of the file that was there when the rows were read.
            shape: (num_frames, *shape) of its values.
            stored: their dtype as it is stored.

        Raises:
            StoreError: hdf5plugin is missing.
        """
        _plugins()
        self._path = path
        self._stamp = stamp
        self.shape = shape
        self.dtype = stored
        self._process = -1
        self._dataset: h5py.Dataset | None = None

    def __len__(self) -> int:
        """Return the number of frames."""
        return self.shape[0]

    def __getitem__(self, frames: slice) -> Array:
        """Read and undo the chunks that hold some frames.

        Raises:
            StoreError: they are damaged, or the file was replaced.
        """
        start, stop, _ = frames.indices(len(self))
        values = np.empty((stop - start, *self.shape[1:]), self.dtype)
        try:
            if values.size:
                transfer(self._open(), "read", start, values)
        except (OSError, KeyError, RuntimeError, ValueError) as error:  # what h5py raises
            raise StoreError(
                f"shard {self._path}",
                expected="values that can be decompressed",
                got=error,
                hint=heal(self._path.parent),
            ) from error
        return values

    def _open(self) -> h5py.Dataset:
        if self._dataset is None or self._process != os.getpid():
            self._dataset = open_same(self._path, self._stamp)["values"]
            self._process = os.getpid()
        return self._dataset


def transfer(dataset: h5py.Dataset, direction: str, start: int, values: Array) -> None:
    """Read or write consecutive frames in the dataset's own type, with no conversion.

    NumPy has no bfloat16, and HDF5's conversion of it does not keep every NaN.

    Args:
        dataset: of values.
        direction: `read` or `write`.
        start: the first frame.
        values: (frames, *shape), C-contiguous, of the stored dtype; not empty.
    """
    place = dataset.id.get_space()
    place.select_hyperslab((start, *(0,) * (values.ndim - 1)), values.shape)
    memory = h5py.h5s.create_simple(values.shape)
    getattr(dataset.id, direction)(memory, place, values, mtype=dataset.id.get_type())


def _plugins() -> Any:
    try:
        import hdf5plugin
    except ImportError as error:
        raise StoreError.of_absent("a compressed store", "hdf5plugin", "archive", error) from error
    return hdf5plugin
