"""Training reads a split that somebody named, never all of a folder because they stand there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featbank.dataset.splits import open_stated
from featbank.errors import ConfigError, StoreError
from featbank.store import StoreWriter, open_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, ids in (("test", "ab"), ("train", "cd"), ("again", "a")):
        with StoreWriter(tmp_path / split, name="units", codebook_size=9) as writer:
            for one in ids:
                writer.write(one, np.arange(3))
    return tmp_path


def test_a_split_is_named_where_there_are_several(folder: Path) -> None:
    for store in (folder, str(folder), open_store(folder)):
        with pytest.raises(ConfigError, match="got none, and there are again, test, train; say sp"):
            open_stated(store, None)
        assert list(open_stated(store, "train").ids) == ["c", "d"]
        assert list(open_stated(store, ["train", "test"]).ids) == ["c", "d", "a", "b"]
    for store in (folder / "train", open_store(folder, ["train", "test"])):
        assert "c" in open_stated(store, None)


def test_an_id_in_two_splits_that_are_read_as_one_is_refused(folder: Path) -> None:
    with pytest.raises(StoreError, match="expected each id in one of its splits, got 'a' in two"):
        open_stated(folder, ["test", "again"])
