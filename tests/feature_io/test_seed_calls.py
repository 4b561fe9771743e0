"""Writers and readers are called as SpeechBrain's pull request 2942 and lhotse call theirs."""

from __future__ import annotations

import contextlib
import gc
import logging
import pickle
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from featbank.errors import ConfigError, StoreError
from featbank.feature_io import (
    FeatureStorageConfig,
    FeatureStorageReader,
    FeatureStorageReaderConfig,
    LilcomHdf5Writer,
    NumpyHdf5Reader,
    NumpyHdf5Writer,
    PackedHdf5Reader,
    PackedHdf5Writer,
    create_feature_storage_readers,
    create_feature_storage_writers,
    open_features,
    storage_configs,
)

FRAMES = np.arange(10, dtype=np.float32).reshape(5, 2)
WRITERS = [PackedHdf5Writer, NumpyHdf5Writer, LilcomHdf5Writer]


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("float16", "float16"),
        (np.float32, "float32"),
        (np.dtype("float64"), "float64"),
        (np.dtype(">f4"), "float32"),
        ("<f2", "float16"),
        ("torch.bfloat16", "bfloat16"),
        ("np.int32", "int32"),
        (torch.float32, "float32"),
        (torch.bfloat16, "bfloat16"),
        (torch.half, "float16"),
        (torch.uint8, "uint8"),
        (np.longlong, "int64"),
        (float, "float64"),
        (partial(np.dtype, "int16"), "int16"),
        ("int8_scaled", "int8_scaled"),
    ],
)
def test_a_dtype_is_named_as_numpy_torch_and_texts_name_it(
    tmp_path: Path, dtype: Any, name: str
) -> None:
    assert FeatureStorageConfig("f", dtype).dtype == name
    with PackedHdf5Writer(tmp_path / "f", name="f", dtype=dtype) as writer:
        writer.write("a", np.ones((3, 2), "u1" if "int" in name and "_" not in name else "f4"))
    assert PackedHdf5Reader(tmp_path / "f").header.dtype == name


@pytest.mark.parametrize("dtype", ["float", "float8", np.floating, bool, 3, None, np.dtype("U4")])
def test_what_is_no_dtype_of_a_store_is_refused(dtype: Any) -> None:
    with pytest.raises(ConfigError, match=r"storage of 'f': dtype: expected float32 or float16 or"):
        FeatureStorageConfig("f", dtype)


def test_yaml_gives_dtypes_classes_writers_and_readers(tmp_path: Path) -> None:
    hparams = load_hyperpyyaml(f"""
        configs:
            fbank: !new:featbank.feature_io.FeatureStorageConfig
                name: fbank
                dtype: !name:numpy.float16
                writer_class: !name:featbank.feature_io.PackedHdf5Writer
            pitch: !new:featbank.feature_io.FeatureStorageConfig
                name: pitch
                dtype: !name:torch.float32
                writer_class: !name:featbank.feature_io.NumpyHdf5Writer
                    mode: x
        writers: !apply:featbank.feature_io.create_feature_storage_writers
            feature_configs: !ref <configs>
            base_path: {tmp_path}
            prefix: train_
        readers: !apply:featbank.feature_io.create_feature_storage_readers
            feature_configs: !ref <configs>
            base_path: {tmp_path}
            prefix: train_
        alone: !new:featbank.feature_io.PackedHdf5Reader
            storage_path: {tmp_path}/train_fbank
    """)
    for name, writer in hparams["writers"].items():
        with pytest.raises(StoreError, match=r"train_.*nothing there; compute them first"):
            hparams["readers"][name].read("a")  # declared before it was computed
        assert writer.write("a", torch.from_numpy(FRAMES)) == "a"
        writer.close()
    for name, reader in hparams["readers"].items():
        assert isinstance(reader, FeatureStorageReader)
        assert reader.name == name
        np.testing.assert_array_equal(reader.read("a"), FRAMES)
    assert hparams["alone"].read("a").dtype == np.float16


def test_entries_come_as_a_list_or_by_name() -> None:
    config = FeatureStorageConfig("f", np.float16)
    for given in (
        [config],
        (config,),
        iter([config]),
        {"f": config},
        [{"name": "f", "dtype": "float16"}],
        {"f": {"dtype": "float16"}},
        {"f": {"name": "f", "dtype": torch.float16}},
    ):
        assert storage_configs(given) == [config]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"g": FeatureStorageConfig("f")}, r"feature_configs: g: name: expected 'g', got 'f'"),
        ({"g": {"name": "f"}}, r"feature_configs: g: name: expected 'g', got 'f'"),
        ({"name": "f", "dtype": "float16"}, r"got 'f'; put a single entry into a list"),
        (FeatureStorageConfig("f"), r"expected a list of entries.*put a single entry"),
        ("f", r"expected a list of entries"),
        ([partial(FeatureStorageConfig, "f")], r"expected an entry such as FeatureStorageConfig"),
        ([FeatureStorageConfig("f")] * 2, r"storage of 'f': expected one entry, got two"),
        ([{"dtype": "float16"}], r"feature_configs: name: expected letters"),
        ({}, r"expected one entry a feature, got none"),
    ],
)
def test_entries_that_disagree_are_refused(given: Any, message: str, tmp_path: Path) -> None:
    for make in (
        storage_configs,
        lambda configs: create_feature_storage_writers(configs, tmp_path),
        lambda configs: create_feature_storage_readers(configs, tmp_path),
    ):
        with pytest.raises(ConfigError, match=message):
            make(given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_close_publishes_and_may_be_called_again(tmp_path: Path, kind: Any) -> None:
    writer = kind(storage_path=tmp_path / "x", name="x", dtype=np.float32)
    assert writer.write("a", FRAMES) == "a"
    writer.close()
    writer.close()
    writer.commit()  # it is published already
    writer.abort()
    reader = open_features(storage_path=tmp_path / "x")
    np.testing.assert_array_equal(reader.read("a"), FRAMES)
    with pytest.raises(StoreError, match="got one that is closed"):
        writer.write("b", FRAMES)


def closed_finally(writer: Any) -> None:
    try:
        writer.write("a", FRAMES)
        raise KeyError("half way")
    finally:
        writer.close()


def closed_by_contextlib(writer: Any) -> None:
    with contextlib.closing(writer):
        writer.write("a", FRAMES)
        raise KeyError("half way")


@pytest.mark.parametrize("kind", [PackedHdf5Writer, NumpyHdf5Writer])
@pytest.mark.parametrize("fail", [closed_finally, closed_by_contextlib])
def test_a_writer_closed_by_an_error_publishes_no_half(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: Any, fail: Any
) -> None:
    with pytest.raises(KeyError, match="half way"):
        fail(kind(tmp_path / "x", name="x"))
    assert list(tmp_path.iterdir()) == []
    assert "closed while KeyError is under way, so nothing is published" in caplog.text


def test_a_writer_begun_and_closed_while_an_error_is_handled_publishes(tmp_path: Path) -> None:
    try:
        raise ImportError("no GPU")
    except ImportError:  # the recipe falls back, and computes all here
        writer = NumpyHdf5Writer(tmp_path / "x")
        with contextlib.suppress(StoreError):
            writer.write("../a", FRAMES)  # refused, and the recipe goes on
        writer.write("b", FRAMES)
        writer.close()
    assert NumpyHdf5Reader(tmp_path / "x").ids == ["b"]


def test_a_failed_writer_does_not_close_as_if_it_were_whole(tmp_path: Path) -> None:
    writer = PackedHdf5Writer(tmp_path / "x", name="x")
    writer._state = "failed"  # as a full disk leaves it
    with pytest.raises(StoreError, match="got one that has failed"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_nobody_closes_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = NumpyHdf5Writer(tmp_path / "x")
    writer.write("a", FRAMES)
    with caplog.at_level(logging.WARNING):
        del writer
        gc.collect()
    assert "x.h5: let go of before it was closed, so nothing is published" in caplog.text


@pytest.mark.parametrize("kind", WRITERS)
def test_mode_x_refuses_what_is_there_and_a_is_refused_with_the_way_out(
    tmp_path: Path, kind: Any
) -> None:
    for mode in ("w-", "w"):
        with kind(tmp_path / "x", name="x", mode=mode) as writer:
            writer.write(mode, FRAMES)
    for mode in ("x", "w-"):
        with pytest.raises(StoreError, match=r"expected nothing at .*mode w replaces it"):
            kind(tmp_path / "x", name="x", mode=mode)
    for mode in ("a", "r+"):
        with pytest.raises(StoreError, match=r"got '.*cache_features computes only what is new"):
            kind(tmp_path / "x", name="x", mode=mode)
    with open_features(tmp_path / "x") as reader:  # and nobody holds a lock
        assert list(reader.ids) == ["w"]
    kind(tmp_path / "y", name="y", mode="x").abort()
    assert [one.name for one in tmp_path.iterdir()] == [reader.storage_path.name]


@pytest.mark.parametrize("kind", [PackedHdf5Writer, NumpyHdf5Writer])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tensors_of_any_kind_are_written(tmp_path: Path, kind: Any, dtype: str) -> None:
    values = torch.from_numpy(FRAMES).to(getattr(torch, dtype))
    with kind(tmp_path / "x", name="x") as writer:
        writer.write("grad", values.clone().requires_grad_())
        writer.write("parameter", torch.nn.Parameter(values.clone()))
        writer.write("strided", values.T.contiguous().T)
        with torch.inference_mode():
            writer.write("inference", values * 1)
    reader = open_features(tmp_path / "x")
    for key in reader.ids:
        np.testing.assert_array_equal(reader.read(key), FRAMES)


@pytest.fixture(params=["float32", "float16", "bfloat16", "int8_scaled", "numpy", "lilcom"])
def reader(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FeatureStorageReader]:
    kinds: dict[str, Any] = {"numpy": NumpyHdf5Writer, "lilcom": LilcomHdf5Writer}
    options = {} if request.param in kinds else {"dtype": request.param}
    with kinds.get(request.param, PackedHdf5Writer)(tmp_path / "x", name="x", **options) as writer:
        writer.write("a", FRAMES)
    with open_features(tmp_path / "x") as found:
        yield found


def test_torch_takes_what_is_read_and_a_write_to_it_stays_there(
    reader: FeatureStorageReader,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in (reader.read("a"), reader.read("a", 1, 4), reader["a"]):  # type: ignore[index]
            torch.from_numpy(values).fill_(-1)
    assert reader.read("a").min() == 0


@pytest.mark.parametrize("offsets", [(0, 99), (2, 99), (99, None), (0, -1), (-2, None), (3, 1)])
def test_offsets_are_those_of_a_slice_unless_strict(
    reader: FeatureStorageReader, offsets: tuple[int, int | None]
) -> None:
    whole = reader.read("a")
    left, right = offsets
    for read in (
        reader.read("a", left, right),
        reader.read("a", left_offset_frames=left, right_offset_frames=right),
        reader.read("a", np.int64(left), right),
        reader.read(key="a", left_offset_frames=left, right_offset_frames=right),  # type: ignore[call-arg]
    ):
        np.testing.assert_array_equal(read, whole[left:right], strict=True)
    with pytest.raises(StoreError, match=r"'a' in .*expected offsets within its 5 frames"):
        reader.read("a", left, right, strict=True)
    np.testing.assert_array_equal(reader.read("a", 1, 3, strict=True), whole[1:3], strict=True)
    with pytest.raises(TypeError):
        reader.read("a", 0.5)  # type: ignore[arg-type]


def test_codes_with_the_time_axis_last_are_cut_and_copied_along_it(tmp_path: Path) -> None:
    codes = np.arange(12, dtype=np.int16).reshape(2, 6)
    with PackedHdf5Writer(
        tmp_path / "x", name="x", dtype=torch.int16, time_axis=-1, codebook_size=12
    ) as writer:
        writer.write("a", torch.from_numpy(codes))
    reader = PackedHdf5Reader(tmp_path / "x")
    np.testing.assert_array_equal(reader.read("a", 4, 99), codes[:, 4:])
    assert reader.read("a").flags.writeable
    assert not reader.read("a", copy=False).flags.writeable


def test_a_reader_declared_before_its_store_is_the_store_once_it_is_there(tmp_path: Path) -> None:
    reader = PackedHdf5Reader(tmp_path / "x", name="fbank")
    assert (reader.name, reader.storage_path) == ("fbank", tmp_path / "x")
    assert isinstance(reader, FeatureStorageReader)
    reader.close()
    elsewhere = pickle.loads(pickle.dumps(reader))  # noqa: S301 - as for a spawned worker
    for call in (lambda: reader.read("a"), lambda: len(reader), lambda: "a" in reader):
        with pytest.raises(StoreError, match="nothing there; compute them first"):
            call()
    with pytest.raises(AttributeError):
        reader.__no_such_thing__  # noqa: B018
    with PackedHdf5Writer(tmp_path / "x", name="mel") as writer:
        writer.write("a", FRAMES)
    for one in (reader, elsewhere, pickle.loads(pickle.dumps(reader))):  # noqa: S301
        np.testing.assert_array_equal(one.read("a"), FRAMES)
        assert (one.name, len(one), list(one.ids), one.shape) == ("mel", 1, ["a"], (2,))
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        reader.frobnicate  # noqa: B018


@pytest.mark.parametrize(
    ("writer", "reader"), [(PackedHdf5Writer, PackedHdf5Reader), (NumpyHdf5Writer, NumpyHdf5Reader)]
)
def test_a_reader_declared_before_its_store_is_made_anew_reads_the_new_one(
    tmp_path: Path, writer: Any, reader: Any
) -> None:
    found = None
    for value in (1, 2):
        with writer(tmp_path / "x", name="x") as one:
            one.write("a", np.full((2, 2), float(value)))
        found = found or reader(tmp_path / "x")
    assert found.read("a").max() == 2


def test_a_file_that_is_made_anew_is_read_anew_and_one_that_is_gone_goes_on(tmp_path: Path) -> None:
    readers = []
    for value in (1.0, 2.0):
        with NumpyHdf5Writer(tmp_path / "x") as one:
            one.write("a", np.full((2, 2), value))
        readers.append(NumpyHdf5Reader(tmp_path / "x"))
        assert [reader.read("a").max() for reader in readers] == [value] * len(readers)
    (tmp_path / "x.h5").unlink()
    assert [reader.read("a").max() for reader in readers] == [2, 2]


def test_what_is_there_and_no_store_is_refused_when_the_reader_is_made(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    PackedHdf5Reader(tmp_path / "x")  # the folder of splits to come
    (tmp_path / "x" / "notes.txt").touch()
    with pytest.raises(StoreError, match=r"expected a folder with header\.json"):
        PackedHdf5Reader(tmp_path / "x")
    with pytest.raises(StoreError, match=r"got a file; .*open_features picks the reader"):
        PackedHdf5Reader(tmp_path / "x" / "notes.txt")
    with pytest.raises(StoreError, match=r"a folder: .*; .*open_features picks the reader"):
        NumpyHdf5Reader(tmp_path / "x")
    with pytest.raises(StoreError, match="expected an HDF5 file, got "):
        NumpyHdf5Reader(tmp_path / "x" / "notes.txt")


def test_a_reader_is_called_after_its_feature_or_its_file(tmp_path: Path) -> None:
    with NumpyHdf5Writer(tmp_path / "mel") as writer:
        assert writer.name == "mel"
        writer.write("a", FRAMES)
    assert NumpyHdf5Reader(tmp_path / "mel").name == "mel"
    assert NumpyHdf5Reader(tmp_path / "mel", name="fbank").name == "fbank"
    config = FeatureStorageReaderConfig("mel", NumpyHdf5Reader, {"name": "other"})
    assert create_feature_storage_readers([config], tmp_path)["mel"].name == "other"
