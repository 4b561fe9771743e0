"""Read the ids of a shard, wherever its file is, and nothing else of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

import h5py
import numpy as np

from featbank.errors import StoreError

MAGIC = b"\x89HDF\r\n\x1a\n"
"""The first bytes of a shard, as of any HDF5 file."""

_ROWS_AT_ONCE = 1 << 16


def read_shard_ids(file: BinaryIO, where: str) -> Iterator[str]:
    """Give the ids of a shard in order; they stand before its values, also where these are packed.

    Args:
        file: of the shard, opened.
        where: it lies, for errors.

    Raises:
        StoreError: it is no shard of this version of the format, or a damaged one.
    """
    try:
        with h5py.File(file, "r") as shard:
            starts, id_bytes = shard["row_starts"], shard["id_bytes"]
            num_rows = len(starts) - 1
            for first in range(0, num_rows, _ROWS_AT_ONCE):
                last = min(num_rows, first + _ROWS_AT_ONCE)
                places = np.asarray(starts[first : last + 1, 1])
                text = np.asarray(id_bytes[places[0] : places[-1]], np.uint8).tobytes()
                places = (places - places[0]).tolist()
                if sorted(places) != places or places[-1] != len(text):
                    raise ValueError("ids that do not follow one another")
                for start, stop in pairwise(places):
                    yield text[start:stop].decode()
    except (OSError, KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(where, expected="a shard whose ids can be read", got=error) from error
