"""A store that is not whole says what is wrong, and where."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featbank.base.failures import Failure
from featbank.errors import StoreError
from featbank.store import (
    MappedShard,
    Store,
    StoreWriter,
    open_store,
    read_header,
    verify_shard,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with StoreWriter(tmp_path / "s", name="fbank", dtype="float32", shard_bytes=3000) as writer:
        for number in range(40):
            writer.write(f"u{number:02d}", np.full((9, 8), number, np.float32))
    return open_store(tmp_path / "s")


def edit_header(store: Store, **fields: Any) -> None:
    path = store.path / "header.json"
    header = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in header.items() if value != "gone"}))


def first_shard(store: Store) -> Path:
    return store.path / store.shards[0].name


def refused(message: str, path: Path) -> None:
    """Opening the store at `path`, or reading its first utterance, must fail with `message`."""
    with pytest.raises(StoreError, match=message) as raised:
        open_store(path)["u00"]
    assert str(path) in str(raised.value)


def test_nothing_there(tmp_path: Path) -> None:
    refused(r"expected a folder with header.json, got no folder; .*dvc pull", tmp_path / "none")


def test_reader_refuses_a_store_without_header(store: Store) -> None:
    (store.path / "header.json").unlink()
    refused("expected a folder with header.json, got no header.json", store.path)


def test_reader_refuses_an_unfinished_store(store: Store) -> None:
    store.path.rename(store.path.with_name(".s.partial"))
    refused("got no header.json", store.path.parent)


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    gone, loop, file = tmp_path / "gone", tmp_path / "loop", tmp_path / "file"
    gone.symlink_to(tmp_path / "elsewhere")
    loop.symlink_to(loop)
    file.write_text("text")
    refused(f"got a link to nowhere, {gone}", gone)
    refused(f"got a link to nowhere, {gone}", gone / "dev")
    refused("Too many levels of symbolic links", loop)
    refused("got a file", file)


def test_a_header_whose_link_is_broken(store: Store) -> None:
    header = store.path / "header.json"
    header.unlink()
    header.symlink_to(store.path / "cache")
    refused(f"got a link to nowhere, {header}", store.path)


@pytest.mark.parametrize("text", ["", "{", "\udcff", '{"format": ', "[" * 100_000])
def test_reader_refuses_a_header_that_is_no_json(store: Store, text: str) -> None:
    (store.path / "header.json").write_bytes(text.encode(errors="surrogateescape"))
    refused(r"header.json: expected a JSON object, got", store.path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "other"}, "expected format 'featbank-store', got 'other'"),
        ({"format": "gone"}, "expected format 'featbank-store', got None"),
        ({"format_version": 5}, "format_version 4, got 5; install a newer featbank"),
        ({"format_version": 3}, "format_version 4, got 3; run the stage .*overwrite=true"),
        ({"format_version": "1"}, "header.json: format_version: expected int"),
        ({"dtype": "object"}, "expected one of .* got 'object'"),
        ({"name": "gone"}, "header.json: name: expected str, got no such field"),
        ({"shape": ["8"]}, "header.json: shape: expected sizes"),
        ({"num_frames": 7}, "num_frames: expected the shards' sum 360, got 7"),
        ({"framing": {"hop": 1}}, "expected the fields of a store header, got"),
        ({"shards": [7]}, "shards: expected objects, got int"),
        ({"frame_rate": 50.0}, "header.json: expected digest .*dvc pull"),
        (
            {"provenance": {"rate": float("nan")}},
            "expected a JSON object, got a number that is not",
        ),
        ({"digest": "gone"}, "header.json: digest: expected str, got no such field"),
    ],
)
def test_reader_refuses_a_header_that_is_not_ours(
    store: Store, fields: dict[str, Any], message: str
) -> None:
    edit_header(store, **fields)
    with pytest.raises(StoreError, match=message):
        open_store(store.path)


def test_a_header_cannot_lead_out_of_its_folder(store: Store) -> None:
    shards = json.loads((store.path / "header.json").read_text())["shards"]
    edit_header(store, shards=[{**shards[0], "name": "../../secret.h5"}, *shards[1:]])
    with pytest.raises(StoreError, match=r"digits>\.h5, got '\.\./\.\./secret\.h5'"):
        open_store(store.path)


def test_shards_out_of_order_are_refused(store: Store) -> None:
    shards = json.loads((store.path / "header.json").read_text())["shards"]
    edit_header(store, shards=shards[::-1])
    with pytest.raises(StoreError, match="shards: expected a shard after"):
        open_store(store.path)


def test_a_missing_shard(store: Store) -> None:
    first_shard(store).unlink()
    refused("expected a file, got nothing there; fetch it again with dvc pull", store.path)
    assert open_store(store.path)["u39"][0, 0] == 39  # the others still serve
    assert list(map(str, store.verify())) == [f"shard {first_shard(store)}: missing"]


@pytest.mark.parametrize("kept", [0, 100, 3000, -1])
def test_a_truncated_shard(store: Store, kept: int) -> None:
    data = first_shard(store).read_bytes()
    first_shard(store).write_bytes(data[:kept])
    refused(f"expected {len(data)} bytes, got", store.path)
    assert list(map(str, store.verify())) == [
        f"shard {first_shard(store)}: expected {len(data)} bytes, got {len(data[:kept])}"
    ]


@pytest.mark.parametrize("kept", [0, 100, 3000, -1])
def test_a_truncated_shard_by_itself(store: Store, kept: int) -> None:
    first_shard(store).write_bytes(first_shard(store).read_bytes()[:kept])
    with pytest.raises(StoreError, match=r"expected .*HDF5"):
        MappedShard(first_shard(store))


def test_bytes_that_are_no_hdf5(store: Store) -> None:
    size = first_shard(store).stat().st_size
    first_shard(store).write_bytes(b"x" * size)
    refused("expected a whole HDF5 shard, got", store.path)


def test_a_foreign_hdf5_file(store: Store) -> None:
    with h5py.File(first_shard(store), "w") as file:
        file["values"] = np.zeros(3)
    with pytest.raises(StoreError, match="expected format 'featbank-shard', got None"):
        MappedShard(first_shard(store))


def change_shard(path: Path, change: Callable[[h5py.File], object]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def test_a_shard_of_a_newer_version(store: Store) -> None:
    change_shard(first_shard(store), lambda file: file.attrs.modify("format_version", 5))
    refused("format_version 4, got 5; install a newer featbank", store.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.pop("row_starts"), "expected a whole HDF5 shard"),
        (lambda file: file.attrs.pop("numerics"), "expected a whole HDF5 shard"),
        (
            lambda file: file["row_starts"].write_direct(np.full(file["row_starts"].shape, 9)),
            "row_starts from",
        ),
        (lambda file: replace(file, "values", np.zeros(9, ">f4")), "values of float32, got"),
        (lambda file: replace(file, "values", np.zeros(9, complex)), "values of float32, got"),
        (
            lambda file: replace(file, "values", np.float32(1)),
            r"shape \(num_frames, ...\), got \(\)",
        ),
        (lambda file: replace(file, "row_starts", np.zeros(0, "i8")), "of shape"),
        (lambda file: replace(file, "checksums", np.zeros(99, "u8")), "of shape"),
        (lambda file: replace(file, "values", None), "datasets only, got a group"),
        (
            lambda file: replace(file, "id_bytes", np.zeros(999, "u1"), compression="gzip"),
            "contiguous and uncompressed",
        ),
        (lambda file: replace(file, "id_slots", np.zeros(3, "u8")), "id_slots, the last one empty"),
        (
            lambda file: replace(file, "values", np.zeros(999, "f4"), compression="gzip"),
            "row_starts from",
        ),
    ],
)
def test_a_shard_of_another_layout(
    store: Store, change: Callable[[h5py.File], object], message: str
) -> None:
    change_shard(first_shard(store), change)
    with pytest.raises(StoreError, match=message) as raised:
        MappedShard(first_shard(store))
    assert str(first_shard(store)) in str(raised.value)


def replace(file: h5py.File, name: str, data: Any, **options: Any) -> None:
    del file[name]
    if data is None:
        file.create_group(name)
    else:
        file.create_dataset(name, data=data, **options)


def set_second(file: h5py.File, frame: int) -> None:
    file["row_starts"][1, 0] = frame


@pytest.mark.parametrize("frame", [10**9, -1])
def test_offsets_that_leave_the_values_are_refused_when_read(store: Store, frame: int) -> None:
    info = max(store.shards, key=lambda shard: shard.num_utterances)
    assert info.num_utterances > 1
    change_shard(store.path / info.name, lambda file: set_second(file, frame))
    message = f"{info.name}: expected row 0 within .* frames, got frames 0 to {frame}"
    with pytest.raises(StoreError, match=message):
        MappedShard(store.path / info.name).read(0)
    with pytest.raises(StoreError, match=f"{info.name}: expected digest {info.digest}, got"):
        open_store(store.path)[info.first_id]


def test_a_shard_of_another_store_is_refused(store: Store, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with StoreWriter(
        other, name="fbank", dtype="float32", shard_bytes=3000, fingerprint="g"
    ) as writer:
        for number in range(40):
            writer.write(f"u{number:02d}", np.full((9, 8), number, np.float32))
    [theirs] = [shard for shard in open_store(other).shards if shard.first_id == "u00"]
    first_shard(store).write_bytes((other / theirs.name).read_bytes())
    refused("expected fingerprint '', got 'g'", store.path)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_verify_finds_every_flipped_bit_and_names_the_shard_and_the_rows(
    tmp_path: Path, compression: str | None
) -> None:
    with StoreWriter(
        tmp_path / "s", name="x", dtype="int16", shard_bytes=99, compression=compression
    ) as writer:
        for number in range(5):
            writer.write(f"u{number}", np.full(20, number))
    store = open_store(tmp_path / "s")
    assert store.verify() == []
    number = next(number for number, one in enumerate(store.shards) if one.num_utterances == 2)
    info, ids = store.shards[number], list(store.open_shard(number).ids())
    path = store.path / info.name
    with open(path, "r+b", buffering=0) as file:
        for position, byte in enumerate(path.read_bytes()):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << position % 8]), position)
            damage = verify_shard(store.path, store.header, info)
            assert damage is not None
            assert damage.shard == str(path)
            in_values = position - info.values_start if info.values_start else -1
            if 0 <= in_values < 80:
                assert damage.ids == (ids[in_values // 40],)
                assert str(damage) == f"shard {path}: expected other values of {damage.ids[0]!r}"
            else:
                assert damage.message.startswith(f"expected digest {info.digest}, got")
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert store.verify() == []


def test_a_failure_list_that_was_changed_is_found(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="x", dtype="int16") as writer:
        writer.write("a", np.zeros(3, np.int16))
        writer.fail(Failure(id="b", audio="b.wav", error="empty"))
    store, path = open_store(tmp_path / "s"), tmp_path / "s" / "failures.jsonl"
    assert store.verify() == []
    assert [failure.id for failure in store.failures] == ["b"]
    whole = path.read_bytes()
    digest = f"digest {sha256(whole).hexdigest()}"
    changed = whole.replace(b'"b"', b'"c"')
    for data, got in (
        (changed, "digest [0-9a-f]{64}"),
        (b"\xff\n", "digest"),
        (None, "no such file"),
    ):
        path.unlink()
        if data is not None:
            path.write_bytes(data)
        message = f"failure list {path}: expected {digest}, got {got}"
        [damage] = store.verify()
        assert re.match(message, str(damage))
        with pytest.raises(StoreError, match=message):
            _ = store.failures


def test_a_failure_list_that_no_header_knows_is_found(store: Store) -> None:
    (store.path / "failures.jsonl").write_text("")
    [damage] = store.verify()
    assert "failures.jsonl: expected no such file, got digest" in str(damage)


def test_any_flipped_bit_of_a_header_is_an_error_or_changes_nothing(tmp_path: Path) -> None:
    provenance = {"corpus": "demo", "rate": 16000}
    with StoreWriter(tmp_path / "s", name="x", dtype="int16", provenance=provenance) as writer:
        writer.write("ü", np.zeros(3, np.int16))
    path = tmp_path / "s" / "header.json"
    whole, header = path.read_bytes(), read_header(tmp_path / "s")
    with open(path, "r+b", buffering=0) as file:
        for position, bit in itertools.product(range(len(whole)), range(8)):
            os.pwrite(file.fileno(), bytes([whole[position] ^ 1 << bit]), position)
            with suppress(StoreError):
                assert read_header(tmp_path / "s") == header
            os.pwrite(file.fileno(), whole[position : position + 1], position)


def test_a_half_copied_shard_that_has_its_size_is_found_with_its_rows(store: Store) -> None:
    number = max(range(len(store.shards)), key=lambda one: store.shards[one].num_utterances)
    info, ids = store.shards[number], list(store.open_shard(number).ids())
    row_bytes = 9 * 8 * 4
    assert len(ids) > 2
    with open(store.path / info.name, "r+b") as file:  # all but the first row, as a sparse file
        file.seek(info.values_start + row_bytes)
        file.write(bytes(row_bytes * (len(ids) - 1)))
    [damage] = store.verify()
    assert damage.ids == tuple(one for one in ids[1:] if one != "u00")  # zeros as it was


def test_any_flipped_bits_in_a_shard_are_an_error_or_harmless_never_a_crash(store: Store) -> None:
    path = first_shard(store)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    errors = 0
    for _ in range(200):
        data = bytearray(whole)
        for position in rng.integers(0, len(whole), 3):
            data[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            shard = MappedShard(path)
            for row in range(len(shard)):
                shard.find(shard.id(row))
                shard.values(shard.frames(row)).sum()
        except StoreError:
            errors += 1
    assert errors > 20
