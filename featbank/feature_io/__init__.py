"""Writers and readers of features as YAML recipes name them: by feature, dtype and class."""

from featbank.feature_io.array_files import LilcomFilesReader, NumpyFilesReader
from featbank.feature_io.base import (
    FeatureStorageReader,
    FeatureStorageWriter,
    TracedRows,
    TracedWriter,
)
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
from featbank.feature_io.packed import PackedHdf5Reader, PackedHdf5Writer
from featbank.feature_io.stage_storage import PackedStorage, read_storage, storage_by_name

__all__ = [
    "ChunkedLilcomHdf5Reader",
    "FeatureStorageConfig",
    "FeatureStorageReader",
    "FeatureStorageReaderConfig",
    "FeatureStorageWriter",
    "LilcomChunkyReader",
    "LilcomFilesReader",
    "LilcomHdf5Reader",
    "LilcomHdf5Writer",
    "NumpyFilesReader",
    "NumpyHdf5Reader",
    "NumpyHdf5Writer",
    "PackedHdf5Reader",
    "PackedHdf5Writer",
    "PackedStorage",
    "TracedRows",
    "TracedWriter",
    "create_feature_storage_readers",
    "create_feature_storage_writers",
    "open_features",
    "open_published",
    "read_storage",
    "stated_origin",
    "storage_by_name",
    "storage_configs",
]
