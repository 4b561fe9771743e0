"""Stores of two versions, made for tests of what differs between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featbank.store import MappedShard, Store, StoreHeader, StoreWriter, open_store


@dataclass(frozen=True)
class Row:
    """An utterance as a test knows it."""

    values: npt.NDArray[Any]
    audio: int = 0
    part: str = ""


Rows = Mapping[str, Row]


def write(path: Path, rows: Rows, **options: Any) -> Path:
    """Write a store of small shards."""
    settings = {"name": "x", "dtype": "float32", "fingerprint": "f" * 64, "shard_bytes": 3000}
    with StoreWriter(path, **{**settings, **options}) as writer:
        for utterance_id, row in rows.items():
            digest = row.audio.to_bytes(16, "big")
            writer.write(utterance_id, row.values, input_digest=digest, part=row.part)
    return path


def floats(number: int, *, seed: int = 0, prefix: str = "u") -> dict[str, Row]:
    """Return utterances of 5 to 30 frames of three values."""
    rng = np.random.default_rng(seed)
    return {
        f"{prefix}{one:04d}": Row(
            rng.normal(size=(rng.integers(5, 30), 3)).astype(np.float32),
            audio=int(rng.integers(1, 1 << 60)),
            part="ab"[one % 2],
        )
        for one in range(number)
    }


@dataclass
class Watched:
    """A store that notes which of its shards were opened."""

    path: Path
    opened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._store: Store = open_store(self.path)

    @property
    def header(self) -> StoreHeader:
        return self._store.header

    def open_shard(self, number: int) -> MappedShard:
        self.opened.append(self.header.shards[number].name)
        return self._store.open_shard(number)
