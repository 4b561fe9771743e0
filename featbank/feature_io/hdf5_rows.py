"""State in attributes what each row of an HDF5 file was computed from; lhotse passes them by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featbank.errors import StoreError
from featbank.feature_io.hdf5_readers import open_hdf5
from featbank.files.json_files import parse_json
from featbank.files.provenance import canonical_json
from featbank.store import Encoded
from featbank.store.encoding import Array, checksum

_FINGERPRINT = "featbank_fingerprint"
_PROVENANCE = "featbank_provenance"
_ROW = "featbank_row"
_DIGEST_BYTES = 16
_MAX_ATTRIBUTE = 60_000  # bytes; HDF5 has room for 64 KiB


def state_origin(file: h5py.File, fingerprint: str, provenance: Mapping[str, Any]) -> None:
    """Write down what determines the values of a file; the parts of it, where they have room."""
    file.attrs[_FINGERPRINT] = np.bytes_(fingerprint.encode())
    text = canonical_json(provenance).encode()
    if len(text) <= _MAX_ATTRIBUTE:
        file.attrs[_PROVENANCE] = np.bytes_(text)


def state_input(dataset: h5py.Dataset, stored: Array, input_digest: bytes) -> None:
    """Write down from what an utterance was computed, and the checksum of its stored bytes."""
    data = input_digest + checksum(stored).to_bytes(8, "little")
    dataset.attrs[_ROW] = np.void(data)


def as_stored(dataset: h5py.Dataset) -> Array:
    """Return what a dataset holds: its array, or the bytes of its blob."""
    if dataset.dtype.kind == "V":
        return np.frombuffer(dataset[()].tobytes(), np.uint8)
    values: Array = np.ascontiguousarray(dataset[()])
    return values


class Hdf5Rows:
    """The rows of a file that `state_origin` and `state_input` described, to take them over."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            StoreError: it is not there, or no HDF5 file.
        """
        self._path = path
        self._file = open_hdf5(path)

    @property
    def fingerprint(self) -> str:
        """As it was stated; empty where nothing was."""
        return _text(self._file.attrs.get(_FINGERPRINT))

    @property
    def provenance(self) -> Mapping[str, Any]:
        """As it was stated; empty where it had no room."""
        text = _text(self._file.attrs.get(_PROVENANCE))
        found: Mapping[str, Any] = (
            parse_json(text, f"file {self._path}", StoreError) if text else {}
        )
        return found

    def input_digest(self, key: str) -> bytes:
        """Return the 16 bytes that an utterance was written with; zeros where there were none."""
        return self._stated(self._dataset(key))[:_DIGEST_BYTES]

    def encoded(self, key: str) -> Encoded:
        """Return an utterance as it is stored.

        Raises:
            StoreError: an id that is not there, or bytes that are not those that were written.
        """
        dataset = self._dataset(key)
        where = f"utterance {key!r} in {self._path}"
        try:
            stored = as_stored(dataset)
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            raise StoreError(where, expected="values as they were written", got=error) from error
        if checksum(stored).to_bytes(8, "little") != self._stated(dataset)[_DIGEST_BYTES:]:
            raise StoreError(where, expected="the values that were written", got="others")
        return Encoded(stored)

    def __contains__(self, key: object) -> bool:
        """Tell whether an id is there."""
        return isinstance(key, str) and isinstance(self._file.get(key), h5py.Dataset)

    def __len__(self) -> int:
        """Return the number of utterances."""
        found: list[str] = []
        self._file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        return len(found)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _dataset(self, key: str) -> h5py.Dataset:
        found = self._file.get(key)
        if not isinstance(found, h5py.Dataset):
            raise StoreError(f"file {self._path}", expected="an id that it holds", got=repr(key))
        return found

    def _stated(self, dataset: h5py.Dataset) -> bytes:
        stated = dataset.attrs.get(_ROW)
        data = stated.tobytes() if isinstance(stated, np.void) else b""
        return data if len(data) == _DIGEST_BYTES + 8 else bytes(_DIGEST_BYTES)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
