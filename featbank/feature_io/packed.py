"""The packed store as recipes declare it: a reader may be there before the store is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from featbank.errors import StoreError
from featbank.feature_io.file_reader import absent, is_file
from featbank.store import Store, StoreWriter
from featbank.store.encoding import Array

PackedHdf5Writer = StoreWriter


class PackedHdf5Reader(Store):
    """A `Store` for recipes: it may be declared before it is there, and its reads may be changed.

    It is opened when it is first read, so that YAML may name a reader before the recipe has
    computed, or computed anew, what it reads; what is there by then is looked at at once, too.
    `read` gives an array of its own unless it is told
    `copy=False`, so that `torch.from_numpy` takes it as it takes what other readers give.
    """

    version: ClassVar[int] = 1

    storage_path: Path

    def __init__(
        self,
        storage_path: str | Path,
        splits: str | Sequence[str] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        """Look at the store, or the folder of several, if one is there.

        Args:
            storage_path: of it.
            splits: of a folder of several, those that are read; None for all.
            name: of the feature, while nothing is there; the store states it.

        Raises:
            StoreError: something else is there, or a damaged store.
        """
        self.storage_path = Path(storage_path)
        self._root = self.storage_path.absolute()
        self._declared = name
        self._splits = splits
        if self._is_there:
            self._look()

    @property
    def name(self) -> str:
        """Of the feature."""
        if self._declared is not None and not self._is_open:
            return self._declared
        return super().name

    def read(
        self,
        key: str,
        left_offset_frames: int = 0,
        right_offset_frames: int | None = None,
        *,
        strict: bool = False,
        copy: bool = True,
    ) -> Array:
        """Return frames of an utterance, (T, *shape); see `Store.read`.

        Raises:
            StoreError: as of `Store.read`, or nothing is there yet.
        """
        return super().read(key, left_offset_frames, right_offset_frames, strict=strict, copy=copy)

    def __getitem__(self, utterance_id: str) -> Array:
        """Return all frames of an utterance, (T, *shape), in memory of their own."""
        return self.read(utterance_id)

    def close(self) -> None:
        """Let go of the maps, if any."""
        if self._is_open:
            super().close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path, and a digest once the store is there."""
        if not self._is_open:
            return partial(type(self), name=self._declared), (self._root, self._splits)
        return super().__reduce__()

    @property
    def _is_open(self) -> bool:
        return "header" in vars(self)

    @property
    def _is_there(self) -> bool:
        """Whether anything is: a folder of hidden ones alone waits for its first store."""
        if self._splits is not None:
            chosen = (self._splits,) if isinstance(self._splits, str) else self._splits
            return all(os.path.lexists(self._root / split) for split in chosen)
        if self._root.is_dir():
            return any(not one.name.startswith(".") for one in self._root.iterdir())
        return os.path.lexists(self._root)

    def _look(self) -> Store:
        if is_file(self._root):
            raise StoreError(
                f"store {self.storage_path}",
                expected="the folder of a packed store",
                got="a file",
                hint="featbank.feature_io.open_features picks the reader by what a file holds",
            )
        return Store(self._root, self._splits)

    def __getattr__(self, name: str) -> Any:
        """Open the store for what it has and this has not: its header, its shards.

        Raises:
            StoreError: nothing is there.
        """
        if self._is_open or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if not self._is_there:
            raise absent(self.storage_path)
        opened = vars(self._look())
        # at once, for another thread may be reading
        vars(self).update(opened | {"storage_path": self.storage_path})
        return getattr(self, name)
