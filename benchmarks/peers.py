"""What others store features in, each used as its documentation shows; none waits for the disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contender import Contender, Keys, Read
from benchmarks.corpora import Array, Row


class _Lhotse(Contender):
    """A reader is asked for the storage key that its writer returned, as a lhotse manifest is."""

    needs = ("lhotse",)

    @abstractmethod
    def _writer(self, path: Path, values: Array) -> Any: ...

    @abstractmethod
    def _reader(self, path: str) -> Any: ...

    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        keys: dict[str, str] = {}
        writer = None
        for key, values in rows:
            if writer is None:
                writer = self._writer(folder / "features", values)
            keys[key] = writer.write(key, self._stored(values))
        assert writer is not None
        writer.__exit__(None, None, None)
        return {"path": str(writer.storage_path), **keys}

    def reader(self, folder: Path, keys: Keys) -> Read:  # noqa: ARG002
        read = self._reader(keys["path"]).read
        return lambda key, left=0, right=None: read(keys[key], left, right)

    def _stored(self, values: Array) -> Array:
        return values


class NumpyHdf5(_Lhotse):
    name = "lhotse NumpyHdf5"
    needs = ("lhotse", "h5py")

    def _writer(self, path: Path, values: Array) -> Any:  # noqa: ARG002
        from lhotse import NumpyHdf5Writer

        return NumpyHdf5Writer(path)

    def _reader(self, path: str) -> Any:
        from lhotse.features.io import NumpyHdf5Reader

        return NumpyHdf5Reader(path)


class LilcomChunky(_Lhotse):
    """Lossy: floats in steps of 1/32; tokens as floats in steps of 1/2, which rounding undoes."""

    name = "lhotse LilcomChunky"
    needs = ("lhotse", "lilcom")
    tolerance = 0.25

    def _writer(self, path: Path, values: Array) -> Any:
        from lhotse import LilcomChunkyWriter

        return LilcomChunkyWriter(path, tick_power=-5 if values.dtype.kind == "f" else -1)

    def _reader(self, path: str) -> Any:
        from lhotse.features.io import LilcomChunkyReader

        return LilcomChunkyReader(path)

    def _stored(self, values: Array) -> Array:
        return values.astype(np.float32, copy=False)


class NumpyFiles(_Lhotse):
    name = "lhotse NumpyFiles"

    def _writer(self, path: Path, values: Array) -> Any:  # noqa: ARG002
        from lhotse import NumpyFilesWriter

        return NumpyFilesWriter(path)

    def _reader(self, path: str) -> Any:
        from lhotse.features.io import NumpyFilesReader

        return NumpyFilesReader(path)


class _SpeechBrain(Contender):
    """A dynamic item that computes a row when it is first called, and loads it from then on."""

    @abstractmethod
    def _item(self, folder: Path, *, writes: bool, function: Callable[[str], Any]) -> Any: ...

    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        computed: dict[str, Any] = {}
        item = self._item(folder, writes=True, function=computed.pop)
        for key, values in rows:
            computed[key] = self._stored(values)
            item(key)
        self._close(item)
        return {}

    def reader(self, folder: Path, keys: Keys) -> Read:  # noqa: ARG002
        load = self._item(folder, writes=False, function=_compute_nothing)
        return lambda key, left=0, right=None: self._read(load(key))[left:right]

    def _stored(self, values: Array) -> Any:
        return values

    def _read(self, loaded: Any) -> Array:
        array: Array = loaded
        return array

    def _close(self, item: Any) -> None:
        """Flush what is buffered."""


class CachedHdf5(_SpeechBrain):
    name = "speechbrain CachedHDF5DynamicItem"
    needs = ("speechbrain", "h5py")

    def _item(self, folder: Path, *, writes: bool, function: Callable[[str], Any]) -> Any:
        from speechbrain.integrations.hdf5.cached_item import CachedHDF5DynamicItem

        mode = "a" if writes else "r"
        return CachedHDF5DynamicItem(
            folder, mode, takes=["id"], func=function, provides=["features"]
        )

    def _close(self, item: Any) -> None:
        item.hdf5file.close()


class CachedFiles(_SpeechBrain):
    """One file an utterance by torch.save, of a tensor: torch.load refuses NumPy arrays."""

    name = "speechbrain CachedDynamicItem"
    needs = ("speechbrain",)

    def _item(self, folder: Path, *, writes: bool, function: Callable[[str], Any]) -> Any:  # noqa: ARG002
        from speechbrain.utils.data_pipeline import CachedDynamicItem

        return CachedDynamicItem(folder, takes=["id"], func=function, provides=["features"])

    def _stored(self, values: Array) -> Any:
        import torch

        return torch.from_numpy(values.copy())  # of a view, torch.save writes the whole storage

    def _read(self, loaded: Any) -> Array:
        array: Array = loaded.numpy()
        return array


class HuggingFaceArrow(Contender):
    """Its documented way, `from_generator`; the ArrowWriter within is not for users."""

    name = "HF datasets (Arrow)"
    needs = ("datasets",)

    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        from datasets import Array2D, Dataset, Features, List, Value

        rows = iter(rows)
        first = next(rows)
        dtype, shape = first[1].dtype.name, first[1].shape[1:]
        kind = Array2D((None, *shape), dtype) if shape else List(Value(dtype))
        keys: dict[str, int] = {}

        def generate() -> Iterator[dict[str, Array]]:
            for key, values in chain([first], rows):
                keys[key] = len(keys)
                yield {"values": values}

        written = Dataset.from_generator(
            generate,
            features=Features({"values": kind}),
            cache_dir=str(folder),
            fingerprint="benchmark",  # else it pickles the generator, with all it refers to
        )
        return {"path": written.cache_files[0]["filename"], **keys}

    def reader(self, folder: Path, keys: Keys) -> Read:  # noqa: ARG002
        from datasets import Dataset

        rows = Dataset.from_file(keys["path"]).with_format("numpy")
        return lambda key, left=0, right=None: rows[keys[key]]["values"][left:right]


class KaldiArk(Contender):
    """Kaldi's archives hold float matrices and int32 vectors: tokens double."""

    name = "kaldiio ark"
    needs = ("kaldiio",)

    def write(self, folder: Path, rows: Iterable[Row]) -> Keys:
        from kaldiio import WriteHelper

        with WriteHelper(f"ark,scp:{folder}/features.ark,{folder}/features.scp") as writer:
            for key, values in rows:
                writer(key, values if values.dtype.kind == "f" else values.astype(np.int32))
        return {}

    def reader(self, folder: Path, keys: Keys) -> Read:  # noqa: ARG002
        from kaldiio import load_scp

        rows = load_scp(str(folder / "features.scp"), max_cache_fd=8)
        return lambda key, left=0, right=None: rows[key][left:right]


def _compute_nothing(key: str) -> Any:
    raise KeyError(key)


PEERS: tuple[type[Contender], ...] = (
    NumpyHdf5,
    LilcomChunky,
    NumpyFiles,
    CachedHdf5,
    CachedFiles,
    HuggingFaceArrow,
    KaldiArk,
)
