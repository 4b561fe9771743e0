"""`featbank head STORE [ID ...]`: show the first frames of utterances, and the range of all."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from featbank.base.printing import at_least, print_json, print_line, print_table
from featbank.cli.stores import add_command
from featbank.store import Store, open_store
from featbank.store.encoding import Array

SHOWN_VALUES = 8
"""Values of a frame that a table shows."""


def add_to(commands: Any) -> None:
    """Add the command."""
    command = add_command(commands, "head", "the first frames of utterances", _run)
    command.add_argument("ids", nargs="*", metavar="ID", help="utterances; the first by default")
    command.add_argument(
        "--frames", type=at_least(0), default=5, metavar="N", help="frames of each utterance (5)"
    )
    command.add_argument(
        "--utterances", type=at_least(1), default=1, metavar="N", help="without ID: how many (1)"
    )


def _run(parsed: argparse.Namespace) -> int:
    store = open_store(parsed.store)
    ids = parsed.ids or store.ids[: parsed.utterances]
    rows = [describe(store, utterance_id, parsed.frames) for utterance_id in ids]
    if parsed.json:
        print_json({"utterances": [{**row, "frames": _json(row["frames"])} for row in rows]})
        return 0
    for row in rows:
        _print(row)
    if not rows:
        print_line("no utterances")
    return 0


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


def _print(row: dict[str, Any]) -> None:
    span = ", ".join(f"{name} {_number(row[name])}" for name in ("min", "mean", "max"))
    title = f"{row['id']}: {row['dtype']} {tuple(row['shape'])}, {span}"
    if row["num_nonfinite"]:
        title += f", {row['num_nonfinite']:,} not finite"
    frames: Array = row["frames"]
    places = list(np.ndindex(frames.shape[1:]))
    shown, more = places[:SHOWN_VALUES], len(places) - SHOWN_VALUES
    headings = ["frame", *(",".join(map(str, place)) or "value" for place in shown)]
    rows = [
        [str(number), *(_number(frame[place].item()) for place in shown)]
        for number, frame in enumerate(frames)
    ]
    if more > 0:
        headings.append(f"{more:,} more")
        rows = [[*cells, "…"] for cells in rows]
    print_table(dict.fromkeys(headings, True), rows, title)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.5g}"
