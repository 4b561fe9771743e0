"""Stores as a storage type of lhotse: importing this module registers its reader and writer.

lhotse finds a storage type by name in tables of its own, and has no entry points: a program that
loads arrays of `storage_type: featbank` imports this module first. Objects of it that reach another
process by pickle, such as `FeatbankWriter`, bring the import along; a CutSet does not, so that a
worker which is spawned needs `import featbank.export.lhotse` where its dataset is defined.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np

from featbank.errors import ConfigError, StoreError
from featbank.export.lhotse_manifests import STORAGE_TYPE
from featbank.store import HEADER_NAME, Store, StoreWriter, as_array, open_store
from featbank.store.encoding import Array

try:
    from lhotse.array import Array as ArrayManifest
    from lhotse.array import TemporalArray
    from lhotse.features.io import (
        FeaturesReader,
        FeaturesWriter,
        register_reader,
        register_writer,
    )
except ImportError as error:
    raise ConfigError.of_absent("featbank.export.lhotse", "lhotse", "lhotse", error) from error

_MAX_OPEN = 256  # stores of a process: their headers and maps, not their values
_MODES = ("w", "x", "a")


@register_reader
class FeatbankReader(FeaturesReader):  # type: ignore[misc]
    """Reads arrays of a store for lhotse, which makes one for each array that it loads.

    A process opens a store once. Integers come as int64, for lhotse fills with numbers that a
    narrow dtype would wrap (-100 is 65436 in uint16), and narrow floats as float32; all may be
    written to. Of a part, only its frames are read.

    Args:
        storage_path: of a store, or of the folder of its splits.
    """

    name = STORAGE_TYPE

    def __init__(self, storage_path: str | Path, *_: Any, **__: Any) -> None:
        self._path = os.fspath(storage_path)

    def read(
        self, key: str, left_offset_frames: int = 0, right_offset_frames: int | None = None
    ) -> Array:
        """Return the frames of an utterance from one offset up to, not including, another.

        Args:
            key: id of the utterance.
            left_offset_frames: the first frame.
            right_offset_frames: the one after the last; None for the end.

        Returns:
            (T, *shape); (Q, T) of codes, whose frames are last; or (*shape) where there is one
            value an utterance.

        Raises:
            StoreError: no such store or id, or a damaged one.
        """
        path = self._path
        if "://" not in path:
            path = os.path.abspath(path)  # noqa: PTH100 - a path object costs more than the read
        values = _open(path).read(key, left_offset_frames, right_offset_frames)
        return values.astype(_as_lhotse_has_it(values.dtype))


def _as_lhotse_has_it(dtype: np.dtype[Any]) -> type[Any] | np.dtype[Any]:
    if dtype.kind in "iu":
        return np.int64
    return np.float32 if dtype == np.float16 else dtype


@lru_cache(_MAX_OPEN)
def _open(path: str) -> Store:
    """Open a store once in a process; forked ones go on with what is open."""
    return open_store(path)


@register_writer
class FeatbankWriter(FeaturesWriter):  # type: ignore[misc]
    """Writes a store for lhotse: `compute_and_store_features`, `copy_feats`, `store_array`.

    The store is there when the `with` block is left, whole; an exception leaves none. Its shape is
    that of the first array, and so is its dtype, unless `codebook_size` or `dtype` says another.

    Args:
        storage_path: of the store to be.
        mode: `w` replaces a store that is there, `x` refuses to; `a` does, too, for stores do not
            grow.
        options: of `StoreWriter`, such as `dtype`, `codebook_size` or `frame_rate`.
    """

    name = STORAGE_TYPE
    _feature: ClassVar[str] = "features"

    def __init__(self, storage_path: str | Path, mode: str = "w", **options: Any) -> None:
        super().__init__()
        if mode not in _MODES:
            raise ConfigError("mode of FeatbankWriter", expected=", ".join(_MODES), got=repr(mode))
        self._path = Path(storage_path)
        if mode == "a" and (self._path / HEADER_NAME).exists():
            raise StoreError(
                f"store {self._path}",
                expected="a free place, for a store is written once",
                got="a store",
                hint="pass overwrite=True to lhotse, or another storage_path",
            )
        self._options = {"name": self._feature, "mode": "w" if mode == "a" else mode, **options}
        self._writer: StoreWriter | None = None

    @property
    def storage_path(self) -> str:
        """Folder of the store, as manifests name it."""
        return os.fspath(self._path)

    def write(self, key: str, value: Any) -> str:
        """Write an array of an utterance, (T, *shape); return its key.

        Raises:
            StoreError: an invalid or repeated key, or an array unlike the first one.
        """
        if self._writer is None:
            array = as_array(value, f"array {key!r}", has_time=False)
            if self._options.get("codebook_size") is None:  # which decides the dtype of tokens
                self._options.setdefault("dtype", array.dtype)
            self._writer = StoreWriter(self._path, **self._options)
        return self._writer.write(key, value)

    def store_array(
        self,
        key: str,
        value: Any,
        frame_shift: float | None = None,
        temporal_dim: int | None = None,
        start: float = 0,
    ) -> ArrayManifest | TemporalArray:
        """Write an array and return its manifest; one without time where neither is given.

        Args:
            key: of the array.
            value: (T, *shape), (Q, T), or (*shape).
            frame_shift: seconds between frames.
            temporal_dim: the axis of the frames: the first, or the last of codes.
            start: of the first frame in the recording, in seconds.

        Raises:
            StoreError: as of `write`, or frames on another axis.
        """
        self._describe(np.ndim(value), temporal_dim, frame_shift)
        return super().store_array(key, value, frame_shift, temporal_dim, start)

    def _describe(self, ndim: int, temporal_dim: int | None, frame_shift: float | None) -> None:
        """State the frames of a store, of which all arrays have theirs in the same place."""
        if temporal_dim not in (None, 0, ndim - 1):
            raise StoreError(
                f"array for store {self._path}",
                expected="frames on its first or last axis",
                got=f"temporal_dim {temporal_dim}",
            )
        time_axis = -1 if temporal_dim else temporal_dim
        if self._writer is None:
            self._options["time_axis"] = time_axis
            self._options.setdefault("frame_rate", frame_shift and 1 / frame_shift)
        elif self._options.get("time_axis", 0) != time_axis:
            raise StoreError(
                f"array for store {self._path}",
                expected="frames where the first array has them",
                got=f"temporal_dim {temporal_dim}",
                hint="give arrays of another kind a writer of their own",
            )

    def close(self) -> None:
        """Publish the store; of a writer that was given nothing there is none."""
        if self._writer is not None:
            self._writer.close()
            _open.cache_clear()  # where a store was replaced

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish the store, or drop everything when the block raised."""
        if self._writer is not None and error is not None:
            self._writer.abort()
        else:
            self.close()
