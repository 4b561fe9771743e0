"""Writers and readers of features as YAML recipes name them: by feature, dtype and class.

Everything here is imported when it is first asked for: who writes packed stores has no use for the
other writers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from featbank.base.registry import Registry

if TYPE_CHECKING:
    from featbank.feature_io.array_files import LilcomFilesReader, NumpyFilesReader
    from featbank.feature_io.base import (
        FeatureStorageReader,
        FeatureStorageWriter,
        TracedRows,
        TracedWriter,
    )
    from featbank.feature_io.cmvn import compute_cmvn
    from featbank.feature_io.cmvn_file import Cmvn, read_cmvn, write_cmvn
    from featbank.feature_io.config import (
        FeatureStorageConfig,
        FeatureStorageReaderConfig,
        storage_configs,
    )
    from featbank.feature_io.content import open_features
    from featbank.feature_io.hdf5_readers import (
        ChunkedLilcomHdf5Reader,
        LilcomHdf5Reader,
        NumpyHdf5Reader,
    )
    from featbank.feature_io.hdf5_writers import LilcomHdf5Writer, NumpyHdf5Writer
    from featbank.feature_io.lilcom_chunky import LilcomChunkyReader
    from featbank.feature_io.making import (
        create_feature_storage_readers,
        create_feature_storage_writers,
        open_published,
        stated_origin,
    )
    from featbank.feature_io.normalized import NormalizedStore
    from featbank.feature_io.packed import PackedHdf5Reader, PackedHdf5Writer
    from featbank.feature_io.stage_storage import PackedStorage, read_storage, storage_by_name

WRITERS = Registry(
    kind="feature writer",
    group="featbank.writers",
    contract="featbank.feature_io.base:FeatureStorageWriter",
    table={
        "packed_hdf5": "featbank.feature_io.packed:PackedHdf5Writer",
        "numpy_hdf5": "featbank.feature_io.hdf5_writers:NumpyHdf5Writer",
        "lilcom_hdf5": "featbank.feature_io.hdf5_writers:LilcomHdf5Writer",
    },
)
READERS = Registry(
    kind="feature reader",
    group="featbank.readers",
    contract="featbank.feature_io.base:FeatureStorageReader",
    table={
        "packed_hdf5": "featbank.feature_io.packed:PackedHdf5Reader",
        "numpy_hdf5": "featbank.feature_io.hdf5_readers:NumpyHdf5Reader",
        "lilcom_hdf5": "featbank.feature_io.hdf5_readers:LilcomHdf5Reader",
        "chunked_lilcom_hdf5": "featbank.feature_io.hdf5_readers:ChunkedLilcomHdf5Reader",
        "lilcom_chunky": "featbank.feature_io.lilcom_chunky:LilcomChunkyReader",
        "numpy_files": "featbank.feature_io.array_files:NumpyFilesReader",
        "lilcom_files": "featbank.feature_io.array_files:LilcomFilesReader",
    },
)

_MODULES = {
    "Cmvn": "cmvn_file",
    "FeatureStorageConfig": "config",
    "FeatureStorageReader": "base",
    "FeatureStorageReaderConfig": "config",
    "FeatureStorageWriter": "base",
    "NormalizedStore": "normalized",
    "PackedStorage": "stage_storage",
    "TracedRows": "base",
    "TracedWriter": "base",
    "compute_cmvn": "cmvn",
    "create_feature_storage_readers": "making",
    "create_feature_storage_writers": "making",
    "open_features": "content",
    "open_published": "making",
    "read_cmvn": "cmvn_file",
    "read_storage": "stage_storage",
    "stated_origin": "making",
    "storage_by_name": "stage_storage",
    "storage_configs": "config",
    "write_cmvn": "cmvn_file",
}

__all__ = [
    "READERS",
    "WRITERS",
    "ChunkedLilcomHdf5Reader",
    "Cmvn",
    "FeatureStorageConfig",
    "FeatureStorageReader",
    "FeatureStorageReaderConfig",
    "FeatureStorageWriter",
    "LilcomChunkyReader",
    "LilcomFilesReader",
    "LilcomHdf5Reader",
    "LilcomHdf5Writer",
    "NormalizedStore",
    "NumpyFilesReader",
    "NumpyHdf5Reader",
    "NumpyHdf5Writer",
    "PackedHdf5Reader",
    "PackedHdf5Writer",
    "PackedStorage",
    "TracedRows",
    "TracedWriter",
    "compute_cmvn",
    "create_feature_storage_readers",
    "create_feature_storage_writers",
    "open_features",
    "open_published",
    "read_cmvn",
    "read_storage",
    "stated_origin",
    "storage_by_name",
    "storage_configs",
    "write_cmvn",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    try:
        return WRITERS.offer(name)
    except AttributeError:
        return READERS.offer(name)
