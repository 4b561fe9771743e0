"""A shard is laid out from its plan, filled in any order, and a function of its rows alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featbank.errors import StoreError
from featbank.store import MappedShard, ShardInfo, ShardRow, ShardSpec, ShardWriter

NAME = f"{1:016x}.h5"
SPEC = ShardSpec(
    name="fbank", dtype="float32", shape=(3,), fingerprint="f", numerics={"device": "cpu"}
)
ROWS = [
    ShardRow(id=f"u{number}", num_frames=number % 4, input_digest=bytes([number]) * 16)
    for number in range(9)
]


def values(row: ShardRow) -> np.ndarray:
    rng = np.random.default_rng(row.input_digest[0])
    return rng.standard_normal((row.num_frames, 3)).astype(np.float32)


def write(
    path: Path,
    rows: Sequence[ShardRow],
    *,
    written: Sequence[ShardRow] | None = None,
    discarded: Any = (),
) -> ShardInfo | None:
    writer = ShardWriter(path, SPEC, rows)
    for row in rows if written is None else written:
        writer.write(row.id, values(row))
    for row in discarded:
        writer.discard(row.id)
    return writer.close()


def test_a_shard_gives_back_its_rows(tmp_path: Path) -> None:
    info = write(tmp_path / NAME, ROWS)
    shard = MappedShard(tmp_path / NAME, info.num_bytes)
    assert shard.spec == SPEC
    assert (info.name, info.part, info.first_id, info.last_id) == (NAME, "", "u0", "u8")
    assert (len(shard), shard.num_frames) == (info.num_utterances, info.num_frames) == (9, 12)
    for number, row in enumerate(ROWS):
        assert shard.find(row.id) == number
        assert shard.input_digest(number) == row.input_digest
        np.testing.assert_array_equal(shard.values(shard.frames(number)), values(row))


def test_plain_h5py_reads_a_shard_in_five_lines(tmp_path: Path) -> None:
    write(tmp_path / NAME, ROWS)
    with h5py.File(tmp_path / NAME) as shard:
        text, starts = shard["id_bytes"][:].tobytes(), shard["row_starts"][:]
        ids = [text[start:stop].decode() for start, stop in pairwise(starts[:, 1])]
        row = ids.index("u3")
        features = shard["values"][starts[row, 0] : starts[row + 1, 0]]
    np.testing.assert_array_equal(features, values(ROWS[3]))


def test_every_dataset_is_contiguous_and_aligned_to_64_bytes(tmp_path: Path) -> None:
    write(tmp_path / NAME, ROWS)
    with h5py.File(tmp_path / NAME) as shard:
        assert set(shard) == {
            "values",
            "row_starts",
            "id_bytes",
            "id_slots",
            "checksums",
            "input_digests",
            "rounding_errors",
        }
        for dataset in shard.values():
            assert dataset.id.get_offset() % 64 == 0


@settings(max_examples=15)
@given(order=st.permutations(ROWS), discarded=st.sets(st.sampled_from(range(9)), max_size=8))
def test_order_and_discarded_rows_leave_no_trace(
    tmp_path_factory: pytest.TempPathFactory, order: Any, discarded: Any
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    kept = [row for number, row in enumerate(ROWS) if number not in discarded]
    failed = [ROWS[number] for number in discarded]
    clean, other = folder / f"{1:016x}.h5", folder / f"{2:016x}.h5"
    write(clean, kept)
    # every second failed row had been written before it was discarded
    write(other, ROWS, written=[row for row in order if row not in failed[::2]], discarded=failed)
    assert other.read_bytes() == clean.read_bytes()
    assert sorted(folder.iterdir()) == [clean, other]


def test_a_shard_whose_rows_all_failed_is_no_file(tmp_path: Path) -> None:
    assert write(tmp_path / NAME, ROWS, written=[], discarded=ROWS) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("discarded", [[], ROWS[1:2]], ids=["whole", "discarded"])
def test_a_shard_waits_for_the_disk_but_where_it_is_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, discarded: Sequence[ShardRow]
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    found = []
    for sync in (True, False):
        writer = ShardWriter(tmp_path / NAME, SPEC, ROWS, sync=sync)
        for row in ROWS:
            writer.write(row.id, values(row))
        for row in discarded:
            writer.discard(row.id)
        info = writer.close()
        found.append((info, (tmp_path / NAME).read_bytes(), len(synced)))
        synced.clear()
    assert found[0][:2] == found[1][:2]
    assert [one[2] for one in found] == [2, 0]  # the file, and the name in its folder


def test_a_shard_without_a_single_frame_is_valid(tmp_path: Path) -> None:
    info = write(tmp_path / NAME, [ROWS[0], ROWS[4]])
    shard = MappedShard(tmp_path / NAME, info.num_bytes)
    assert shard.values(shard.frames(1)).shape == (0, 3)


def test_an_unwritten_row_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected all of its 9 rows, got 1 unwritten, first 'u8'"):
        write(tmp_path / NAME, ROWS, written=ROWS[:-1])
    assert list(tmp_path.iterdir()) == []


def test_wrong_writes_are_refused_by_id(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / NAME, SPEC, ROWS)
    with pytest.raises(StoreError, match=r"utterance 'x' .* got an unknown one"):
        writer.write("x", values(ROWS[1]))
    with pytest.raises(StoreError, match=r"'u1' .*expected shape \(1, 3\), got \(2, 3\)"):
        writer.write("u1", values(ROWS[2]))
    with pytest.raises(StoreError, match=r"expected shape \(1, 3\), got \(1, 4\)"):
        writer.write("u1", np.zeros((1, 4), np.float32))
    with pytest.raises(StoreError, match=r"'u1' .*float32.*got 1e\+300"):
        writer.write("u1", np.full((1, 3), 1e300))
    writer.write("u1", values(ROWS[1]))
    with pytest.raises(StoreError, match=r"'u1' .*a second one"):
        writer.write("u1", values(ROWS[1]))
    writer.discard("u2")
    with pytest.raises(StoreError, match=r"'u2' .*a discarded one"):
        writer.write("u2", values(ROWS[2]))
    with pytest.raises(StoreError, match=r"'u2' .*a discarded one"):
        writer.discard("u2")
    writer.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [[], ROWS[::-1], [ROWS[0], ROWS[0]]])
def test_rows_that_are_no_plan_are_refused(tmp_path: Path, rows: Sequence[ShardRow]) -> None:
    with pytest.raises(StoreError, match=r"expected 1 to \d+ rows|expected an id after"):
        ShardWriter(tmp_path / NAME, SPEC, rows)


def test_a_row_with_a_short_digest_is_refused() -> None:
    with pytest.raises(StoreError, match="expected 16 bytes or none, got 3 bytes"):
        ShardRow(id="a", num_frames=1, input_digest=b"abc")


PIECES = [
    *((dtype, (5,), None) for dtype in ("float16", "float32", "bfloat16", "int8_scaled", "int16")),
    ("int8_scaled", (2, 3), "zstd"),
    ("float16", (), None),
]


@pytest.mark.parametrize(("dtype", "shape", "compression"), PIECES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_row_written_in_pieces_leaves_the_bytes_of_one_write(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: str,
    shape: tuple[int, ...],
    compression: str | None,
    data: st.DataObject,
) -> None:
    num_frames = data.draw(st.sampled_from([1, 2, 7, 100]))
    cuts = sorted(data.draw(st.sets(st.integers(1, num_frames), max_size=5)) | {0, num_frames})
    seed = data.draw(st.integers(0, 2**32 - 1))
    array = np.random.default_rng(seed).standard_normal((num_frames, *shape)) * 100
    array = array.astype(np.int64 if dtype == "int16" else np.float32)
    spec = replace(SPEC, dtype=dtype, shape=shape, compression=compression)
    rows = [ShardRow(id=name, num_frames=num_frames) for name in ("a", "b", "c")]
    folder = tmp_path_factory.mktemp("shards")
    for number in (1, 2):
        writer = ShardWriter(folder / f"{number:016x}.h5", spec, rows)
        writer.write("c", array)
        # two rows at once, piece about piece
        for start, stop in pairwise(cuts) if number == 1 else [(0, num_frames)]:
            for name in ("b", "a"):
                if number == 1:
                    writer.write_piece(name, array[start:stop])
                else:
                    writer.write(name, array)
        writer.close()
    pieces, whole = sorted(folder.iterdir())
    assert pieces.read_bytes() == whole.read_bytes()


def test_pieces_of_a_scaled_row_come_back_within_half_a_step(tmp_path: Path) -> None:
    array = values(ROWS[3]) * [[1], [100], [1]]
    writer = ShardWriter(tmp_path / NAME, replace(SPEC, dtype="int8_scaled"), ROWS[3:4])
    for frame in array:
        writer.write_piece("u3", frame[None])
    info = writer.close()
    shard = MappedShard(tmp_path / NAME, info.num_bytes)
    half_steps = np.abs(array).max(axis=0) / 127 / 2
    assert (np.abs(shard.values(shard.frames(0)) - array) <= half_steps * 1.001).all()
    assert 0 < shard.rounding_error(0)[0] <= half_steps.max() * 1.001


@pytest.mark.parametrize("dtype", ["float32", "int8_scaled"])
def test_a_row_that_stops_half_way_and_is_discarded_leaves_nothing(
    tmp_path: Path, dtype: str
) -> None:
    spec = replace(SPEC, dtype=dtype)
    clean, other = tmp_path / f"{1:016x}.h5", tmp_path / f"{2:016x}.h5"
    for path, rows in ((clean, ROWS[1:3]), (other, ROWS[1:4])):
        writer = ShardWriter(path, spec, rows)
        for row in rows[:2]:
            writer.write(row.id, values(row))
        if path == other:
            writer.write_piece("u3", values(ROWS[3])[:2])
            writer.discard("u3")
        writer.close()
    assert sorted(tmp_path.iterdir()) == [clean, other]
    assert clean.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "int8_scaled"])
def test_a_half_written_row_is_refused_by_name_and_leaves_no_file(
    tmp_path: Path, dtype: str
) -> None:
    writer = ShardWriter(tmp_path / NAME, replace(SPEC, dtype=dtype), ROWS[2:4])
    writer.write("u2", values(ROWS[2]))
    writer.write_piece("u3", values(ROWS[3])[:2])
    assert len(list(tmp_path.iterdir())) == 1  # what waits for a scale has no name
    with pytest.raises(StoreError, match=r"'u3' .*expected 3 frames, got 2 in pieces"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_wrong_pieces_are_refused_by_id(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / NAME, SPEC, ROWS)
    for one in (values(ROWS[3])[:2], values(ROWS[3])[2:]):
        with pytest.raises(StoreError, match=r"'u3' .*frames of shape \(3,\), got \(2,\)"):
            writer.write_piece("u3", one[:, :2])
        writer.write_piece("u3", one)
    with pytest.raises(StoreError, match=r"'u3' .*expected one write, got a second one"):
        writer.write_piece("u3", values(ROWS[3])[:1])
    writer.write_piece("u2", values(ROWS[2])[:1])
    with pytest.raises(StoreError, match=r"'u2' .*expected 2 frames, got 1 and 2 more"):
        writer.write_piece("u2", values(ROWS[2]))
    with pytest.raises(StoreError, match=r"'u2' .*expected one write, got a second one"):
        writer.write("u2", values(ROWS[2]))
    with pytest.raises(StoreError, match=r"'u2' .*float32.*got 1e\+300"):
        writer.write_piece("u2", np.full((1, 3), 1e300))
    writer.write_piece("u0", values(ROWS[0]))  # of no frame
    writer.discard("u4")
    with pytest.raises(StoreError, match=r"'u4' .*a discarded one"):
        writer.write_piece("u4", values(ROWS[4]))
    with pytest.raises(StoreError, match=r"'x' .* got an unknown one"):
        writer.write_piece("x", values(ROWS[1]))
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_pieces_that_wait_for_a_scale_keep_one_dtype_and_are_finite(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / NAME, replace(SPEC, dtype="int8_scaled"), ROWS)
    writer.write_piece("u3", values(ROWS[3])[:1])
    with pytest.raises(StoreError, match=r"'u3' .*expected all of it in float32, got float64"):
        writer.write_piece("u3", values(ROWS[3])[1:].astype(np.float64))
    with pytest.raises(StoreError, match=r"'u3' .*expected finite values for int8_scaled"):
        writer.write_piece("u3", np.full((1, 3), np.nan, np.float32))
    writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_while_the_shard_is_laid_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"shard .*gone.*a disk with room that works.*free some"):
        ShardWriter(tmp_path / "gone" / NAME, SPEC, ROWS)
