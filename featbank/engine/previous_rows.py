"""Find the rows of a task in shards that are there, so that they are copied and not computed."""

from __future__ import annotations

import logging
from bisect import insort
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from featbank.base.manifest import Utterance
from featbank.engine.previous import same_way, shard_problem
from featbank.engine.tasks import INTERIM, ShardTask, Source
from featbank.errors import FeatbankError, StoreError
from featbank.numerics import as_here
from featbank.store import Encoded, MappedShard, ShardInfo, ShardSpec
from featbank.store.verify import file_problem, is_sound

_log = logging.getLogger(__name__)

_Place = tuple[MappedShard, int]


class OpenedShards:
    """Shards that are open for the tasks of one workload, or window, several of which need them."""

    def __init__(self) -> None:
        self._opened: dict[Source, MappedShard | None] = {}
        self._rows: dict[Path, dict[str, int]] = {}

    def open(self, source: Source, spec: ShardSpec) -> MappedShard | None:
        """Open a shard; None where it is damaged, or nothing of it may be copied.

        Args:
            source: the shard.
            spec: of the shard that it would be copied to, which is of one numerics class.
        """
        if source not in self._opened:
            self._opened[source] = _open(*source)
        shard = self._opened[source]
        if shard is None:
            return None
        found = shard.spec.numerics
        usable = same_way(shard.spec, spec) and found == as_here(found, spec.numerics)
        return shard if usable else None

    def rows(self, shard: MappedShard) -> Mapping[str, int]:
        """Return the rows of a small shard by their ids."""
        if shard.path not in self._rows:
            self._rows[shard.path] = {name: row for row, name in enumerate(shard.ids())}
        return self._rows[shard.path]

    def close(self) -> None:
        """Let go of all of them, so that the disk has the room of those that were removed."""
        self._opened.clear()
        self._rows.clear()


class PreviousRows:
    """The rows of a task that are in previous shards, or in interim ones of its run."""

    def __init__(
        self,
        task: ShardTask,
        specs: Mapping[str, ShardSpec],
        opened: OpenedShards | None = None,
    ) -> None:
        """Open the shards, and find the rows.

        Args:
            task: which names the shards.
            specs: of the new shards, by feature name. Nothing is copied from another numerics
                class, for a shard is of one.
            opened: keeps them open for other tasks.
        """
        opened = opened or OpenedShards()
        self._damaged: set[Path] = set()
        self._interim = {path for sources in task.interim.values() for path, _ in sources}
        self._shards = {
            name: [
                (shard, source[1])
                for source in task.sources.get(name, ())
                if not _is_used_up(source[0]) and (shard := opened.open(source, specs[name]))
            ]
            for name in task.names
        }
        of_names = [self._places_of(name, task, specs[name], opened) for name in task.names]
        self._places = {
            row.id: {
                name: places[row.id] for name, places in zip(task.names, of_names, strict=True)
            }
            for row in task.rows
            if all(row.id in places for places in of_names)
        }

    def __contains__(self, utterance_id: str) -> bool:
        """Tell whether a row is there under every name."""
        return utterance_id in self._places

    def counts(self) -> Counter[Source]:
        """Return how many rows each shard has for this task."""
        found = Counter(
            shard.path for places in self._places.values() for shard, _ in places.values()
        )
        infos = {shard.path: info for shards in self._shards.values() for shard, info in shards}
        return Counter(
            {(path, infos[path]): number for path, number in found.items() if path in infos}
        )

    def is_interim(self, row: Utterance) -> bool:
        """Tell whether a row that is there is from an interim shard of this run."""
        return any(shard.path in self._interim for shard, _ in self._places[row.id].values())

    def find(self, row: Utterance) -> dict[str, Encoded] | None:
        """Return the values of a row under every name, as they are stored; None where one lacks."""
        found = {}
        for name, (shard, place) in self._places.get(row.id, {}).items():
            try:
                if not is_sound(shard, place):
                    self._warn(shard, row, "expected other values")
                    return None
                frames, scale = shard.stored(place), shard.scale(place)
            except StoreError as error:  # values that cannot be decompressed
                self._warn(shard, row, error)
                return None
            found[name] = Encoded(frames, scale, *shard.rounding_error(place))
        return found or None

    def whole(self, name: str, shard: str) -> Source | None:
        """Return the previous shard of this very name, where all its bytes are as written."""
        for mapped, info in self._shards[name]:
            if info.name != shard:
                continue
            if problem := shard_problem(mapped.path, mapped.spec, info):
                _log.warning("%s is not taken over: %s", mapped.path, problem)
            else:
                return mapped.path, info
        return None

    def _places_of(
        self, name: str, task: ShardTask, spec: ShardSpec, opened: OpenedShards
    ) -> dict[str, _Place]:
        """Find the rows under one name."""
        wanted = {row.id: row for row in task.rows}
        found: dict[str, _Place] = {}
        for source in task.interim.get(name, ()):
            if shard := opened.open(source, spec):
                try:
                    rows = opened.rows(shard)
                except StoreError as error:
                    _log.warning("nothing is copied from %s: %s", shard.path, error)
                    continue
                for utterance_id in rows.keys() & wanted.keys():
                    number = rows[utterance_id]
                    if shard.input_digest(number) == wanted[utterance_id].input_digest:
                        found[utterance_id] = shard, number
        around = _Around(self._shards[name])
        for row in task.rows:
            if row.id not in found and (place := self._place(row, around.id(row.id))):
                found[row.id] = place
        return found

    def _place(self, row: Utterance, shards: Iterable[MappedShard]) -> _Place | None:
        for shard in shards:
            try:
                place = shard.find(row.id)
            except StoreError as error:  # an index that leads nowhere
                self._warn(shard, row, error)
                continue
            if place is not None and shard.input_digest(place) == row.input_digest:
                return shard, place
        return None

    def _warn(self, shard: MappedShard, row: Utterance, problem: object) -> None:
        """Say that a shard is damaged: once, for all of its rows may be so."""
        if shard.path not in self._damaged:
            self._damaged.add(shard.path)
            _log.warning("%s is damaged at %r, computed anew: %s", shard.path, row.id, problem)


class _Around:
    """The shards whose ids lie around one id after another: few of the thousands that may be."""

    def __init__(self, shards: Sequence[tuple[MappedShard, ShardInfo]]) -> None:
        """Take shards, in the order in which they are given out."""
        numbered = [(number, *one) for number, one in enumerate(shards)]
        self._coming = deque(sorted(numbered, key=lambda one: one[2].first_id))
        self._around: list[tuple[int, MappedShard, ShardInfo]] = []

    def id(self, utterance_id: str) -> Iterable[MappedShard]:
        """Give the shards around an id, none of which is below the last one asked for."""
        while self._coming and self._coming[0][2].first_id <= utterance_id:
            insort(self._around, self._coming.popleft(), key=lambda one: one[0])
        self._around = [one for one in self._around if one[2].last_id >= utterance_id]
        return (shard for _, shard, _ in self._around)


def _is_used_up(path: Path) -> bool:
    """Tell whether a shard was an interim one of a stopped run, removed since this one began."""
    return path.parents[2].name == INTERIM and not path.exists()


def _open(path: Path, info: ShardInfo) -> MappedShard | None:
    try:
        shard = MappedShard(path, info.num_bytes)
        problem = file_problem(path, shard.spec, info)  # ids, scales and the like have no checksum
    except (FeatbankError, OSError) as error:
        problem = str(error)
    if problem:
        _log.warning("nothing is copied from %s: %s", path, problem)
        return None
    return shard
