from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import faiss
import joblib
import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

from featbank.errors import CodebookError
from featbank.tokenizers.importing import read_centroids
from tests.features.checks import Payload

FRAMES = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
CENTROIDS = FRAMES[:7].copy()


def _pickle(protocol: int) -> Any:
    return lambda model, path: path.write_bytes(pickle.dumps(model, protocol))


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
@pytest.mark.parametrize("dump", [joblib.dump, *map(_pickle, range(2, 6))])
def test_a_k_means_of_scikit_learn_is_read(kind: Any, dump: Any, tmp_path: Path) -> None:
    model = kind(5, n_init=1, random_state=0).fit(FRAMES)
    dump(model, tmp_path / "km.bin")
    centroids, what = read_centroids(tmp_path / "km.bin")
    np.testing.assert_array_equal(centroids, model.cluster_centers_)
    assert (what, centroids.dtype) == ("scikit-learn", np.float32)


def test_arrays_and_faiss_indices_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", CENTROIDS.astype(np.float64))
    index = faiss.IndexFlatL2(3)
    index.add(CENTROIDS)
    faiss.write_index(index, str(tmp_path / "a.faiss"))
    joblib.dump(CENTROIDS, tmp_path / "a.joblib")
    for name, what in (("a.npy", "numpy"), ("a.faiss", "faiss"), ("a.joblib", "scikit-learn")):
        centroids, found = read_centroids(tmp_path / name)
        np.testing.assert_array_equal(centroids, CENTROIDS)
        assert found == what


class _Model:
    def __init__(self, hostile: Any) -> None:
        self.cluster_centers_ = CENTROIDS
        self.hostile = hostile


@pytest.mark.parametrize(
    ("hostile", "dump"),
    [
        (Payload(), joblib.dump),
        (Payload(), lambda model, path: path.write_bytes(pickle.dumps(model))),
        (np.array([Payload()]), lambda model, path: path.write_bytes(pickle.dumps(model))),
    ],
)
def test_no_code_of_a_pickle_runs(
    hostile: Any, dump: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dump(_Model(hostile), tmp_path / "km.bin")
    centroids, _ = read_centroids(tmp_path / "km.bin")
    np.testing.assert_array_equal(centroids, CENTROIDS)
    assert not Path("ran").exists()
    joblib.load(tmp_path / "km.bin")
    assert Path("ran").exists()  # as it would have


# what numpy's own classes would follow as pointers: an array of objects on raw bytes, and a type of
# objects that says it holds none
_POINTERS = (
    b"\x80\x05cnumpy\nndarray\nK\x01\x85\x8c\x01O\x96\x08\0\0\0\0\0\0\0AAAAAAAA\x87RK\0Ns.",
    b"\x80\x05cnumpy\ndtype\n\x8c\x01O\x89\x88\x87R(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    b"\x94cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R"
    b"(K\x01K\x01\x85h\0\x89C\x08AAAAAAAAtbK\0Ns.",
)


@pytest.mark.parametrize("made_up", _POINTERS)
def test_pointers_that_a_pickle_makes_up_are_not_followed(made_up: bytes, tmp_path: Path) -> None:
    (tmp_path / "km.bin").write_bytes(made_up)
    with pytest.raises(CodebookError):
        read_centroids(tmp_path / "km.bin")


@pytest.mark.parametrize("order", ["<f8", ">f4", "<f2"])
def test_centroids_of_any_layout_are_read(order: str, tmp_path: Path) -> None:
    values = np.asfortranarray(CENTROIDS.astype(order))
    for dump in (joblib.dump, *map(_pickle, range(2, 6))):
        dump(values, tmp_path / "km.bin")
        np.testing.assert_array_equal(
            read_centroids(tmp_path / "km.bin")[0], values.astype(np.float32)
        )


def test_an_array_of_objects_is_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    joblib.dump(_Model(np.array([Payload()])), tmp_path / "km.bin")
    with pytest.raises(CodebookError, match="a whole pickle of numbers, got an array of objects"):
        read_centroids(tmp_path / "km.bin")
    assert not Path("ran").exists()


def _npy(values: Any) -> Any:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, values)

    return write


def _faiss_inner_product(path: Path) -> None:
    faiss.write_index(faiss.IndexFlatIP(3), str(path))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: joblib.dump(CENTROIDS, path, compress=3), "got a compressed one"),
        (lambda path: path.write_bytes(b"RIFF...."), "got another file; numpy.save"),
        (_faiss_inner_product, "got another index of faiss"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "a fitted k-means"),
        (lambda path: path.write_bytes(pickle.dumps(CENTROIDS)[:-60]), "a whole pickle"),
        (_npy(np.zeros((2, 2), int)), r"got \(2, 2\) int64"),
        (_npy(np.zeros(4)), r"got \(4,\) float64"),
        (_npy(np.array([{}])), "an array of numbers"),
    ],
)
def test_other_files_are_refused(write: Any, message: str, tmp_path: Path) -> None:
    write(tmp_path / "file")
    with pytest.raises(CodebookError, match=message):
        read_centroids(tmp_path / "file")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CodebookError, match=r"nothing: expected a file, got nothing there"):
        read_centroids(tmp_path / "nothing")


def _faiss(path: Path) -> None:
    index = faiss.IndexFlatL2(3)
    index.add(CENTROIDS)
    faiss.write_index(index, str(path))


WRITERS: dict[str, Any] = {
    "numpy": _npy(CENTROIDS),
    "numpy, by columns": _npy(np.asfortranarray(CENTROIDS)),
    "faiss": _faiss,
    "joblib": lambda path: joblib.dump(_Model(None), path),
    **{
        f"pickle {number}": lambda path, n=number: _pickle(n)(_Model(None), path)
        for number in (2, 5)
    },
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_refused_or_read_and_nothing_else(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    WRITERS[name](path)
    good = path.read_bytes()
    assert read_centroids(path)[0].shape == CENTROIDS.shape
    rng = np.random.default_rng(0)
    places = [*range(0, 60, 2), *rng.integers(60, len(good), 20)]
    damaged = [good[:end] for end in range(6, len(good), 31)]
    damaged += [
        good[:at] + bytes([value]) + good[at + 1 :]
        for at in places
        for value in (0, 0xFF, good[at] ^ 1)
    ]
    for data in damaged:
        path.write_bytes(data)
        with suppress(CodebookError):
            assert read_centroids(path)[0].nbytes <= 8 * len(good)


HUGE: dict[str, bytes] = {
    "numpy": b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3), }".ljust(117)
    + b"\n",
    "numpy, nested": b"\x93NUMPY\x01\x00\xff\x20" + b"(" * 0x20FE + b"\n",
    "faiss": b"IxF2" + (1 << 20).to_bytes(4, "little") + (1 << 20).to_bytes(8, "little")
    + bytes(16) + b"\x01\x01\0\0\0" + (1 << 40).to_bytes(8, "little"),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_sizes_that_a_file_does_not_hold_take_no_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(HUGE[name])
    with pytest.raises(CodebookError, match=r"expected (an array of numbers|a whole file), got"):
        read_centroids(tmp_path / "file")


def test_values_beyond_float32_are_infinite(tmp_path: Path) -> None:
    _npy(np.full((2, 2), 1e308))(tmp_path / "file")
    assert np.isinf(read_centroids(tmp_path / "file")[0]).all()
