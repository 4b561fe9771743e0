"""`featbank ls STORE`: list utterances, or shards; only the shards that are shown are opened."""

from __future__ import annotations

import argparse
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from featbank.base.amounts import amount
from featbank.base.printing import at_least, print_json_rows, print_line, print_table, size_text
from featbank.cli.stores import add_command, duration_s, read_splits
from featbank.store import ShardInfo, Store, open_store

_HEADINGS = {
    "split": "split",
    "part": "part",
    "id": "id",
    "num_frames": "frames",
    "duration_s": "seconds",
}
_SHARD_HEADINGS = {
    "split": "split",
    "part": "part",
    "name": "shard",
    "first_id": "first id",
    "last_id": "last id",
    "num_utterances": "utterances",
    "num_frames": "frames",
    "num_bytes": "size",
}
_TABLE_ROWS = 1000  # of one table: its widths are known only when its rows are


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "ls", "the utterances of a store, or its shards", _run)
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
        fields = [name for name in _SHARD_HEADINGS if name != "split"]
        return {
            "split": self.split,
            **{name: getattr(self.info, name) for name in (*fields, "digest")},
        }


def _run(parsed: argparse.Namespace) -> int:
    store = open_store(parsed.store)
    shards = [shard for shard in _shards(store) if parsed.part in (None, shard.info.part)]
    found: Iterator[dict[str, Any]]
    if parsed.shards:
        kind, headings, total = "shards", _SHARD_HEADINGS, len(shards)
        found = (shard.described() for shard in shards)
    else:
        wanted = [(shard, shard.rows(parsed.prefix)) for shard in shards]
        kind, headings, total = "utterances", _HEADINGS, sum(len(rows) for _, rows in wanted)
        found = (one for shard, rows in wanted for one in shard.utterances(rows))
    shown = islice(found, parsed.limit or None)
    more = max(0, total - parsed.limit) if parsed.limit else 0
    if parsed.json:
        print_json_rows({"total": total, "more": more}, kind, shown)
        return 0
    silent = _silent(store, shards)
    headings = {name: heading for name, heading in headings.items() if name not in silent}
    while rows := list(islice(shown, _TABLE_ROWS)):
        _print(headings, rows)
    if more:
        print_line(f"{more:,} more of {total:,} {kind}: --limit 0 lists all")
    elif not total:
        print_line(f"no {kind}")
    return 0


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


def _print(headings: dict[str, str], rows: list[dict[str, Any]]) -> None:
    columns = {heading: name.startswith(("num_", "duration")) for name, heading in headings.items()}
    print_table(columns, ([_cell(name, row[name]) for name in headings] for row in rows))


def _cell(name: str, value: Any) -> str:
    if name == "num_bytes":
        return size_text(value)
    if isinstance(value, float):
        return amount(value, 2)
    return f"{value:,}" if isinstance(value, int) else str(value)
