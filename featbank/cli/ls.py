"""`featbank ls STORE`: list utterances, or shards; only the shards that are shown are opened."""

from __future__ import annotations

import argparse
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from featbank.base.amounts import amount
from featbank.base.printing import at_least, print_json_rows, print_note, size_text
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE
from featbank.cli.stores import add_store_command, duration_s, read_splits
from featbank.store import ShardInfo, Store, open_store


def _count(key: str) -> TableColumn:
    return TableColumn(
        key=key, heading=key.removeprefix("num_"), is_number=True, show="{:,}".format
    )


_OF_ROWS = (
    TableColumn(key="split"),
    TableColumn(key="part"),
    TableColumn(key="id"),
    _count("num_frames"),
    TableColumn(
        key="duration_s", heading="seconds", is_number=True, show=lambda value: amount(value, 2)
    ),
)
_OF_SHARDS = (
    TableColumn(key="split"),
    TableColumn(key="part"),
    TableColumn(key="name", heading="shard"),
    TableColumn(key="first_id", heading="first id"),
    TableColumn(key="last_id", heading="last id"),
    _count("num_utterances"),
    _count("num_frames"),
    TableColumn(key="num_bytes", heading="size", is_number=True, show=size_text),
)


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_store_command(
        commands,
        "ls",
        "the utterances of a store, or its shards",
        _run,
        examples=("data/features/demo/fbank --limit 0", "data/features/demo/fbank --shards"),
    )
    command.add_argument(
        "--limit", type=at_least(0), default=20, metavar="N", help="at most N rows (20); 0: all"
    )
    command.add_argument("--part", help="only those of this part")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--prefix", default="", help="only ids that begin with this")
    which.add_argument("--shards", action="store_true", help="list shards instead")


@dataclass(frozen=True, slots=True)
class _Shard:
    """One shard, which is opened only where its header does not tell."""

    store: Store
    number: int
    split: str

    @property
    def info(self) -> ShardInfo:
        return self.store.shards[self.number]

    def rows(self, prefix: str) -> range:
        """Return the rows whose ids begin with a prefix; they lie together, for ids are sorted."""
        first_id, last_id = self.info.first_id, self.info.last_id
        if first_id.startswith(prefix) and last_id.startswith(prefix):
            return range(self.info.num_utterances)
        if last_id < prefix or (first_id > prefix and not first_id.startswith(prefix)):
            return range(0)
        shard = self.store.open_shard(self.number)
        rows = range(len(shard))

        def beginning(row: int) -> str:  # in order as the ids are
            return shard.id(row)[: len(prefix)]

        return range(
            bisect_left(rows, prefix, key=beginning), bisect_right(rows, prefix, key=beginning)
        )

    def utterances(self, rows: range) -> Iterator[dict[str, Any]]:
        if not rows:
            return
        shard = self.store.open_shard(self.number)
        for row in rows:
            num_frames = len(shard.frames(row))
            yield {
                "split": self.split,
                "part": self.info.part,
                "id": shard.id(row),
                "num_frames": num_frames,
                "duration_s": duration_s(self.store.header, num_frames),
            }

    def described(self) -> dict[str, Any]:
        fields = [column.key for column in _OF_SHARDS if column.key != "split"]
        return {
            "split": self.split,
            **{name: getattr(self.info, name) for name in (*fields, "digest")},
        }


def _run(parsed: argparse.Namespace) -> int:
    store = open_store(parsed.store)
    shards = [shard for shard in _shards(store) if parsed.part in (None, shard.info.part)]
    found: Iterator[dict[str, Any]]
    columns: tuple[TableColumn, ...]
    if parsed.shards:
        kind, columns, total = "shards", _OF_SHARDS, len(shards)
        found = (shard.described() for shard in shards)
    else:
        wanted = [(shard, shard.rows(parsed.prefix)) for shard in shards]
        kind, columns, total = "utterances", _OF_ROWS, sum(len(rows) for _, rows in wanted)
        found = (one for shard, rows in wanted for one in shard.utterances(rows))
    shown = islice(found, parsed.limit or None)
    more = max(0, total - parsed.limit) if parsed.limit else 0
    if parsed.json:
        print_json_rows({"total": total, "more": more}, kind, shown)
        return FINE
    print_table(columns, shown, hidden=_silent(store, shards))
    if more:
        print_note(f"{more:,} more of {total:,} {kind}: --limit 0 lists all")
    elif not total:
        print_note(f"no {kind}")
    return FINE


def _shards(store: Store) -> list[_Shard]:
    splits, _ = read_splits(store.path)
    names = [split for split, header in splits.items() for _ in header.shards]
    return [_Shard(store, number, split) for number, split in enumerate(names)]


def _silent(store: Store, shards: list[_Shard]) -> set[str]:
    """Return the columns that would say nothing."""
    return {
        name
        for name, says in (
            ("split", any(shard.split for shard in shards)),
            ("part", any(shard.info.part for shard in shards)),
            ("duration_s", store.frame_rate),
            ("num_frames", store.header.time_axis is not None),
        )
        if not says
    }
