"""The rows of a task that earlier shards hold: they are copied from there, not computed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from featbank.base.manifest import Utterance
from featbank.engine.earlier import same_way, shard_problem
from featbank.engine.tasks import ShardTask, Source
from featbank.errors import FeatbankError, StoreError
from featbank.numerics import as_here
from featbank.store import Encoded, MappedShard, ShardInfo, ShardSpec
from featbank.store.verify import file_problem, is_sound

_log = logging.getLogger(__name__)


class EarlierRows:
    """Looks the rows of a task up in the shards that it may copy from."""

    def __init__(self, task: ShardTask, specs: Mapping[str, ShardSpec]) -> None:
        """Open the shards, and find the rows.

        Args:
            task: which names the shards.
            specs: of the new shards, by feature name. Nothing is copied from another numerics
                class, for a shard is of one.
        """
        self._shards: dict[str, list[tuple[MappedShard, ShardInfo]]] = {
            name: [
                (shard, info)
                for path, info in task.sources.get(name, ())
                if (shard := _open_earlier(path, info, specs[name]))
            ]
            for name in task.names
        }
        self._damaged: set[Path] = set()
        self._places = {row.id: place for row in task.rows if (place := self._place(row))}

    def __contains__(self, utterance_id: str) -> bool:
        """Tell whether a row is there under every name."""
        return utterance_id in self._places

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
        """Return the earlier shard of this very name, where all its bytes are as written."""
        for mapped, info in self._shards[name]:
            if info.name != shard:
                continue
            if problem := shard_problem(mapped.path, mapped.spec, info):
                _log.warning("%s is not taken over: %s", mapped.path, problem)
            else:
                return mapped.path, info
        return None

    def _place(self, row: Utterance) -> dict[str, tuple[MappedShard, int]] | None:
        places = {}
        for name, shards in self._shards.items():
            for shard, _ in shards:
                try:
                    place = shard.find(row.id)
                except StoreError as error:  # an index that leads nowhere
                    self._warn(shard, row, error)
                    continue
                if place is not None and shard.input_digest(place) == row.input_digest:
                    places[name] = (shard, place)
                    break
            else:
                return None
        return places

    def _warn(self, shard: MappedShard, row: Utterance, problem: object) -> None:
        """Say that a shard is damaged: once, for all of its rows may be so."""
        if shard.path not in self._damaged:
            self._damaged.add(shard.path)
            _log.warning("%s is damaged at %r, computed anew: %s", shard.path, row.id, problem)


def _open_earlier(path: Path, info: ShardInfo, spec: ShardSpec) -> MappedShard | None:
    try:
        shard = MappedShard(path, info.num_bytes)
        problem = file_problem(path, shard.spec, info)  # ids, scales and the like have no checksum
    except (FeatbankError, OSError) as error:
        problem = str(error)
    if problem:
        _log.warning("nothing is copied from %s: %s", path, problem)
        return None
    # a shard is of one numerics class
    found = shard.spec.numerics
    usable = same_way(shard.spec, spec) and found == as_here(found, spec.numerics)
    return shard if usable else None
