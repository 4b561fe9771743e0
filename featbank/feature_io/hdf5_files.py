"""Names and kinds of datasets in HDF5 files with one an utterance, and lilcom.

The references are lhotse's `NumpyHdf5Writer`, `LilcomHdf5Writer` and `ChunkedLilcomHdf5Writer` with
their readers, and speechbrain's `CachedHDF5DynamicItem`. A file of a million datasets reads many
times slower than a packed store; these are for exchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import h5py

from featbank.errors import StoreError
from featbank.feature_io.file_reader import with_suffix
from featbank.feature_io.frames import DAMAGE, NUMBERS
from featbank.store.format import SHARD_FORMAT

CHUNK_SIZE_KEY = "__LHOTSE_INTERNAL_CHUNK_SIZE__"
"""The dataset, beside those of the utterances, in which lhotse keeps the frames of a chunk."""

Kind = Literal["shard", "numbers", "lilcom", "chunked lilcom", "other"]


def hdf5_path(storage_path: str | Path) -> Path:
    """Return the path of a file, with `.h5` behind its name as lhotse has it."""
    return with_suffix(Path(storage_path), ".h5")


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Raise what h5py raises of a damaged file as a `StoreError` that names it."""
    try:
        yield
    except DAMAGE as error:
        raise StoreError(f"file {path}", expected="a sound HDF5 file", got=error) from error


def kind_of(dataset: h5py.Dataset) -> Kind:
    """Tell what the dataset of an utterance holds."""
    dtype, shape = dataset.dtype, dataset.shape
    if dtype.kind in NUMBERS and shape:
        return "numbers"
    if dtype.kind == "V" and dtype.names is None and shape == ():
        return "lilcom"
    if h5py.check_vlen_dtype(dtype) == "uint8" and shape is not None and len(shape) == 1:
        return "chunked lilcom"
    return "other"


def kind_of_file(file: h5py.File) -> Kind | None:
    """Tell what a file holds by its first dataset; None for a file of none."""
    if file.attrs.get("format") in (SHARD_FORMAT, SHARD_FORMAT.encode()):
        return "shard"
    if CHUNK_SIZE_KEY in file:
        return "chunked lilcom"
    first: Any = file.visititems(
        lambda _name, item: item if isinstance(item, h5py.Dataset) else None
    )
    return None if first is None else kind_of(first)


def told(dataset: h5py.Dataset) -> str:
    """Say what a dataset holds, for errors."""
    known = {
        "lilcom": "bytes, as a lilcom-compressed file has them",
        "chunked lilcom": "chunks of bytes, as a file of chunked lilcom has them",
    }
    return known.get(kind_of(dataset), f"{dataset.dtype} of shape {dataset.shape}")


def import_lilcom() -> Any:
    """Return the module.

    Raises:
        StoreError: it is not installed.
    """
    try:
        import lilcom
    except ImportError as error:
        raise StoreError.of_absent(
            "a lilcom-compressed file", "lilcom", "archive", error
        ) from error
    return lilcom
