"""Arguments and splits of a store, shared by the commands about one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featbank.cli.parsing import CommandParser, Run, add_command
from featbank.store import StoreHeader
from featbank.store.joining import read_headers
from featbank.store.remote.elsewhere import is_url, locate
from featbank.store.remote.headers import read_remote_headers


def add_store_command(
    commands: Any, name: str, text: str, run: Run, *, examples: Sequence[str]
) -> CommandParser:
    """Add a command that is given a store; return its parser."""
    command = add_command(commands, name, text, run, examples=examples)
    command.add_argument(
        "store",
        type=_place,
        metavar="STORE",
        help="folder of a store, or of its splits, or its URL",
    )
    return command


def read_splits(path: Path | str) -> tuple[dict[str, StoreHeader], StoreHeader]:
    """Read the headers below `path`, by folder; the store at `path` itself is "".

    Args:
        path: of a store, or a folder of several; a URL as a text.

    Returns:
        These, in the order of an opened store's shards, and the one that describes them all.

    Raises:
        StoreError: no store there, a damaged one, or stores that do not belong together.
    """
    if isinstance(path, str):
        return read_remote_headers(locate(path))
    headers, joined = read_headers(path)
    splits = {
        "" if folder == path else folder.relative_to(path).as_posix(): header
        for folder, header in headers.items()
    }
    return splits, joined


def _place(text: str) -> Path | str:
    return text if is_url(text) else Path(text)


def duration_s(header: StoreHeader, num_frames: int) -> float | None:
    """Return the duration of a number of frames, in seconds; None when their rate varies."""
    return num_frames / header.frame_rate if header.frame_rate else None
