from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from featbank.errors import CodebookError
from featbank.store import Store, StoreWriter, open_store
from featbank.tokenizers.drawing import draw_frames

LENGTHS = {"a": 50, "b": 1, "c": 200, "d": 0, "e": 149}


def _store(path: Path, lengths: Mapping[str, int], names: Sequence[str]) -> Store:
    """Frames that say whose they are and where they lie."""
    with StoreWriter(path, name="toy", dtype="float32", shape=(2,), fingerprint="f") as writer:
        for name in names:
            frames = np.empty((lengths[name], 2), np.float32)
            frames[:, 0] = ord(name)
            frames[:, 1] = np.arange(lengths[name])
            writer.write(name, frames)
    return open_store(path)


def _places(frames: np.ndarray) -> list[tuple[int, int]]:
    return [(int(name), int(frame)) for name, frame in frames]


def test_frames_are_drawn_without_replacement_in_random_order(tmp_path: Path) -> None:
    store = _store(tmp_path / "s", LENGTHS, "abcde")
    drawn = _places(draw_frames(store, 120, seed=0))
    assert len(set(drawn)) == len(drawn) == 120
    assert drawn != sorted(drawn)
    assert drawn == _places(draw_frames(store, 120, seed=0))
    assert set(drawn) != set(_places(draw_frames(store, 120, seed=1)))


def test_all_are_drawn_where_there_are_fewer(tmp_path: Path) -> None:
    store = _store(tmp_path / "s", LENGTHS, "abcde")
    assert len(set(_places(draw_frames(store, 1000, seed=0)))) == sum(LENGTHS.values())


def test_fewer_are_the_first_of_more(tmp_path: Path) -> None:
    store = _store(tmp_path / "s", LENGTHS, "abcde")
    few, many = (draw_frames(store, number, seed=0) for number in (30, 300))
    np.testing.assert_array_equal(few, many[:30])


def test_the_order_of_the_store_plays_no_part_and_growth_little(tmp_path: Path) -> None:
    drawn = _places(draw_frames(_store(tmp_path / "s", LENGTHS, "abcde"), 100, seed=0))
    other = _places(draw_frames(_store(tmp_path / "t", LENGTHS, "edcba"), 100, seed=0))
    assert drawn == other
    grown = _store(tmp_path / "u", {**LENGTHS, "f": 20}, "abcdef")
    new = _places(draw_frames(grown, 100, seed=0))
    from_f = [place for place in new if place[0] == ord("f")]
    # what was drawn stays, but for those that the new frames displace
    assert [place for place in new if place[0] != ord("f")] == drawn[: 100 - len(from_f)]
    assert 0 < len(from_f) < 15


def test_every_frame_has_the_same_chance(tmp_path: Path) -> None:
    store = _store(tmp_path / "s", LENGTHS, "abcde")
    counts = np.zeros(200)
    for seed in range(100):
        places = _places(draw_frames(store, 100, seed=seed))
        for name, frame in places:
            if name == ord("c"):
                counts[frame] += 1
    # 100 draws of probability 1/4: 25 with a deviation of 4.3
    assert counts.mean() == pytest.approx(25, abs=1.5)
    assert 8 < counts.min() < counts.max() < 45


def test_layers_and_codes_are_no_vectors(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="x", dtype="float32", shape=(2, 3)) as writer:
        writer.write("a", np.zeros((4, 2, 3), np.float32))
    with pytest.raises(CodebookError, match=r"a vector of real values a frame, got shape \(2, 3\)"):
        draw_frames(open_store(tmp_path / "s"), 3, seed=0)
    with StoreWriter(
        tmp_path / "t", name="x", dtype="uint16", shape=(2,), time_axis=-1, codebook_size=10
    ) as writer:
        writer.write("a", np.zeros((2, 5), np.uint16))
    with pytest.raises(CodebookError, match="got codes; choose one layer"):
        draw_frames(open_store(tmp_path / "t"), 3, seed=0)
