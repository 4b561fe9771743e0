"""Memory that writers hand on to each other: what a page costs most is to be touched at first.

On virtual machines that give memory back to their host, the first touch takes longer than all that
a writer then does with a page; of huge pages, which are what is given back, several times as long.
So these blocks do not ask for them.
"""

from __future__ import annotations

import mmap
from collections import deque
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.store.platform import populate_new

Array = npt.NDArray[np.uint8]

BLOCK_BYTES = 1 << 23

_MAX_IDLE = 72
_NUM_LAZY = 4
_idle: deque[Array] = deque()  # its methods are atomic: no lock that a forked child could inherit
_num_new = count(1)


def take_block() -> Array:
    """Return a block (BLOCK_BYTES,) of any content, one that was given back where there is one."""
    try:
        return _idle.pop()
    except IndexError:
        # private, or a forked child would share it
        memory = mmap.mmap(-1, BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block = np.frombuffer(memory, np.uint8)
        if next(_num_new) > _NUM_LAZY:  # who needs so many fills them
            populate_new(block)
        return block


def give_block(block: Array) -> None:
    """Give a block back, of which no view is used any more.

    Up to 600 MB wait for the next who writes, a little more than twice the size of a shard; where
    memory is short, the system takes them.
    """
    if len(_idle) < _MAX_IDLE:
        if hasattr(mmap, "MADV_FREE"):
            memory: Any = block.base
            with suppress(OSError):
                memory.obj.madvise(mmap.MADV_FREE)
        _idle.append(block)
