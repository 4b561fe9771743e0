"""Writers and readers of features as YAML recipes name them: by feature, dtype and class."""

from featbank.feature_io.base import (
    FeatureStorageReader,
    FeatureStorageWriter,
    TracedRows,
    TracedWriter,
)
from featbank.feature_io.config import (
    FeatureStorageConfig,
    FeatureStorageReaderConfig,
    read_storage,
    storage_by_name,
)
from featbank.feature_io.hdf5_readers import LilcomHdf5Reader, NumpyHdf5Reader
from featbank.feature_io.hdf5_writers import LilcomHdf5Writer, NumpyHdf5Writer
from featbank.feature_io.making import (
    PackedHdf5Reader,
    PackedHdf5Writer,
    create_feature_storage_readers,
    create_feature_storage_writers,
    open_published,
)

__all__ = [
    "FeatureStorageConfig",
    "FeatureStorageReader",
    "FeatureStorageReaderConfig",
    "FeatureStorageWriter",
    "LilcomHdf5Reader",
    "LilcomHdf5Writer",
    "NumpyHdf5Reader",
    "NumpyHdf5Writer",
    "PackedHdf5Reader",
    "PackedHdf5Writer",
    "TracedRows",
    "TracedWriter",
    "create_feature_storage_readers",
    "create_feature_storage_writers",
    "open_published",
    "read_storage",
    "storage_by_name",
]
