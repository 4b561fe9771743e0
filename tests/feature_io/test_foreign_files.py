"""Files that lhotse and speechbrain wrote are read by what they hold, whatever they are called."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import lhotse.features.io
import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.feature_io import (
    ChunkedLilcomHdf5Reader,
    FeatureStorageReader,
    FeatureStorageReaderConfig,
    LilcomChunkyReader,
    LilcomFilesReader,
    LilcomHdf5Reader,
    NumpyFilesReader,
    NumpyHdf5Reader,
    PackedHdf5Reader,
    PackedHdf5Writer,
    create_feature_storage_readers,
    open_features,
)
from tests.waiting import in_two_processes

ROWS = {
    f"utt-{number}": np.random.default_rng(number).standard_normal((frames, 4), "f4")
    for number, frames in enumerate((1, 99, 100, 101, 499, 500, 501, 1234))
}
OFFSETS: list[tuple[int, int | None]] = [
    (0, None),
    (0, 0),
    (0, 1),
    (99, 101),
    (499, 501),
    (500, 1000),
    (1000, 9999),
    (700, None),
    (9999, None),
    (-3, None),
    (0, -3),
]
READERS: dict[str, Any] = {
    "numpy_hdf5": NumpyHdf5Reader,
    "lilcom_hdf5": LilcomHdf5Reader,
    "chunked_lilcom_hdf5": ChunkedLilcomHdf5Reader,
    "lilcom_chunky": LilcomChunkyReader,
    "numpy_files": NumpyFilesReader,
    "lilcom_files": LilcomFilesReader,
}


def written_by_lhotse(backend: str, path: Path) -> tuple[Path, dict[str, str]]:
    """Return where lhotse wrote `ROWS`, and their storage keys as its manifests have them."""
    kind: Any = lhotse.features.io.get_writer(backend)
    with kind(path) as writer:
        keys = {key: writer.write(key, value.copy()) for key, value in ROWS.items()}
    return Path(writer.storage_path), keys


@pytest.mark.parametrize("backend", READERS)
def test_what_lhotse_wrote_is_read_as_lhotse_reads_it(tmp_path: Path, backend: str) -> None:
    path, keys = written_by_lhotse(backend, tmp_path / "x")
    theirs: Any = lhotse.features.io.get_reader(backend)
    ours = READERS[backend](path)
    assert isinstance(ours, FeatureStorageReader)
    assert (ours.storage_path, ours.name) == (path, "x")
    for key, stored in keys.items():
        whole = theirs(str(path)).read(stored)
        for left, right in OFFSETS:
            read = ours.read(stored, left, right)
            np.testing.assert_array_equal(read, whole[left:right], strict=True)
            if min(left, right or 0) >= 0 and len(read):  # lhotse's chunks know no others
                np.testing.assert_array_equal(read, theirs(str(path)).read(stored, left, right))
        np.testing.assert_allclose(whole, ROWS[key], rtol=0, atol=2**-6)
        assert read.flags.writeable
        with pytest.raises(StoreError, match=f"offsets within its {len(whole)} frames"):
            ours.read(stored, 0, len(whole) + 1, strict=True)


@pytest.mark.parametrize("backend", READERS)
def test_they_are_known_by_content_and_read_by_id(tmp_path: Path, backend: str) -> None:
    path, keys = written_by_lhotse(backend, tmp_path / "x")
    assert type(open_features(tmp_path / "x")) is READERS[backend]
    path = path.rename(tmp_path / "cache.bin")
    found: Any = open_features(path)
    assert type(found) is READERS[backend]
    if backend == "lilcom_chunky":
        with pytest.raises(StoreError, match=r"a file that names nobody; keys="):
            found.ids  # noqa: B018
        found = LilcomChunkyReader(path, keys=keys)
    with found as reader:
        assert (reader.ids, len(reader)) == (sorted(ROWS), len(ROWS))
        assert ("utt-1" in reader, "utt" in reader, 3 in reader) == (True, False, False)
        for wrong in ("utt", "", "../x", "/etc/passwd", "a\0b", "\ud800", 3):
            assert wrong not in reader
            with pytest.raises(StoreError, match=r"expected an id that it holds, got"):
                reader.read(wrong)
    by_id = pickle.loads(pickle.dumps(reader))  # noqa: S301
    np.testing.assert_allclose(by_id.read("utt-1"), ROWS["utt-1"], rtol=0, atol=2**-6)


def frames_read(reader: Any) -> int:
    return len(reader.read("utt-7", 3, 40))


@pytest.mark.parametrize("backend", ["chunked_lilcom_hdf5", "numpy_files"])
def test_readers_work_in_forked_workers(tmp_path: Path, backend: str) -> None:
    reader = open_features(written_by_lhotse(backend, tmp_path / "x")[0])
    assert frames_read(reader) == 37  # open here before the fork
    assert in_two_processes("fork", frames_read, reader) == [37, 37]


def test_a_part_is_read_without_the_chunks_beside_it(tmp_path: Path) -> None:
    path, keys = written_by_lhotse("lilcom_chunky", tmp_path / "x")
    start, *sizes = map(int, keys["utt-7"].split(","))
    damaged = bytearray(path.read_bytes())
    damaged[start + sizes[0] : start + sum(sizes)] = bytes(sum(sizes[1:]))  # all but the first
    path.write_bytes(damaged)
    reader = LilcomChunkyReader(path, keys=keys)
    for strict in (False, True):
        assert len(reader.read("utt-7", 10, 500, strict=strict)) == 490
    with pytest.raises(StoreError, match=r"'utt-7' in .*expected values as they were written"):
        reader.read("utt-7", 10, 501)


def test_a_part_of_an_array_file_is_read_without_the_rest(tmp_path: Path) -> None:
    path, keys = written_by_lhotse("numpy_files", tmp_path / "x")
    file = path / keys["utt-7"]
    os.truncate(file, file.stat().st_size - 1)
    reader = NumpyFilesReader(path)
    np.testing.assert_array_equal(reader.read("utt-7", 7, 1233), ROWS["utt-7"][7:1233])
    with pytest.raises(StoreError, match=r"'utt-7' in .*a file that is cut short"):
        reader.read("utt-7")


@pytest.mark.parametrize("backend", ["lilcom_hdf5", "chunked_lilcom_hdf5", "numpy_hdf5"])
def test_a_reader_refuses_the_files_of_another(tmp_path: Path, backend: str) -> None:
    path, _ = written_by_lhotse(backend, tmp_path / "x")
    for kind in (NumpyHdf5Reader, LilcomHdf5Reader, ChunkedLilcomHdf5Reader):
        if kind is not READERS[backend]:
            with pytest.raises(StoreError, match=r"which \w+ reads, got .*open_features picks"):
                kind(path)
    with pytest.raises(StoreError, match=r"expected a folder of \.npy files, got a file"):
        NumpyFilesReader(path)
    with pytest.raises(StoreError, match="expected values as they were written"):
        LilcomChunkyReader(path).read("0,10")


CACHE = """
import sys
import numpy as np
from speechbrain.integrations.hdf5.cached_item import CachedHDF5DynamicItem
rows = np.load(sys.argv[1])
for folder, compression in zip(sys.argv[2:], (None, "gzip")):
    item = CachedHDF5DynamicItem(
        folder, compression=compression, takes=["id"], func=rows.__getitem__, provides=["feats"]
    )
    for key in rows:
        item(key)
    item.hdf5file.close()
"""


def test_speechbrains_cache_is_read_under_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", **ROWS)
    folders = [tmp_path / "plain", tmp_path / "gzip"]
    # a process of its own, for speechbrain's lazy modules fail when hypothesis looks at all modules
    subprocess.run([sys.executable, "-c", CACHE, tmp_path / "rows.npz", *folders], check=True)
    for folder in folders:
        file = folder / "cache.hdf5"
        for reader in (NumpyHdf5Reader(file), open_features(file)):
            assert reader.ids == sorted(ROWS)  # type: ignore[attr-defined]
            for key, value in ROWS.items():
                np.testing.assert_array_equal(reader.read(key), value, strict=True)
                np.testing.assert_array_equal(reader.read(key, 10, 90), value[10:90], strict=True)
        with pytest.raises(StoreError, match=r"HDF5 files in a folder: cache\.hdf5; open a file"):
            open_features(folder)


def test_the_suffix_is_added_only_where_nothing_is_there_without_it(tmp_path: Path) -> None:
    for name, value in (("x", 1), ("x.h5", 2)):
        with h5py.File(tmp_path / name, "w") as file:
            file["a"] = np.full((2, 2), value)
    assert NumpyHdf5Reader(tmp_path / "x").read("a").max() == 1
    assert NumpyHdf5Reader(tmp_path / "x.h5").read("a").max() == 2
    (tmp_path / "x").unlink()
    reader = NumpyHdf5Reader(tmp_path / "x")
    assert (reader.read("a").max(), reader.storage_path) == (2, tmp_path / "x.h5")
    (tmp_path / "x").mkdir()  # the folder of another feature
    assert NumpyHdf5Reader(tmp_path / "x").read("a").max() == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3.0, r"float64 of shape \(\)"),
        (["a", "b"], "object of shape"),
        (np.zeros(3, [("x", "f4"), ("y", "i4")]), r"\[\('x', '<f4'\), \('y', '<i4'\)\]"),
        (np.void(b"abc"), "bytes, as a lilcom-compressed file has them"),
    ],
)
def test_a_dataset_of_no_numbers_is_refused(tmp_path: Path, value: Any, message: str) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = np.zeros((3, 2))
        file["b"] = value
    reader = NumpyHdf5Reader(tmp_path / "x")
    assert reader.read("a").shape == (3, 2)
    with pytest.raises(StoreError, match=rf"'b' in .*expected numbers \(T, ...\), got {message}"):
        reader.read("b")


def test_a_file_of_no_features_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["vocabulary"] = ["a", "b"]
    (tmp_path / "text").write_text("nothing of the kind")
    for path, message in (
        (tmp_path / "x.h5", "got other datasets"),
        (tmp_path / "text", "got another file"),
        (tmp_path / "nobody", "nothing there; compute them first"),
        (tmp_path, r"HDF5 files in a folder: x\.h5"),
    ):
        with pytest.raises(StoreError, match=message):
            open_features(path)
    with pytest.raises(StoreError, match="got datasets that are no numbers; these are no features"):
        NumpyHdf5Reader(tmp_path / "x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="a pipe"):
        open_features(tmp_path / "pipe")


@pytest.mark.parametrize("value", [np.array(["a", "b"]), np.array([{}, 1], object), np.zeros(())])
def test_an_array_file_of_no_numbers_is_refused_and_never_unpickled(
    tmp_path: Path, value: Any
) -> None:
    np.save(tmp_path / "bad.npy", value, allow_pickle=True)
    with pytest.raises(StoreError, match=r"'bad' in .*expected numbers"):
        NumpyFilesReader(tmp_path).read("bad")


@pytest.mark.parametrize("value", [np.arange(24).reshape(6, 2, 2), np.arange(6, dtype=">f4")])
def test_an_array_file_is_read_in_any_order_of_bytes_and_axes(tmp_path: Path, value: Any) -> None:
    np.save(
        tmp_path / "a.npy", np.asfortranarray(value)
    )  # in the folder itself, as lhotse once did
    reader = open_features(tmp_path)
    for left, right in ((0, None), (2, 5), (4, 99)):
        read = reader.read("a", left, right)
        np.testing.assert_array_equal(read, value[left:right])
        assert read.dtype.isnative
    assert list(reader) == ["a"]  # type: ignore[call-overload]


@pytest.mark.parametrize("signature", [b"SNOD", b"TREE", b"HEAP"])
def test_a_damaged_hdf5_file_is_named_by_whatever_looks_into_it(
    tmp_path: Path, signature: bytes
) -> None:
    path, _ = written_by_lhotse("numpy_hdf5", tmp_path / "x")
    data = path.read_bytes()
    assert signature in data
    (tmp_path / "y.h5").write_bytes(data.replace(signature, b"XXXX"))
    for look in (
        open_features,
        NumpyHdf5Reader,
        lambda path: NumpyHdf5Reader(path).ids,
        lambda path: "utt-1" in NumpyHdf5Reader(path),
        lambda path: NumpyHdf5Reader(path).read("utt-1"),
    ):
        with pytest.raises(StoreError, match=r"y\.h5.*expected"):
            look(tmp_path / "y.h5")


@pytest.mark.parametrize("header", [b"{'descr': (", b"{'descr': '<f4', ", b"\xff\xff", b"3"])
def test_an_array_file_with_a_damaged_header_is_refused(tmp_path: Path, header: bytes) -> None:
    size = len(header).to_bytes(2, "little")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + size + header + bytes(64))
    with pytest.raises(StoreError, match=r"'a' in .*expected values as they were written"):
        NumpyFilesReader(tmp_path).read("a")


@pytest.mark.parametrize("key", ["x", "1,-5", "0,99999999", "0,5", "9" * 40, "1,,2", "٣"])
def test_a_wrong_storage_key_is_refused(tmp_path: Path, key: str) -> None:
    path, _ = written_by_lhotse("lilcom_chunky", tmp_path / "x")
    with pytest.raises(StoreError, match=r"utterance '.*' in .*expected"):
        LilcomChunkyReader(path).read(key)


def test_a_packed_store_is_known_by_its_header_and_a_shard_is_led_to_it(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        with PackedHdf5Writer(tmp_path / "fbank" / split, name="fbank") as writer:
            writer.write(f"{split}-a", ROWS["utt-1"])
    for path in (tmp_path / "fbank", tmp_path / "fbank" / "train"):
        reader = open_features(path)
        assert isinstance(reader, PackedHdf5Reader)
        np.testing.assert_array_equal(reader.read("train-a", 90, 200), ROWS["utt-1"][90:])
    [shard] = (tmp_path / "fbank" / "train").glob("*.h5")
    for opener in (open_features, NumpyHdf5Reader, LilcomHdf5Reader):
        with pytest.raises(StoreError, match=r"a shard of a packed store; .*open_store\('.*train"):
            opener(shard)
    with pytest.raises(StoreError, match=r"got the folder of a packed store; .*open_features"):
        NumpyHdf5Reader(shard.parent)
    shutil.copy(shard, tmp_path / "renamed")
    with pytest.raises(StoreError, match="a shard of a packed store"):
        open_features(tmp_path / "renamed")


def test_yaml_names_the_readers_and_the_function_that_picks_one(tmp_path: Path) -> None:
    path, _ = written_by_lhotse("chunked_lilcom_hdf5", tmp_path / "fbank")
    for named in ("featbank.feature_io.ChunkedLilcomHdf5Reader", open_features):
        config = FeatureStorageReaderConfig("fbank", named)
        [reader] = create_feature_storage_readers([config], path.parent).values()
        assert (reader.name, len(reader)) == ("fbank", len(ROWS))
