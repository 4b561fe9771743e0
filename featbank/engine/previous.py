"""Find what a run can reuse: shards and rows of previous stores, and of runs that were stopped."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from featbank.engine.run import OnDamage
from featbank.engine.tasks import Source
from featbank.errors import FeatbankError, StoreError
from featbank.store import (
    HEADER_NAME,
    MappedShard,
    ShardInfo,
    ShardSpec,
    StoreHeader,
    read_header,
)
from featbank.store.failure_list import read_listed_failures
from featbank.store.format import FAILURES_NAME
from featbank.store.verify import damaged_rows, file_problem

_log = logging.getLogger(__name__)


class PreviousShards:
    """The shards of one feature in previous stores that were made in the same way as the new ones.

    A store that was made in another way, or whose header is damaged, has nothing to take over: it
    is passed by.

    Attributes:
        failed: ids of utterances that those stores could not hold.
    """

    def __init__(
        self, folders: Iterable[Path], spec: ShardSpec, on_damage: OnDamage = lambda _: None
    ) -> None:
        """Read the headers.

        Args:
            folders: of stores; those that are not there are passed by.
            spec: of the new shards, but for their numerics class.
            on_damage: told each header and failure list that is damaged.
        """
        self._spec = spec
        self._on_damage = on_damage
        self.failed: set[str] = set()
        self._by_name: dict[str, Source] = {}
        # shards of one part of one store do not overlap: sorted by their last ids
        self._runs: dict[str, list[list[Source]]] = defaultdict(list)
        for folder in folders:
            if (folder / HEADER_NAME).is_file():
                try:
                    header = read_header(folder)
                except (FeatbankError, OSError) as error:
                    _log.warning("nothing is taken over from store %s: %s", folder, error)
                    on_damage(folder / HEADER_NAME)
                else:
                    self._add(folder, header)

    def add_finished(self, shards: Iterable[Source]) -> None:
        """Let rows be copied from shards of runs that were stopped, made in the same way.

        They may be of several versions of a manifest, and overlap.
        """
        ordered = sorted(shards, key=lambda source: source[1].first_id)
        runs: dict[str, list[list[Source]]] = defaultdict(list)
        for source in ordered:
            of_part = runs[source[1].part]
            for run in of_part:
                if run[-1][1].last_id < source[1].first_id:
                    run.append(source)
                    break
            else:
                of_part.append([source])
        for part, new in runs.items():
            self._runs[part] += new

    def named(self, name: str) -> Source | None:
        """Return a shard of exactly this name, which is made from exactly these rows."""
        return self._by_name.get(name)

    @property
    def num_utterances(self) -> int:
        """How many utterances the stores and the stopped runs have, some perhaps twice."""
        return sum(
            info.num_utterances for runs in self._runs.values() for run in runs for _, info in run
        )

    @property
    def num_bytes(self) -> int:
        """The size of all of them."""
        return sum(info.num_bytes for _, info in self._by_name.values())

    def overlapping(self, part: str, first_id: str, last_id: str) -> Iterator[Source]:
        """Give the shards whose ids lie around these, so that they may hold some of the rows.

        Those of the same part come first; a row may have been of another part before.
        """
        others = (runs for of, runs in self._runs.items() if of != part)
        for run in chain(self._runs.get(part, []), *others):
            start = bisect_left(run, first_id, key=lambda entry: entry[1].last_id)
            for source in run[start:]:
                if source[1].first_id > last_id:
                    break
                yield source

    def open_whole(self, source: Source) -> MappedShard | None:
        """Open a shard that may be taken over as it is; None where it cannot be read.

        Whether its bytes are those that were written is for `shard_problem` to tell.
        """
        path, info = source
        try:
            shard = MappedShard(path, info.num_bytes)
        except (FeatbankError, OSError) as error:
            _log.warning("%s is not taken over: %s", path, error)
            self._on_damage(path)
            return None
        return shard if same_way(shard.spec, self._spec) else None

    def _add(self, folder: Path, header: StoreHeader) -> None:
        spec = self._spec
        described = (header.dtype, header.shape, header.compression, header.fingerprint)
        if described != (spec.dtype, spec.shape, spec.compression, spec.fingerprint):
            return
        try:
            self.failed.update(failure.id for failure in read_listed_failures(folder, header))
        except StoreError as error:  # then those that failed are tried like any other
            _log.warning("%s", error)
            self._on_damage(folder / FAILURES_NAME)
        runs: dict[str, list[Source]] = defaultdict(list)
        num_lacking = 0
        for info in header.shards:  # sorted by part, then id
            entry = (folder / info.name, info)
            if not entry[0].is_file():  # dvc pull may fetch some, and dvc gc remove them
                num_lacking += 1
                continue
            self._by_name.setdefault(info.name, entry)
            runs[info.part].append(entry)
        if num_lacking:
            _log.warning(
                "store %s lacks %d of its %d shards: their utterances are computed anew",
                folder,
                num_lacking,
                len(header.shards),
            )
        for part, run in runs.items():
            self._runs[part].append(run)


def shard_problem(path: Path, made: ShardSpec, info: ShardInfo) -> str | None:
    """Read a whole shard; return what is wrong with it, or None when all bytes are as written.

    Plain values are held against their checksums, and all else, compressed values too, against the
    digest.

    Args:
        path: of the shard.
        made: says what it is stored as.
        info: what a header, or the result of the task that made it, says of it.
    """
    try:
        if problem := file_problem(path, made, info):
            return problem
        shard = MappedShard(path, info.num_bytes)
        damaged = next(damaged_rows(shard), None) if info.values_start else None
    except (FeatbankError, OSError) as error:
        return str(error)
    return None if damaged is None else f"expected other values of {damaged!r}"


def same_way(one: ShardSpec, other: ShardSpec) -> bool:
    """Tell whether two shards were made in the same way, whatever machine made them."""
    return replace(one, numerics={}) == replace(other, numerics={})
