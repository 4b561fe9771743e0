"""`featbank info STORE`: show what a store is, holds, lacks and was made from, by its headers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from featbank.base.amounts import amount
from featbank.base.printing import flattened, on_terminal, print_json, size_text
from featbank.base.tables import TableColumn, print_facts, print_table
from featbank.cli.parsing import FINE
from featbank.cli.stores import add_store_command, duration_s, read_splits
from featbank.store import StoreHeader, find_encoding


def add_to(commands: Any) -> None:
    """Add the command."""
    add_store_command(
        commands,
        "info",
        "what a store is, holds, lost and was made from",
        _run,
        examples=("data/features/demo/fbank", "data/tokens/demo/mfcc-kmeans100 --json"),
    )


def _run(parsed: argparse.Namespace) -> int:
    splits, header = read_splits(parsed.store)
    if parsed.json:
        print_json(describe(parsed.store, splits, header))
    elif on_terminal():
        _draw(parsed.store, splits, header)
    else:
        print_facts(flattened(describe(parsed.store, splits, header)))
    return FINE


def _draw(path: Path | str, splits: Mapping[str, StoreHeader], header: StoreHeader) -> None:
    print_facts(_facts(header), str(path))
    if "" not in splits:
        columns = [TableColumn(key=key, is_number=True) for key in _amounts(header)]
        rows = ({"split": name, **_amounts(split)} for name, split in splits.items())
        print_table([TableColumn(key="split"), *columns], rows)
    for numerics in header.numerics:
        print_facts(flattened(numerics), "numerics")
    if provenance := list(_provenance(splits)):
        print_facts(provenance, "provenance")


def describe(
    path: Path | str, splits: Mapping[str, StoreHeader], header: StoreHeader
) -> dict[str, Any]:
    """Return what `info --json` prints: JSON values, under names that stay."""
    sizes = [shard.num_bytes for shard in header.shards]
    stated = header.to_json()
    for name in ("format", "format_version", "dtype", "shards"):
        del stated[name]
    return {
        "path": str(path),
        "dtype": find_encoding(header.dtype).read.name,
        "stored_dtype": header.dtype,
        **stated,
        **_numbers(header),
        "num_shards": len(sizes),
        "smallest_shard_bytes": min(sizes, default=None),
        "largest_shard_bytes": max(sizes, default=None),
        "splits": {name: _numbers(split) for name, split in splits.items() if name},
    }


def _numbers(header: StoreHeader) -> dict[str, Any]:
    return {
        "num_utterances": header.num_utterances,
        "num_frames": header.num_frames,
        "num_failures": header.num_failures,
        "num_bytes": header.num_bytes,
        "duration_s": duration_s(header, header.num_frames),
    }


def _amounts(header: StoreHeader) -> dict[str, str]:
    seconds = duration_s(header, header.num_frames)
    return {
        "utterances": f"{header.num_utterances:,}",
        "frames": f"{header.num_frames:,}",
        "hours": "-" if seconds is None else amount(seconds / 3600, 2),
        "size": size_text(header.num_bytes),
    }


def _facts(header: StoreHeader) -> Iterator[tuple[str, str]]:
    """Say in words what the header states."""
    read = find_encoding(header.dtype).read.name
    yield "name", header.name
    yield "dtype", read if read == header.dtype else f"{read}, stored as {header.dtype}"
    yield "shape", _shape(header)
    if header.time_axis is None:
        yield "frame rate", "none: one value an utterance"
    else:
        yield "frame rate", f"{header.frame_rate:g} Hz" if header.frame_rate else "varies"
    if header.codebook_size is not None:
        yield "codebook", f"{header.codebook_size:,} tokens"
    yield from _amounts(header).items()
    yield "failures", f"{header.num_failures:,}"
    sizes = [shard.num_bytes for shard in header.shards]
    span = f", {size_text(min(sizes))} to {size_text(max(sizes))}" if sizes else ""
    yield "shards", f"{len(sizes):,}{span}"
    yield "compression", header.compression or "none"
    largest, mean = header.max_abs_error, header.mean_abs_error
    yield "loss", f"errors up to {largest:.3g}, {mean:.3g} on average" if largest else "none"
    yield "fingerprint", header.fingerprint or "none"


def _shape(header: StoreHeader) -> str:
    """Write the shape of an utterance, with T for its frames, if it has any."""
    sizes = list(map(str, header.shape))
    if header.time_axis is not None:
        sizes.insert(len(sizes) if header.time_axis == -1 else 0, "T")
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _provenance(splits: Mapping[str, StoreHeader]) -> Iterator[tuple[str, str]]:
    """Give the leaves of the provenance: once where all splits agree, else by split."""
    leaves = {split: dict(flattened(header.provenance)) for split, header in splits.items()}
    for name in dict.fromkeys(name for found in leaves.values() for name in found):
        values = {split: found.get(name) for split, found in leaves.items()}
        if len(set(values.values())) == 1:
            yield name, str(next(iter(values.values())))
        else:
            yield from (
                (f"{name} ({split})", value) for split, value in values.items() if value is not None
            )
