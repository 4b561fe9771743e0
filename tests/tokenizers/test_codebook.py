from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from featbank.errors import CodebookError
from featbank.tokenizers.codebook import Codebook, load_codebook, save_codebook

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


def far(centers: float | np.ndarray, num_codebooks: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (T, 39) and centroids (Q, 50, 39) of spread 1 around centers far from zero."""
    rng = np.random.default_rng(1)
    frames = (centers + rng.normal(size=(5000, 39))).astype(np.float32)
    books = rng.normal(size=(num_codebooks, 50, 39))
    books[0] += centers
    return frames, books.astype(np.float32)


@pytest.mark.parametrize(
    "centers",
    [1000.0, -1e4, np.linspace(-3000, 3000, 39), np.where(np.arange(39) == 7, 1e5, 0.0)],
    ids=["1000", "-10000", "both signs", "one dimension"],
)
@pytest.mark.parametrize("num_codebooks", [1, 3])
def test_the_nearest_is_found_however_far_from_zero(
    centers: float | np.ndarray, num_codebooks: int
) -> None:
    frames, books = far(centers, num_codebooks)
    codebook = Codebook(centroids=books[0] if num_codebooks == 1 else books)
    codes = codebook.assign(frames).reshape(len(frames), -1)
    left = frames.astype(np.float64)
    for book, column in zip(books.astype(np.float64), codes.T, strict=True):
        distances = np.square(left[:, None] - book[None]).sum(axis=2)
        least, found = distances.min(axis=1), distances[np.arange(len(left)), column]
        # equally near, but for the rounding of sums of squares near 1
        assert (found <= least * (1 + 1e-6)).all()
        left = (left.astype(np.float32) - book.astype(np.float32)[column]).astype(np.float64)


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
    with pytest.raises(CodebookError, match=r"got nothing there; .*run python stages/fit.py"):
        load_codebook(tmp_path / "a.safetensors")


def test_another_safetensors_file_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    save_file({"centroids": CENTROIDS}, tmp_path / "foreign.safetensors")
    with pytest.raises(CodebookError, match="got another safetensors file"):
        load_codebook(tmp_path / "foreign.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x10" + b"\0" * 30)
    with pytest.raises(CodebookError, match="expected a safetensors file"):
        load_codebook(tmp_path / "damaged.safetensors")


@pytest.mark.parametrize("header", ["", "[]", "{}", '{"format_version": 4, "header": {}}'])
def test_a_damaged_header_is_refused_by_the_name_of_its_file(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"centroids": CENTROIDS}, path, {"featbank-codebook": header})
    with pytest.raises(CodebookError, match=r"a.safetensors: expected "):
        load_codebook(path)


def test_a_file_from_before_the_digest_is_refused_with_what_to_run(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"centroids": CENTROIDS}, path, {"featbank-codebook": '{"format_version": "1"}'})
    with pytest.raises(CodebookError, match=r"format version 4, got '1'; .*stages/fit.py"):
        load_codebook(path)


def test_no_flipped_bit_of_a_codebook_is_served(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_codebook(path, Codebook(centroids=CENTROIDS, provenance={"fitted_on": {"sample": "s"}}))
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with suppress(CodebookError):
            found = load_codebook(path)  # it may, of a space that JSON does not mind
            np.testing.assert_array_equal(found.centroids, CENTROIDS)
            assert found.provenance == {"fitted_on": {"sample": "s"}}


RESIDUAL = Codebook(centroids=RNG.normal(size=(3, 5, 2)).astype(np.float32))


def test_each_residual_codebook_takes_the_nearest_to_what_is_left() -> None:
    features = RNG.normal(size=(50, 2)).astype(np.float32)
    codes = RESIDUAL.assign(features)
    assert (codes.shape, codes.dtype) == ((50, 3), np.uint8)
    left = features.astype(np.float64)
    for book, column in zip(RESIDUAL.centroids, codes.T, strict=True):
        distances = ((left[:, None] - book[None]) ** 2).sum(axis=2)
        np.testing.assert_array_equal(column, distances.argmin(axis=1))
        left -= book[column]
    np.testing.assert_allclose(RESIDUAL.decode(codes), features - left, atol=1e-6)


def test_the_first_codes_decode_without_the_others() -> None:
    codes = np.array([[1, 2, 3], [4, 0, 1]], np.uint8)
    np.testing.assert_array_equal(RESIDUAL.decode(codes[:, :1]), RESIDUAL.centroids[0][[1, 4]])


def test_units_decode_to_their_centroids() -> None:
    codebook = Codebook(centroids=CENTROIDS)
    np.testing.assert_array_equal(codebook.decode(np.array([2, 0])), CENTROIDS[[2, 0]])


@pytest.mark.parametrize(
    ("codebook", "units", "expected"),
    [
        (RESIDUAL, np.zeros(4, int), r"shape \(T, 1 to 3\), got \(4,\)"),
        (RESIDUAL, np.zeros((4, 4), int), r"shape \(T, 1 to 3\), got \(4, 4\)"),
        (RESIDUAL, np.full((1, 3), 5), "from 0 to 4, got 5 to 5"),
        (Codebook(centroids=CENTROIDS), np.zeros((4, 1), int), r"shape \(T,\), got \(4, 1\)"),
        (Codebook(centroids=CENTROIDS), np.array([-1, 2]), "from 0 to 4, got -1 to 2"),
    ],
)
def test_units_that_a_codebook_does_not_have_are_refused(
    codebook: Codebook, units: np.ndarray, expected: str
) -> None:
    with pytest.raises(CodebookError, match=expected):
        codebook.decode(units)


def test_residual_codebooks_are_read_as_they_were_written(tmp_path: Path) -> None:
    save_codebook(tmp_path / "residual", RESIDUAL)
    np.testing.assert_array_equal(
        load_codebook(tmp_path / "residual").centroids, RESIDUAL.centroids
    )


def test_the_units_of_a_long_utterance_do_not_hang_on_its_pieces() -> None:
    features = RNG.normal(size=(5000, 3)).astype(np.float32)
    codebook = Codebook(centroids=RNG.normal(size=(40, 3)).astype(np.float32))
    whole = codebook.assign(features)
    for cuts in ([1], [2047, 2049, 2050], [4096], [1000, 2000, 3000, 4000]):
        pieces = np.split(features, cuts)
        np.testing.assert_array_equal(codebook.assign_pieces(pieces), whole)
