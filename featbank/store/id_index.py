"""The index of a shard's ids: a hash table that is searched in place, in the memory map.

Open addressing with linear probing, in the order of the hashes (Amble and Knuth, 1974), which makes
the table a function of the set of ids. A slot is 0 when empty, else the lower 32 bits of the id's
XXH3-64 in its upper half and the row + 1 in its lower half; the upper bits of the hash say where
the search begins. One slot in three is empty, so a search takes about two looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

MAX_ROWS = (1 << 32) - 2
LOW_BITS = (1 << 32) - 1


def num_home_slots(num_rows: int) -> int:
    """Return how many slots a search can begin at."""
    return num_rows + num_rows // 2 + 1


def home_slot(id_hash: int, home_slots: int) -> int:
    """Return the slot at which the search for a hash begins (Lemire, 2019).

    >>> home_slot(0, 10), home_slot((1 << 64) - 1, 10)
    (0, 9)
    """
    return (id_hash * home_slots) >> 64


def build_slots(keys: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Build the table for the ids of the rows 0, 1, ..., in UTF-8; its last slot is empty."""
    num_rows, home_slots = len(keys), num_home_slots(len(keys))
    hashes = np.fromiter(map(xxh3_64_intdigest, keys), np.uint64, num_rows)
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    # 64 x 32 bit product, its upper 64 bits: NumPy has no wider integers
    high, low = hashes >> np.uint64(32), hashes & np.uint64(LOW_BITS)
    carried = high * np.uint64(home_slots) + ((low * np.uint64(home_slots)) >> np.uint64(32))
    homes = (carried >> np.uint64(32)).astype(np.int64)
    # each takes its home or the first free slot behind: home + the longest queue up to here
    places = np.arange(num_rows) + np.maximum.accumulate(homes - np.arange(num_rows))
    num_slots = max(home_slots, int(places[-1]) + 1 if num_rows else 0) + 1
    slots: npt.NDArray[Any] = np.zeros(num_slots, "<u8")
    slots[places] = (low << np.uint64(32)) | (order.astype(np.uint64) + np.uint64(1))
    return slots
