"""Work of which most is waiting for a server, done on several things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from featbank.files.remote.paths import AnyPath

_AT_ONCE, _TOGETHER = 16, 1024

_T = TypeVar("_T")
_R = TypeVar("_R")


def map_any(root: AnyPath, work: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Give what `work` makes of each item, in order; of another machine's, of 16 at once.

    Args:
        root: folder that the work reads from.
        work: done in threads where the root is a URL.
        items: of which a thousand are taken at a time.
    """
    if isinstance(root, Path):
        yield from map(work, items)
        return
    items = iter(items)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="ask") as threads:
        while some := list(islice(items, _TOGETHER)):
            yield from threads.map(work, some)
