"""An id that a store has not: the one that is meant is named, in whatever part it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import StoreWriter, near_ids, open_store
from featbank.store.near_ids import refuse_unknown_id


def test_an_id_near_it_is_found_in_every_part_of_every_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_ids, "_ALL", 10)
    monkeypatch.setattr(near_ids, "_BESIDE", 10)
    firsts = {"2024": "m", "2025": "z", "2026": "a"}
    for split in ("train", "dev"):
        with StoreWriter(tmp_path / split, name="x", dtype="uint8", shard_bytes=1500) as writer:
            for part, first in firsts.items():
                for number in range(100):
                    one = f"{first}-{split}-{number:04d}"
                    writer.write(one, np.zeros(20, np.uint8), part=part)
    store = open_store(tmp_path)
    assert len(store.shards) > 6
    for one in store:
        if one.endswith("7"):
            with pytest.raises(StoreError, match=f"did you mean {one}") as raised:
                refuse_unknown_id(store, f"{one}x")
            assert "among its 600" in str(raised.value)
    refuse_unknown_id(store, one)
