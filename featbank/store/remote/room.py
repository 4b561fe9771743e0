"""Keep a cache within its bound: who writes removes the shards that were not read for longest."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK_BYTES = 512
_LEFT_OVER_S = 3600.0
_KEPT = re.compile(r"([0-9a-f]{64})\.(?:head|rows)")
_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial")


@dataclass(slots=True)
class _Stored:
    used_s: float = 0.0
    num_bytes: int = 0
    paths: list[Path] = field(default_factory=list)


def make_room(folder: Path, max_bytes: int) -> int:
    """Remove shards from a cache until what it takes on the disk is within a bound.

    Another process may do the same, or read what goes: an open file stays until it is closed. What
    a killed one left half made goes after an hour. Files of other names are somebody's own, for
    whoever says where caches lie may name a folder that is in use: they stay, and do not count.

    Args:
        folder: of files `<digest>.head` and `.rows`, and `.<number>.partial` that are being made.
        max_bytes: of all of them.

    Returns:
        The bytes that the shards in it take now.
    """
    shards: dict[str, _Stored] = {}
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if (named := _KEPT.fullmatch(entry.name)) is None:
                is_partial = _PARTIAL.fullmatch(entry.name)
                if is_partial and time.time() - found.st_mtime > _LEFT_OVER_S:
                    _unlink(Path(entry.path))
                continue
            num_bytes = found.st_blocks * _BLOCK_BYTES  # of a file with holes, what it takes
            kept = shards.setdefault(named[1], _Stored())
            kept.used_s = max(kept.used_s, found.st_atime, found.st_mtime)
            kept.num_bytes += num_bytes
            kept.paths.append(Path(entry.path))
            total += num_bytes
    for kept in sorted(shards.values(), key=lambda one: one.used_s):
        if total <= max_bytes:
            break
        for path in kept.paths:
            _unlink(path)
        total -= kept.num_bytes
    return total


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
