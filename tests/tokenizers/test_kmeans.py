from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans

from featbank.base.notices import Notice, listening
from featbank.errors import CodebookError, ConfigError
from featbank.files.sealed import write_sealed
from featbank.tokenizers.codebook import Codebook
from featbank.tokenizers.fit_file import load_state, save_state
from featbank.tokenizers.kmeans import FitState, KMeans


def _frames(num_frames: int = 800, num_centers: int = 4) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = rng.normal(scale=10, size=(num_centers, 6)) + 100
    noise = rng.normal(size=(num_frames, 6))
    return (centers[rng.integers(num_centers, size=num_frames)] + noise).astype(np.float32)


def _distance(frames: np.ndarray, centroids: np.ndarray) -> float:
    left = frames.astype(np.float64)
    for book in np.asarray(centroids, np.float64):
        left -= book[((left[:, None] - book[None]) ** 2).sum(axis=2).argmin(axis=1)]
    return float((left**2).sum(axis=1).mean())


def test_the_clusters_are_found_and_equal_seeds_give_equal_bytes() -> None:
    centroids, distances = KMeans(num_clusters=4).fit(_frames(), seed=1)
    again, _ = KMeans(num_clusters=4).fit(_frames(), seed=1)
    assert centroids.tobytes() == again.tobytes()
    assert (centroids.shape, centroids.dtype) == ((1, 4, 6), np.float32)
    # the spread within a cluster is 6 dimensions of variance 1
    assert distances[0] == pytest.approx(6, rel=0.1)
    assert distances[0] == pytest.approx(_distance(_frames(), centroids), rel=1e-5)
    other, _ = KMeans(num_clusters=4).fit(_frames(), seed=2)
    assert other.tobytes() != centroids.tobytes()


def test_frames_are_clustered_no_worse_than_by_scikit_learn() -> None:
    frames = np.random.default_rng(0).normal(size=(6000, 5)).astype(np.float32)
    peer = MiniBatchKMeans(40, n_init=1, batch_size=1000, random_state=0).fit(frames)
    theirs = _distance(frames, peer.cluster_centers_[None])
    _, distances = KMeans(num_clusters=40).fit(frames.copy(), seed=0)
    assert distances[0] <= theirs * 1.01


def test_each_residual_codebook_leaves_less() -> None:
    frames = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32) + 3
    kmeans = KMeans(num_clusters=8, num_codebooks=3)
    centroids, distances = kmeans.fit(frames.copy(), seed=0)
    assert centroids.shape == (3, 8, 5)
    assert distances[0] > distances[1] > distances[2]
    assert distances == pytest.approx(
        [_distance(frames, centroids[: q + 1]) for q in range(3)], rel=1e-4
    )
    codes = Codebook(centroids=centroids).assign(frames)
    left = frames - Codebook(centroids=centroids).decode(codes)
    assert (left**2).sum(axis=1).mean() == pytest.approx(distances[-1], rel=1e-4)


def test_a_fit_goes_on_from_any_pass_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    kmeans = KMeans(num_clusters=4, num_codebooks=2, max_passes=3)
    states: list[FitState] = []
    whole, distances = kmeans.fit(_frames(), seed=3, keep=states.append)
    assert len(states) > 4
    for number, state in enumerate(states):
        save_state(tmp_path / str(number), state)
        loaded = load_state(tmp_path / str(number))
        assert loaded is not None
        again, same = kmeans.fit(_frames(), seed=3, state=loaded)
        assert again.tobytes() == whole.tobytes()
        assert same == distances


def test_progress_of_a_fit_ends_at_what_it_has_to_go_through_at_most_stopped_or_not() -> None:
    kmeans = KMeans(num_clusters=4, num_codebooks=2, max_passes=9)
    states: list[FitState] = []
    kmeans.fit(_frames(), seed=3, keep=states.append)
    for state in (None, *states):
        done: list[float] = []
        heard: list[Notice] = []
        with listening(heard.append):
            kmeans.fit(_frames(), seed=3, state=state, advance=done.append)
        assert [notice.total for notice in heard if notice.total] == [sum(done)]
        assert 0 <= sum(notice.reused for notice in heard) < sum(done) or state is not None


def test_a_state_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert load_state(tmp_path / "a") is None
    (tmp_path / "a").write_bytes(b"\x10" + b"\0" * 30)
    assert load_state(tmp_path / "a") is None
    write_sealed(tmp_path / "a", "featbank-fit", {"others": _frames()}, {})
    assert load_state(tmp_path / "a") is None
    (tmp_path / "a").unlink()
    os.mkfifo(tmp_path / "a")
    assert load_state(tmp_path / "a") is None


def test_a_state_of_which_a_bit_has_flipped_is_none(tmp_path: Path) -> None:
    states: list[FitState] = []
    KMeans(num_clusters=4).fit(_frames(), seed=3, keep=states.append)
    save_state(tmp_path / "a", states[0])
    flipped = bytearray((tmp_path / "a").read_bytes())
    flipped[-3] ^= 1
    (tmp_path / "a").write_bytes(flipped)
    assert load_state(tmp_path / "a") is None


def test_a_centroid_without_frames_gets_some() -> None:
    # two far groups of two points each: whatever centroids start together have to part
    frames = np.repeat(np.array([[0, 0], [0, 1], [100, 0], [100, 1]], np.float32), 50, axis=0)
    np.random.default_rng(0).shuffle(frames)
    for seed in range(5):
        centroids, distances = KMeans(num_clusters=4).fit(frames.copy(), seed=seed)
        assert len(np.unique(centroids.round(3), axis=1)[0]) == 4
        assert distances[0] == pytest.approx(0, abs=1e-6)


def test_frames_that_differ_only_behind_the_first_ones_are_found() -> None:
    rare = np.array([[5, 5], [9, 1]], np.float32)
    frames = np.concatenate([np.zeros((500, 2), np.float32), rare])
    centroids, _ = KMeans(num_clusters=3).fit(frames, seed=0)
    np.testing.assert_allclose(np.sort(centroids[0, :, 0]), [0, 5, 9], atol=1e-4)


def test_fewer_frames_that_differ_than_clusters_are_refused() -> None:
    with pytest.raises(CodebookError, match="at least num_clusters=4, got 3; pin a larger sample"):
        KMeans(num_clusters=4).fit(np.zeros((3, 2), np.float32), seed=0)
    frames = np.repeat(np.array([[1, 2], [3, 4], [5, 6]], np.float32), 100, axis=0)
    with pytest.raises(CodebookError, match="num_clusters=4 that differ, got 3"):
        KMeans(num_clusters=4).fit(frames, seed=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_frames_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(CodebookError, match="expected finite values"):
        KMeans(num_clusters=1).fit(np.full((3, 2), bad, np.float32), seed=0)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"num_clusters": 0}, "tokenizer.kmeans.num_clusters: expected 1 or more, got 0"),
        ({"num_codebooks": 0}, "num_codebooks: expected 1 or more"),
        ({"max_passes": 0}, "max_passes: expected 1 or more"),
        ({"num_frames": 10}, "num_frames: expected at least num_clusters=100, got 10"),
        ({"tol": 1.0}, "tol: expected from 0 to below 1"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        KMeans(**setting)  # type: ignore[arg-type]
