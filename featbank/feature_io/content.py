"""Open features by what stands there, whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from featbank.errors import StoreError
from featbank.feature_io.array_files import LilcomFilesReader, NumpyFilesReader
from featbank.feature_io.base import FeatureStorageReader
from featbank.feature_io.file_reader import absent, is_file, with_suffix
from featbank.feature_io.hdf5_files import kind_of_file, sound
from featbank.feature_io.hdf5_readers import (
    ChunkedLilcomHdf5Reader,
    LilcomHdf5Reader,
    NumpyHdf5Reader,
    open_hdf5,
    shard_alone,
)
from featbank.feature_io.lilcom_chunky import LilcomChunkyReader
from featbank.feature_io.packed import PackedHdf5Reader
from featbank.files.opening import open_regular
from featbank.store.joining import is_store

_BY_KIND = {
    None: NumpyHdf5Reader,  # a file of nobody
    "numbers": NumpyHdf5Reader,
    "lilcom": LilcomHdf5Reader,
    "chunked lilcom": ChunkedLilcomHdf5Reader,
}
_LILCOM_MAGIC = b"L"


def open_features(storage_path: str | Path, *, name: str | None = None) -> FeatureStorageReader:
    """Open a packed store, or a file or folder of lhotse's or speechbrain's, by its content.

    A packed store, or a folder of its splits, gives a `PackedHdf5Reader`; HDF5 files of one dataset
    an utterance, `.lca` files, and folders of `.npy` or `.llc` files give the reader of that kind.

    Args:
        storage_path: of it; `.h5` or `.lca` is added where nothing is there without it.
        name: of the feature, where a file does not state it; None for the name of the file.

    Raises:
        StoreError: nothing is there, or nothing that is read.
    """
    path = Path(storage_path)
    for place in (path, with_suffix(path, ".h5"), with_suffix(path, ".lca")):
        if is_file(place):
            return _open_file(place, name)
    if not os.path.lexists(path):
        raise absent(path)
    return _open_folder(path, name)


def _open_folder(path: Path, name: str | None) -> FeatureStorageReader:
    if not is_store(path):
        endings = _endings(path)
        if endings == {".npy"}:
            return NumpyFilesReader(path, name=name)
        if endings == {".llc"}:
            return LilcomFilesReader(path, name=name)
        if endings:
            raise StoreError(
                f"features {path}",
                expected="files of one kind",
                got=" and ".join(sorted(endings)),
                hint="name the reader: NumpyFilesReader or LilcomFilesReader",
            )
        files = [one.name for one in sorted(path.iterdir()) if one.is_file() and _is_hdf5(one)]
        if files:
            raise StoreError(
                f"features {path}",
                expected="a packed store",
                got=f"HDF5 files in a folder: {', '.join(files[:3])}",
                hint="open a file itself",
            )
    reader = PackedHdf5Reader(path, name=name)
    reader.refuse_misplaced()
    return reader


def _endings(path: Path) -> set[str]:
    """Return of which kinds the files in a folder, and in those below it, are."""
    found = set()
    for folder in (path, *(one for one in path.iterdir() if one.is_dir())):
        found |= {one.suffix for one in folder.glob("[!.]*") if one.suffix in (".npy", ".llc")}
    return found


def _open_file(path: Path, name: str | None) -> FeatureStorageReader:
    try:
        with open_regular(path) as file:
            start = file.read(len(_LILCOM_MAGIC))
    except OSError as error:
        raise StoreError(f"features {path}", expected="a file", got=error) from error
    if start == _LILCOM_MAGIC:
        return LilcomChunkyReader(path, name=name)
    if not _is_hdf5(path):
        raise StoreError(
            f"features {path}",
            expected="a packed store, an HDF5 file, or a file of lilcom chunks",
            got="another file",
        )
    with open_hdf5(path) as opened, sound(path):
        kind = kind_of_file(opened)
    if kind == "shard":
        raise shard_alone(path)
    if kind not in _BY_KIND:
        raise StoreError(
            f"features {path}",
            expected="datasets of numbers, or of lilcom's bytes",
            got="other datasets",
        )
    return _BY_KIND[kind](path, name=name)


def _is_hdf5(path: Path) -> bool:
    return bool(h5py.is_hdf5(path))
