"""Read what lhotse's `LilcomChunkyWriter` wrote: one file of lilcom-compressed chunks.

The file names nobody. lhotse's manifests do: the storage key `14601,31,23` says where the chunks of
an utterance begin, and how many bytes each has.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

from featbank.errors import StoreError
from featbank.feature_io.base import Array
from featbank.feature_io.file_reader import FileReader, absent
from featbank.feature_io.frames import Chunked, Frames
from featbank.feature_io.hdf5_files import import_lilcom
from featbank.files.opening import open_regular

CHUNK_FRAMES = 500
"""Of every chunk but the last, in any file."""

_STORAGE_KEY = re.compile(r"\d{1,18}(,\d{1,18})*", re.ASCII)


class LilcomChunkyReader(FileReader):
    """Reads by id where `keys` gives the storage key of each id, else by storage key."""

    suffix = ".lca"

    def __init__(
        self,
        storage_path: str | Path,
        *,
        name: str | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        """Open what is there.

        Args:
            storage_path: of the file; `.lca` is added where nothing is there without it.
            name: of the feature; None for the name of the file.
            keys: the storage key of each id: `{cut.id: cut.features.storage_key for cut in cuts}`.

        Raises:
            StoreError: lilcom is missing, or something else is there.
        """
        self._lilcom = import_lilcom()
        self._keys = None if keys is None else dict(keys)
        super().__init__(storage_path, name=name)

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there; without `keys`, whether a text could be a storage key."""
        if self._keys is not None:
            return key in self._keys
        return isinstance(key, str) and _STORAGE_KEY.fullmatch(key) is not None

    def __iter__(self) -> Iterator[str]:
        """Give the ids.

        Raises:
            StoreError: there are no `keys`.
        """
        if self._keys is None:
            raise StoreError(
                f"ids in {self.storage_path}",
                expected="the storage keys of a lhotse manifest, by id",
                got="a file that names nobody",
                hint="keys={cut.id: cut.features.storage_key for cut in cuts}",
            )
        return iter(self._keys)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the path."""
        return partial(type(self), name=self._name, keys=self._keys), (self._path,)

    def _look(self) -> None:
        self._open().close()

    def _open(self) -> BinaryIO:
        if not self._exists():
            raise absent(self._place())
        try:
            return open_regular(self._place())
        except OSError as error:
            raise StoreError(
                f"features {self.storage_path}", expected="a file of lilcom chunks", got=error
            ) from error

    @contextmanager
    def _frames(self, key: str, where: str) -> Iterator[Frames]:
        stored = key if self._keys is None else self._keys.get(key)
        if stored is None:
            raise self._unknown(key)
        if not isinstance(stored, str) or not _STORAGE_KEY.fullmatch(stored):
            raise StoreError(
                where,
                expected="a storage key such as '14601,31,23'",
                got=repr(stored),
                hint="give the storage keys of the manifest by id, as keys=",
            )
        with self._open() as file:
            yield _FileChunks(file, [*accumulate(map(int, stored.split(",")))], self._lilcom)


class _FileChunks(Chunked):
    """The frames in some chunks of an open file."""

    def __init__(self, file: BinaryIO, edges: list[int], lilcom: Any) -> None:
        super().__init__(len(edges) - 1, CHUNK_FRAMES)
        self._file = file
        self._edges = edges
        self._lilcom = lilcom
        if edges[-1] > file.seek(0, os.SEEK_END):
            raise ValueError("a file that is cut short")

    def chunk(self, number: int) -> Array:
        start, stop = self._edges[number : number + 2]
        self._file.seek(start)
        values: Array = self._lilcom.decompress(self._file.read(stop - start))
        return values
