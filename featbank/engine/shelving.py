"""Give finished shards away as a run makes them, so that no disk has to hold the stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from featbank.engine.tasks import ShardResult, ShardTask, Source
from featbank.engine.work import put, shard_path
from featbank.store import Numerics, ShardInfo


class Shelf(Protocol):
    """A place elsewhere that takes finished shards out of a work folder, and remembers them there.

    A shard is known by its path in the work folder, at which one content can be only.
    """

    def begin(self, work: Path) -> None:
        """Find what was taken out of a work folder that this run owns, and is there still."""

    def holds(self, shard: Path, info: ShardInfo) -> bool:
        """Tell whether a shard is safe elsewhere."""

    def take(self, shard: Path, info: ShardInfo) -> None:
        """Take a shard, sooner or later, and remove its file once it is safe.

        Raises:
            StoreError: this one, or one before it, could not be taken: its file is still there.
        """

    def lend(self, shard: Path) -> None:
        """Bring back the file of a shard that is held, until it is taken again."""

    def complete(self, files: Mapping[str, Path]) -> None:
        """Make an output of what was taken: all of it is safe when this returns.

        Args:
            files: by their paths in the output: shards that were taken, and other files.

        Raises:
            StoreError: something could not be taken, or is elsewhere no more.
        """


class Shelving:
    """What a run does with a shelf; nothing at all where it has none."""

    def __init__(self, shelf: Shelf | None, work: Path) -> None:
        """Begin a run.

        Args:
            shelf: that has begun.
            work: folder of what is finished.
        """
        self._shelf = shelf
        self._work = work
        self._lent: dict[tuple[str, str], list[Source]] = {}  # by the split and key of the task
        self._num_uses: Counter[Path] = Counter()

    def shelve(self, name: str, path: Path, info: ShardInfo, numerics: Numerics) -> Path:
        """Hand a shard to the shelf; return its path, or the one that the shelf knows it by.

        A shard of a previous store stays where it is: a second name of it is taken.
        """
        if self._shelf is None:
            return path
        shard = shard_path(self._work, numerics, name, info.name)
        if shard != path and not self._shelf.holds(shard, info):
            put(path, shard)
        self._shelf.take(shard, info)
        return shard

    def lend(self, task: ShardTask) -> None:
        """Bring back shards of which a task may copy rows."""
        if self._shelf is None:
            return
        lent = [
            (path, info)
            for sources in task.sources.values()
            for path, info in sources
            if self._shelf.holds(path, info)
        ]
        for path, _ in lent:
            if not path.exists():
                self._shelf.lend(path)
            self._num_uses[path] += 1
        if lent:
            self._lent[task.split, task.key] = lent

    def take_back(self, result: ShardResult) -> None:
        """Hand back what was lent to a task that is done, unless another one needs it."""
        for path, info in self._lent.pop((result.split, result.key), ()):
            self._num_uses[path] -= 1
            if not self._num_uses[path] and self._shelf is not None:
                self._shelf.take(path, info)
