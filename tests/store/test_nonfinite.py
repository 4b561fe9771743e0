"""NaN and infinity are stored by no writer that was not asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from featbank.errors import StoreError
from featbank.feature_io import LilcomHdf5Writer, NumpyHdf5Reader, NumpyHdf5Writer
from featbank.recipes import FeatureBrain
from featbank.store import (
    ENCODINGS,
    MappedShard,
    ShardRow,
    ShardSpec,
    ShardWriter,
    StoreWriter,
    open_store,
)

FLOATS = [name for name, encoding in ENCODINGS.items() if encoding.rounds]
NAME = "0123456789abcdef.h5"
WRONG = [np.nan, np.inf, -np.inf]


def rows(value: float, dtype: Any = np.float32, place: int = -1) -> np.ndarray:
    """Return a row of which one value is another."""
    found = np.ones((7, 5), dtype)
    found.reshape(-1)[place] = value
    return found


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("given", ["float16", "float32", "float64", "bfloat16", "transposed"])
def test_a_store_writer_refuses_a_row_and_goes_on(
    tmp_path: Path, dtype: str, given: str, value: float
) -> None:
    if given == "bfloat16":
        row: Any = torch.from_numpy(rows(value)).to(torch.bfloat16)
    elif given == "transposed":
        row = np.asfortranarray(rows(value, np.float16))
    else:
        row = rows(value, given)
    with StoreWriter(tmp_path / "s", name="x", dtype=dtype) as writer:
        writer.write("a", rows(1))
        message = (
            f"'b' in store .*expected finite values for {dtype}, got NaN or infinity in 1 of 35"
        )
        with pytest.raises(StoreError, match=message):
            writer.write("b", row)
        writer.write("c", rows(2))
    assert list(open_store(tmp_path / "s").ids) == ["a", "c"]


@pytest.mark.parametrize("dtype", [one for one in FLOATS if one != "int8_scaled"])
def test_a_store_writer_that_is_asked_to_stores_them(tmp_path: Path, dtype: str) -> None:
    with StoreWriter(tmp_path / "s", name="x", dtype=dtype, allow_nonfinite=True) as writer:
        for number, value in enumerate(WRONG):
            writer.write(str(number), rows(value))
    store = open_store(tmp_path / "s")
    assert [str(store[one][-1, -1]) for one in store.ids] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize("place", [0, 17, (1 << 16) - 1, 1 << 16, (1 << 16) + 100, -1])
def test_one_of_many_values_is_found_wherever_it_stands(tmp_path: Path, place: int) -> None:
    row = np.full((1 << 14, 9), 65504, np.float16)
    with StoreWriter(tmp_path / "s", name="x", dtype="float16") as writer:
        writer.write("a", row)
        row.reshape(-1)[place] = np.inf
        with pytest.raises(StoreError, match=f"in 1 of {row.size}"):
            writer.write("b", row)


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8_scaled"])
def test_a_shard_writer_refuses_rows_and_pieces(tmp_path: Path, dtype: str, value: float) -> None:
    spec = ShardSpec(name="x", dtype=dtype, shape=(5,), fingerprint="", numerics={})
    writer = ShardWriter(tmp_path / NAME, spec, [ShardRow(id="a", num_frames=7)])
    for write in (writer.write, writer.write_piece):
        with pytest.raises(StoreError, match="finite values for"):
            write("a", rows(value))
    writer.abort()
    if dtype != "int8_scaled":
        plan = [ShardRow(id="a", num_frames=7), ShardRow(id="b", num_frames=7)]
        asked = ShardWriter(tmp_path / NAME, spec, plan, allow_nonfinite=True)
        asked.write("a", rows(value))
        asked.write_piece("b", rows(value))
        asked.close()
        shard = MappedShard(tmp_path / NAME)
        assert [str(shard.read(row)[-1, -1]) for row in (0, 1)] == [str(np.float32(value))] * 2


def test_writers_of_other_files_refuse_them(tmp_path: Path) -> None:
    for made in (NumpyHdf5Writer, LilcomHdf5Writer):
        with (
            pytest.raises(StoreError, match="finite values for float32, got NaN or infinity"),
            made(tmp_path / "n", name="x") as writer,
        ):
            writer.write("a", rows(np.nan))
    assert list(tmp_path.iterdir()) == []
    with NumpyHdf5Writer(tmp_path / "n", name="x", allow_nonfinite=True) as asked:
        asked.write("a", rows(np.nan))
    assert np.isnan(NumpyHdf5Reader(tmp_path / "n")["a"][-1, -1])


class _Overflowing(FeatureBrain):
    """An encoder in half precision whose padding, of one utterance, turns into NaN."""

    def compute_features(self, batch: Any, stage: str) -> Any:  # noqa: ARG002
        ids, values, lengths = batch
        return {"id": ids, "x": (values / values, lengths)}


@pytest.mark.parametrize("asked", [False, True])
def test_a_brain_publishes_nothing_of_a_split_with_nan_unless_asked(
    tmp_path: Path, asked: bool
) -> None:
    options = {"allow_nonfinite": True} if asked else {}
    entry = {"name": "x", "dtype": "float16", "writer_kwargs": options}
    brain = _Overflowing([entry], tmp_path)
    values = torch.ones(2, 4, 3)
    values[1, 1] = 0  # not in what pads the second utterance, of two frames
    batches = [(["a", "b"], values, torch.tensor([4, 2]))]
    if asked:
        brain.cache_features(batches, "train")
        assert np.isnan(open_store(tmp_path / "x")["b"][1]).all()
    else:
        with pytest.raises(StoreError, match=r"'b' in store .*NaN or infinity in 3 of 6"):
            brain.cache_features(batches, "train")
        assert list(tmp_path.rglob("*")) == []
