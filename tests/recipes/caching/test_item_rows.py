"""Rows of a cached item: what is published, and what waits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featbank.feature_io import FeatureStorageConfig
from featbank.recipes.caching.item_rows import ItemRows
from featbank.recipes.fingerprinting import RecipeFingerprint
from featbank.store import open_store

IDS = ["a", "b", "c"]


def test_what_was_computed_and_not_published_is_kept_for_the_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fingerprint = RecipeFingerprint(digest="0" * 64, parts={})
    rows = ItemRows(FeatureStorageConfig("f", "float32"), tmp_path / "f" / "train", fingerprint)
    for number, one in enumerate(IDS):
        rows.add(one, bytes(16), np.full((2, 1), number, np.float32))
    rows.publish(IDS[:2])
    assert "1 utterances that were computed are not in store" in caplog.text
    assert list(open_store(tmp_path / "f" / "train").ids) == IDS[:2]
    rows.publish(IDS)
    store = open_store(tmp_path / "f" / "train")
    assert [store[one][0, 0] for one in IDS] == [0, 1, 2]
    assert [path.name for path in (tmp_path / "f").glob(".featbank-work")] == []
