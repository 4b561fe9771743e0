"""`featbank head STORE [ID ...]`: show the first frames of utterances, and the range of all."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from featbank.base.printing import at_least, on_terminal, print_json, print_note
from featbank.base.tables import TableColumn, print_table
from featbank.cli.parsing import FINE
from featbank.cli.stores import add_store_command
from featbank.store import Store, open_store
from featbank.store.encoding import Array
from featbank.store.near_ids import refuse_unknown_id

SHOWN_VALUES = 8
"""Values of a frame that a table shows."""


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_store_command(
        commands,
        "head",
        "the first frames of utterances, and the range of all",
        _run,
        examples=(
            "data/features/demo/fbank",
            "data/features/demo/fbank allison_en/vm-toenternumber --frames 2",
        ),
    )
    command.add_argument("ids", nargs="*", metavar="ID", help="utterances; the first by default")
    command.add_argument(
        "--frames", type=at_least(0), default=5, metavar="N", help="frames of each utterance (5)"
    )
    command.add_argument(
        "--utterances", type=at_least(1), default=1, metavar="N", help="without ID: how many (1)"
    )


def _run(parsed: argparse.Namespace) -> int:
    store = open_store(parsed.store)
    for utterance_id in parsed.ids:
        refuse_unknown_id(store, utterance_id)
    ids = parsed.ids or store.ids[: parsed.utterances]
    rows = [describe(store, utterance_id, parsed.frames) for utterance_id in ids]
    if parsed.json:
        print_json({"utterances": [{**row, "frames": _json(row["frames"])} for row in rows]})
    elif on_terminal():
        for row in rows:
            _draw(row)
    else:
        _print(rows)
    if not rows and not parsed.json:
        print_note("no utterances")
    return FINE


def describe(store: Store, utterance_id: str, num_frames: int) -> dict[str, Any]:
    """Describe an utterance by its first `num_frames` frames, and by the span of all of them.

    Raises:
        StoreError: an id that is not there, or a damaged shard.
    """
    values = store[utterance_id]
    time_axis = store.header.time_axis
    frames = values[None] if time_axis is None else np.moveaxis(values, time_axis, 0)
    finite = values[np.isfinite(values)]
    return {
        "id": utterance_id,
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "min": finite.min().item() if finite.size else None,
        "mean": float(finite.mean(dtype=np.float64)) if finite.size else None,
        "max": finite.max().item() if finite.size else None,
        "num_nonfinite": int(values.size - finite.size),
        "frames": frames[:num_frames],
    }


def _json(values: Array) -> Any:
    """Return nested lists, with null for what JSON has no number for."""
    numbers = values.astype(object)
    numbers[~np.isfinite(values)] = None
    return numbers.tolist()


def _print(rows: list[dict[str, Any]]) -> None:
    """Print all values, a frame a line, for programs."""
    places = list(np.ndindex(rows[0]["frames"].shape[1:])) if rows else []
    columns = {_heading(place): place for place in places}
    print_table(
        [TableColumn(key=key) for key in ("id", "frame", *columns)],
        (
            {"id": row["id"], "frame": number}
            | {key: frame[place].item() for key, place in columns.items()}
            for row in rows
            for number, frame in enumerate(row["frames"])
        ),
    )


def _heading(place: tuple[int, ...]) -> str:
    return ",".join(map(str, place)) or "value"


def _draw(row: dict[str, Any]) -> None:
    span = ", ".join(f"{name} {_number(row[name])}" for name in ("min", "mean", "max"))
    title = f"{row['id']}: {row['dtype']} {tuple(row['shape'])}, {span}"
    if row["num_nonfinite"]:
        title += f", {row['num_nonfinite']:,} not finite"
    frames: Array = row["frames"]
    places = list(np.ndindex(frames.shape[1:]))
    shown, more = places[:SHOWN_VALUES], len(places) - SHOWN_VALUES
    headings = ["frame", *map(_heading, shown), *([f"{more:,} more"] if more > 0 else [])]
    rows = (
        [str(number), *(_number(frame[place].item()) for place in shown), "…"]
        for number, frame in enumerate(frames)
    )
    print_table(
        [TableColumn(key=key, is_number=True) for key in headings],
        (dict(zip(headings, cells, strict=False)) for cells in rows),
        title,
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.5g}"
