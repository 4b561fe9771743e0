"""Writers and readers are made as a recipe declares them."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.errors import ConfigError, StoreError
from featbank.feature_io import (
    FeatureStorageConfig,
    FeatureStorageReader,
    FeatureStorageReaderConfig,
    FeatureStorageWriter,
    LilcomHdf5Writer,
    NumpyHdf5Reader,
    NumpyHdf5Writer,
    PackedHdf5Reader,
    PackedHdf5Writer,
    create_feature_storage_readers,
    create_feature_storage_writers,
    read_storage,
    storage_by_name,
)
from featbank.store import Store, StoreWriter

CONFIGS = [
    FeatureStorageConfig("fbank", "float16", writer_kwargs={"frame_rate": 100.0}),
    FeatureStorageConfig("units", "uint16", PackedHdf5Writer, {"codebook_size": 500}),
    {"name": "pitch", "writer_class": "featbank.feature_io.NumpyHdf5Writer"},
    FeatureStorageConfig("mfcc", writer_class=functools.partial(LilcomHdf5Writer, tick_power=-8)),
]


def test_the_packed_classes_are_the_store() -> None:
    assert PackedHdf5Writer is StoreWriter
    assert issubclass(PackedHdf5Reader, Store)


def test_writers_and_readers_of_several_classes_agree(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {
        "fbank": rng.standard_normal((9, 4)).astype(np.float16),
        "units": rng.integers(0, 500, 9),
        "pitch": rng.standard_normal(9).astype(np.float32),
        "mfcc": rng.standard_normal((9, 4)).astype(np.float32),
    }
    writers = create_feature_storage_writers(CONFIGS, tmp_path, prefix="x-", suffix="/train")
    assert list(writers) == ["fbank", "units", "pitch", "mfcc"]
    for name, writer in writers.items():
        assert isinstance(writer, FeatureStorageWriter)
        assert writer.name == name
        with writer:
            writer.write("a", values[name])
    readers = create_feature_storage_readers(CONFIGS, tmp_path, prefix="x-", suffix="/train")
    for name, reader in readers.items():
        assert isinstance(reader, FeatureStorageReader)
        assert reader.storage_path.parent == tmp_path / f"x-{name}"
        np.testing.assert_allclose(reader.read("a"), values[name], rtol=0, atol=2**-9)
        np.testing.assert_allclose(reader.read("a", 2, 5), values[name][2:5], rtol=0, atol=2**-9)
    assert isinstance(readers["pitch"], NumpyHdf5Reader)
    store = readers["fbank"]
    assert isinstance(store, Store)
    assert (store.frame_rate, store.dtype) == (100.0, np.float16)


def test_a_reader_is_declared_by_itself(tmp_path: Path) -> None:
    with NumpyHdf5Writer(tmp_path / "pitch", name="pitch") as writer:
        writer.write("a", np.ones(3))
    for config in (
        FeatureStorageReaderConfig("pitch", NumpyHdf5Reader),
        {"name": "pitch", "reader_class": "featbank.feature_io.NumpyHdf5Reader"},
    ):
        [reader] = create_feature_storage_readers([config], tmp_path).values()
        assert reader.read("a").tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "x", "writer_clas": "y"}, "did you mean writer_class"),
        ({"name": "../x"}, "letters, digits"),
        ({"name": "x", "dtype": "float8"}, "dtype: expected .*got float8"),
        ({"name": "x", "writer_class": "os.system"}, "expected a class under featbank"),
        ({"name": "x", "writer_kwargs": {"shard_byte": 5}}, "did you mean shard_bytes"),
        ({"name": "x", "writer_kwargs": {"frame_rate": "50"}}, "frame_rate: expected .*'50'"),
        ({"name": "fbank"}, "expected one entry, got two"),
    ],
)
def test_a_wrong_entry_is_refused_and_no_writer_is_left(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        create_feature_storage_writers([CONFIGS[0], config], tmp_path)
    create_feature_storage_writers(CONFIGS[:1], tmp_path)["fbank"].abort()  # nobody holds its lock
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing there; compute them first"):
        create_feature_storage_readers([FeatureStorageReaderConfig("x")], tmp_path, must_exist=True)
    unknown = FeatureStorageConfig("x", writer_class=dict)
    with pytest.raises(ConfigError, match="expected a FeatureStorageReaderConfig"):
        create_feature_storage_readers([unknown], tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"frame_rate": 5.0},
            "feature.storage: frame_rate: expected one of name, dtype, shard_bytes, compression",
        ),
        ({"shard_byte": 5}, "did you mean shard_bytes"),
        ({"shard_bytes": 0}, "shard_bytes: expected over 0"),
        ({"shard_bytes": "1"}, "shard_bytes: expected int"),
        ({"compression": "gzip"}, "expected zstd or blosc"),
        ({"dtype": "float8"}, "dtype: expected .*got float8"),
        ({"name": "../x"}, "letters, digits"),
    ],
)
def test_a_stage_writes_packed_stores_only(entry: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, StoreError), match=message):
        read_storage([{"name": "x", **entry}])


@pytest.mark.parametrize(
    ("entry", "flat"),
    [
        ({"writer_class": "featbank.feature_io.PackedHdf5Writer"}, "{name: x, dtype: float16}"),
        ({"writer_kwargs": {"shard_bytes": 9}}, "{name: x, dtype: float16, shard_bytes: 9}"),
        ({"writer_kwargs": 3}, "{name: x, dtype: float16}"),
    ],
)
def test_an_entry_of_the_old_keys_is_told_the_flat_ones(entry: dict[str, Any], flat: str) -> None:
    with pytest.raises(ConfigError, match=f"shard_bytes and compression.*write {flat}"):
        read_storage([{"name": "x", "dtype": "float16", **entry}])


@pytest.mark.parametrize(
    ("dtype", "codebook_size", "message"),
    [
        ("uint16", None, "dtype: expected float32 or float16 or"),
        ("float32", 1024, "dtype: expected uint16 or int16 or int32"),
        ("uint8", 257, "dtype: expected uint16 or"),
    ],
)
def test_a_dtype_must_hold_its_feature(dtype: str, codebook_size: int | None, message: str) -> None:
    entries = read_storage([{"name": "x", "dtype": dtype}])
    with pytest.raises(ConfigError, match=message):
        storage_by_name(entries, {"x": codebook_size})


def test_an_entry_with_a_star_is_for_all_features_of_such_a_name_but_those_with_their_own() -> None:
    entries = read_storage([{"name": "l*", "dtype": "float16"}, {"name": "l12"}])
    found = storage_by_name(entries, {"l1": None, "l12": None})
    assert {name: (one.name, one.dtype) for name, one in found.items()} == {
        "l1": ("l1", "float16"), "l12": ("l12", "float32"),
    }  # fmt: skip
    for wrong, message in (
        ({"l1": None, "x": None}, "one entry for each of l1, x, got l*, l12"),
        ({"l12": None}, "one entry for each of l12, got l*, l12"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            storage_by_name(entries, wrong)
    with pytest.raises(ConfigError, match="storage of 'l1': expected one entry, got two"):
        storage_by_name(read_storage([{"name": "l*"}, {"name": "*"}]), {"l1": None})


@pytest.mark.parametrize("kind", [PackedHdf5Writer, NumpyHdf5Writer])
def test_a_writer_may_be_committed_inside_its_block(tmp_path: Path, kind: Any) -> None:
    with kind(tmp_path / "x", name="x") as writer:
        writer.write("a", np.ones((3, 1)))
        writer.commit()
        with pytest.raises(StoreError, match="expected one that is open, got one that is ended"):
            writer.write("b", np.ones((3, 1)))
    [reader] = create_feature_storage_readers(
        [FeatureStorageConfig("x", writer_class=kind)], tmp_path
    ).values()
    assert len(reader) == 1


@pytest.mark.parametrize(
    "named", ["featbank.base.framing.Framing", "featbank.runners.exchange.Exchange"]
)
def test_a_class_that_is_no_writer_or_reader_is_not_made(named: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a class of FeatureStorageWriter, got"):
        create_feature_storage_writers([{"name": "x", "writer_class": named}], tmp_path)
    with pytest.raises(ConfigError, match="expected a class of FeatureStorageReader, got"):
        create_feature_storage_readers([{"name": "x", "reader_class": named}], tmp_path)
    assert list(tmp_path.iterdir()) == []
