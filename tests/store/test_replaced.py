"""A store that is replaced while it is open is never read together with the new one."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import Store, open_store
from tests.store.trust import write

REPLACED = "was replaced after it was opened; open it again"


def write_value(path: Path, value: float, **options: object) -> Store:
    """Write 40 rows in several shards, of one shape whatever the value."""
    rows = {f"u{number:02d}": np.full((9, 8), value, np.float32) for number in range(40)}
    return write(path, rows, **options)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_shards_of_the_new_store_are_not_read_as_those_of_the_old(
    tmp_path: Path, compression: str | None
) -> None:
    store = write_value(tmp_path / "s", 1, compression=compression)
    assert store["u00"][0, 0] == 1
    write_value(tmp_path / "s", 2, compression=compression)
    assert store["u00"][0, 0] == 1  # an opened shard outlives its name
    with pytest.raises(StoreError, match=REPLACED):
        store["u39"]
    assert open_store(tmp_path / "s")["u39"][0, 0] == 2


def test_compressed_values_come_from_the_file_whose_rows_were_read(tmp_path: Path) -> None:
    store = write_value(tmp_path / "s", 1, compression="zstd")
    assert store.num_frames("u00") == 9  # its rows are mapped, its values are not yet open
    write_value(tmp_path / "s", 2, compression="zstd")
    with pytest.raises(StoreError, match=REPLACED):
        store["u00"]


def test_a_store_that_is_gone_says_so(tmp_path: Path) -> None:
    store = write_value(tmp_path / "s", 1)
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(StoreError, match=REPLACED):
        store["u00"]


def test_one_of_several_stores_that_is_replaced_is_named(tmp_path: Path) -> None:
    rows = {f"t{number}": np.ones((9, 8), np.float32) for number in range(9)}
    write(tmp_path / "all" / "a", rows)
    write_value(tmp_path / "all" / "b", 1)
    store = open_store(tmp_path / "all")
    write_value(tmp_path / "all" / "b", 2)
    assert store["t0"][0, 0] == 1
    with pytest.raises(StoreError, match=f"all/b {REPLACED}"):
        store["u00"]


def test_a_copy_of_a_store_is_as_good(tmp_path: Path) -> None:
    store = write_value(tmp_path / "s", 1)
    shutil.copytree(tmp_path / "s", tmp_path / "t", copy_function=shutil.copyfile)
    shutil.rmtree(tmp_path / "s")
    (tmp_path / "t").rename(tmp_path / "s")
    assert store["u39"][0, 0] == 1


def test_another_process_opens_the_store_that_was_pickled_or_none(tmp_path: Path) -> None:
    store = write_value(tmp_path / "s", 1)
    pickled = pickle.dumps(store)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(pickle.loads, (pickled,)).storage_path == store.path
        write_value(tmp_path / "s", 2)
        with pytest.raises(StoreError, match=REPLACED):
            pool.apply(pickle.loads, (pickled,))
