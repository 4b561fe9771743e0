from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from featbank.errors import CodebookError
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook
from featbank.tokenizers.kmeans import KMeans

RNG = np.random.default_rng(0)
CENTROIDS = RNG.normal(size=(5, 3)).astype(np.float32)


def test_a_codebook_is_read_back_with_its_provenance_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_codebook(path, Codebook(centroids=CENTROIDS, provenance={"seed": 0, "é": [1]}))
    first = path.read_bytes()
    found = load_codebook(path)
    np.testing.assert_array_equal(found.centroids, CENTROIDS)
    assert found.provenance == {"seed": 0, "é": [1]}
    assert len(found.digest) == 64
    save_codebook(path, found)
    assert path.read_bytes() == first


def test_every_frame_gets_its_nearest_centroid() -> None:
    features = RNG.normal(size=(200, 3)).astype(np.float32)
    distances = ((features[:, None].astype(np.float64) - CENTROIDS[None]) ** 2).sum(axis=2)
    units = Codebook(centroids=CENTROIDS).assign(features)
    np.testing.assert_array_equal(units, distances.argmin(axis=1))
    assert units.dtype == np.uint8


def test_of_two_equal_centroids_the_first_is_given() -> None:
    codebook = Codebook(centroids=np.repeat(CENTROIDS[:1], 3, axis=0))
    assert codebook.assign(np.zeros((4, 3), np.float32)).tolist() == [0, 0, 0, 0]


def test_no_frames_give_no_units() -> None:
    assert Codebook(centroids=CENTROIDS).assign(np.empty((0, 3), np.float32)).shape == (0,)


@pytest.mark.parametrize(
    ("num_clusters", "dtype"), [(256, "uint8"), (257, "uint16"), (65537, "uint32")]
)
def test_units_are_the_smallest_integers_that_hold_the_codebook(
    num_clusters: int, dtype: str
) -> None:
    assert Codebook(centroids=np.zeros((num_clusters, 1), np.float32)).unit_dtype == dtype


def test_features_of_another_dimension_are_refused() -> None:
    with pytest.raises(CodebookError, match=r"expected shape \(T, 3\), got \(2, 4\)"):
        Codebook(centroids=CENTROIDS).assign(np.zeros((2, 4), np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_centroids_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(CodebookError, match="expected finite values"):
        Codebook(centroids=np.full((2, 2), bad, np.float32))


def test_a_missing_codebook_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CodebookError, match=r"got nothing there; run python stages/fit.py"):
        load_codebook(tmp_path / "a.safetensors")


def test_another_safetensors_file_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    save_file({"centroids": CENTROIDS}, tmp_path / "foreign.safetensors")
    with pytest.raises(CodebookError, match="got another safetensors file"):
        load_codebook(tmp_path / "foreign.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x10" + b"\0" * 30)
    with pytest.raises(CodebookError, match="expected a safetensors file"):
        load_codebook(tmp_path / "damaged.safetensors")


def _frames() -> np.ndarray:
    centers = RNG.normal(scale=10, size=(4, 6))
    return (centers[RNG.integers(4, size=800)] + RNG.normal(size=(800, 6))).astype(np.float32)


def test_fitting_twice_gives_the_same_bytes_and_finds_the_clusters() -> None:
    frames = _frames()
    centroids, inertia = KMeans(num_clusters=4, n_init=3).fit(frames, seed=1)
    again, _ = KMeans(num_clusters=4, n_init=3).fit(frames, seed=1)
    assert centroids.tobytes() == again.tobytes()
    assert centroids.dtype == np.float32
    # the spread within a cluster is 6 dimensions of variance 1
    assert inertia == pytest.approx(6, rel=0.1)


def test_fewer_frames_than_clusters_are_refused() -> None:
    with pytest.raises(CodebookError, match="at least num_clusters=4, got 3; pin a larger sample"):
        KMeans(num_clusters=4).fit(np.zeros((3, 2), np.float32), seed=0)


def test_frames_that_are_not_finite_are_refused() -> None:
    with pytest.raises(CodebookError, match="expected finite values"):
        KMeans(num_clusters=1).fit(np.full((3, 2), np.nan, np.float32), seed=0)
