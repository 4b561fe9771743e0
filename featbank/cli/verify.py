"""`featbank verify STORE`: compare every byte with its checksum."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from featbank.base.notices import tell
from featbank.base.printing import on_terminal, print_json, print_line, print_note, size_text
from featbank.base.progress import progress_bar
from featbank.base.step_meter import BYTES
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE, FOUND
from featbank.cli.stores import add_store_command
from featbank.errors import ConfigError
from featbank.store import open_store
from featbank.store.healing import heal
from featbank.store.verify import Verified, verify


def add_to(commands: Any) -> None:
    """Add the command."""
    text = "whether every byte of a store is as it was written"
    command = add_store_command(
        commands,
        "verify",
        text,
        _run,
        examples=("data/features/demo/fbank", "data/features/demo/fbank --remove"),
    )
    command.add_argument(
        "--remove",
        action="store_true",
        help="remove what is damaged, from DVC's cache too, so that it can be made or pulled again",
    )


def _run(parsed: argparse.Namespace) -> int:
    if not isinstance(parsed.store, Path):
        open_store(parsed.store).verify()  # says what to do
    if parsed.remove and parsed.json:
        raise ConfigError("--remove", expected="no --json: it prints what it removes", got="both")
    if parsed.remove:
        # imported here: it takes DVC a second, and only what is damaged needs it
        from featbank.cli.removing import remove_damaged

        remove_damaged(parsed.store)
        return 0
    verified = _verify(parsed.store)
    if parsed.json:
        print_json({**_told(verified), "damages": _damages(verified)})
    else:
        _print(parsed.store, verified)
    return FOUND if verified.damages else FINE


def _verify(path: Path) -> Verified:
    with progress_bar("verify", unit=BYTES) as advance:
        return verify(path, advance, lambda total: tell(total=total))


def _told(verified: Verified) -> dict[str, Any]:
    return {
        "num_shards": verified.num_shards,
        "num_utterances": verified.num_utterances,
        "num_bytes": verified.num_bytes,
        "unstated": [str(folder) for folder in verified.unstated],
    }


def _damages(verified: Verified) -> list[dict[str, Any]]:
    return [
        {"shard": damage.shard, "message": damage.message, "ids": list(damage.ids)}
        for damage in verified.damages
    ]


def _print(path: Path, verified: Verified) -> None:
    if on_terminal():
        for damage in verified.damages:
            print_line(str(damage))
    else:
        columns = [TableColumn(key=key) for key in ("shard", "message", "ids")]
        print_table(columns, _damages(verified))
    for folder in verified.unstated:
        print_note(f"{folder} states no splits: whether one is absent cannot be told")
    found = f"{len(verified.damages):,} damaged" if verified.damages else "all as written"
    size = size_text(verified.num_bytes)
    print_note(
        f"{verified.num_shards:,} shards, {verified.num_utterances:,} utterances, {size}: {found}"
    )
    if verified.damages:
        from featbank.cli.removing import is_refused  # as above

        if not is_refused(path):
            print_note(heal(path))
