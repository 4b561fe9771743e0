"""What HDF5 files with one dataset an utterance share: their names, and lilcom.

The references are lhotse's `NumpyHdf5Writer` and `LilcomHdf5Writer` with their readers. A file of a
million datasets reads many times slower than a packed store; these are for exchange.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featbank.errors import StoreError


def hdf5_path(storage_path: str | Path) -> Path:
    """Return the path of a file, with `.h5` behind its name as lhotse has it.

    >>> hdf5_path("feats/fbank.v2").name
    'fbank.v2.h5'
    """
    path = Path(storage_path)
    return path if path.suffix == ".h5" else path.with_name(path.name + ".h5")


def import_lilcom() -> Any:
    """Return the module.

    Raises:
        StoreError: it is not installed.
    """
    try:
        import lilcom
    except ImportError as error:
        raise StoreError(
            "a lilcom-compressed file",
            expected="lilcom",
            got=error,
            hint="install the extra: pip install 'featbank[archive]'",
        ) from error
    return lilcom
