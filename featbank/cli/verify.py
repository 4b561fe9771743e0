"""`featbank verify STORE`: is every byte as it was written?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from featbank.cli.output import print_json, print_line, size_text
from featbank.cli.stores import add_command
from featbank.progress import wanted
from featbank.store import Damage, Store, open_store
from featbank.store.healing import heal


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "whether every byte of a store is as it was written; exits with 1 if not"
    command = add_command(commands, "verify", text, _run)
    command.add_argument(
        "--remove",
        action="store_true",
        help="remove what is damaged, from DVC's cache too, so that it can be made or pulled again",
    )


def _run(parsed: argparse.Namespace) -> int:
    if parsed.remove:
        # imported here: it takes DVC a second, and only what is damaged needs it
        from featbank.cli.removing import remove_damaged

        remove_damaged(parsed.store)
        return 0
    store = open_store(parsed.store)
    damages = _verify(store)
    (_print_json if parsed.json else _print)(store, damages)
    return 1 if damages else 0


def _verify(store: Store) -> list[Damage]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not wanted(), transient=True) as bar:
        task = bar.add_task("verify", total=store.header.num_bytes)
        return store.verify(lambda num_bytes: bar.advance(task, num_bytes))


def _print_json(store: Store, damages: Sequence[Damage]) -> None:
    print_json(
        {
            "num_shards": len(store.shards),
            "num_utterances": len(store),
            "num_bytes": store.header.num_bytes,
            "damages": [
                {"shard": damage.shard, "message": damage.message, "ids": list(damage.ids)}
                for damage in damages
            ],
        }
    )


def _print(store: Store, damages: Sequence[Damage]) -> None:
    for damage in damages:
        print_line(str(damage))
    found = f"{len(damages):,} damaged" if damages else "all as written"
    size = size_text(store.header.num_bytes)
    print_line(f"{len(store.shards):,} shards, {len(store):,} utterances, {size}: {found}")
    if damages:
        print_line(heal(store.path))
