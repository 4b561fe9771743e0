"""Small stores of units and codes, and their streams as one would write them down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from featbank.sequences import delay, flatten
from featbank.store import Store, StoreWriter, open_store

NUM_UNITS = 50
LENGTHS = [7, 0, 1, 12, 3, 0, 0, 25, 2, 9, 1, 1, 6, 18, 4]
"""Some utterances have no frame, and some are shorter than the longest delay."""


def write_units(path: Path, codebook_size: int | None = NUM_UNITS) -> Store:
    """Write units of `LENGTHS`, in several shards."""
    rng = np.random.default_rng(0)
    options = {"dtype": "uint16"} if codebook_size is None else {"codebook_size": codebook_size}
    with StoreWriter(path, name="units", shard_bytes=120, **options) as writer:  # type: ignore[arg-type]
        for number, length in enumerate(LENGTHS):
            writer.write(f"u{number:02}", rng.integers(0, NUM_UNITS, length))
    return open_store(path)


def write_codes(path: Path, num_codebooks: int) -> Store:
    """Write codes (Q, T) of `LENGTHS`, in several shards."""
    rng = np.random.default_rng(num_codebooks)
    with StoreWriter(
        path,
        name="codes",
        codebook_size=NUM_UNITS,
        time_axis=-1,
        shape=(num_codebooks,),
        shard_bytes=120,
    ) as writer:
        for number, length in enumerate(LENGTHS):
            writer.write(f"u{number:02}", rng.integers(0, NUM_UNITS, (num_codebooks, length)))
    return open_store(path)


def stream_of(
    store: Store, pattern: str | None, *, separator: int, pad: int = -1, begin: int | None = None
) -> npt.NDArray[np.int64]:
    """Return all utterances one after the other, as the forms of `featbank.sequences` make them.

    Args:
        store: of units or codes.
        pattern: `flattened`, `distinct` (flattened with numbers of their own), `delayed`,
            `parallel`; None for units.
        separator: stands behind each utterance.
        pad: of delayed codes.
        begin: stands before each utterance; None for nothing.
    """
    parts = []
    for utterance_id in store.ids:
        values = store[utterance_id].astype(np.int64)
        if pattern in ("flattened", "distinct"):
            values = flatten(values, NUM_UNITS if pattern == "distinct" else None)
        elif pattern == "delayed":
            values = delay(values, pad)
        ends = [(0, 0)] * (values.ndim - 1)
        if begin is not None:
            values = np.pad(values, [*ends, (1, 0)], constant_values=begin)
        parts.append(np.pad(values, [*ends, (0, 1)], constant_values=separator))
    return np.concatenate(parts, axis=-1)


def cut(
    stream: npt.NDArray[np.int64], length: int, overlap: int, padding: int
) -> list[npt.NDArray[np.int64]]:
    """Cut a stream into windows of one length, the last one filled up."""
    windows, start, step = [], 0, length - overlap
    while True:
        window = stream[..., start : start + length]
        missing = length - window.shape[-1]
        ends = [(0, 0)] * (stream.ndim - 1)
        windows.append(np.pad(window, [*ends, (0, missing)], constant_values=padding))
        if start + length >= stream.shape[-1]:
            return windows
        start += step
