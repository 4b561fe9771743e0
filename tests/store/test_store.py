"""A store gives back what was written, and its bytes are a function of its rows."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from featbank.base.framing import Framing
from featbank.base.manifest import check_id
from featbank.errors import ManifestError, StoreError
from featbank.store import (
    ShardRow,
    ShardSpec,
    ShardWriter,
    Store,
    StoreBuilder,
    StoreHeader,
    StoreWriter,
    open_store,
    plan_shards,
    row_bytes,
    shard_name,
)
from tests.waiting import in_two_processes

Rows = dict[str, np.ndarray]

FRAMING = Framing(sample_rate=16000, window_length=400, hop_length=160)
SEGMENTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=9
).filter(lambda segment: segment not in (".", ".."))
IDS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join) | st.just("long/" + "x" * 5000)
DTYPES = st.sampled_from(["float32", "float16", "uint8", "uint16", "int64"])


def make_rows(num_rows: int = 40, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    return {
        f"speaker-{number % 3}/ü{number:03d}": rng.standard_normal(
            (int(rng.integers(0, 30)), 8)
        ).astype(np.float32)
        for number in range(num_rows)
    }


def write(path: Path, rows: Rows, **options: Any) -> Store:
    settings = {
        "name": "fbank",
        "dtype": "float32",
        "frame_rate": 100.0,
        "first_frame_center_s": 0.0125,
        "framing": FRAMING,
        "provenance": {"corpus": "demo"},
        "fingerprint": "f" * 64,
        "numerics": {"device": "cpu"},
        "shard_bytes": 3000,
    }
    with StoreWriter(path, **{**settings, **options}) as writer:
        for utterance_id, values in rows.items():
            writer.write(utterance_id, values)
    return open_store(path)


def files(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def test_a_store_built_shard_by_shard_has_the_same_bytes(tmp_path: Path) -> None:
    rows = dict(sorted(make_rows().items()))
    with StoreWriter(
        tmp_path / "a", name="fbank", dtype="float16", shard_bytes=2000, fingerprint="f"
    ) as writer:
        for name, values in rows.items():
            writer.write(name, values, input_digest=b"d" * 16, part="p")
    spec = ShardSpec(name="fbank", dtype="float16", shape=(8,), fingerprint="f", numerics={})
    plan = [
        ShardRow(id=name, num_frames=len(values), input_digest=b"d" * 16)
        for name, values in rows.items()
    ]
    weights = [("p", row.id, row_bytes(row.id.encode(), row.num_frames * 16)) for row in plan]
    shards = []
    with StoreBuilder(tmp_path / "b") as builder:
        for cut in plan_shards(weights, 2000):
            part = plan[cut.start : cut.stop]
            name = shard_name("f", [row.id for row in part], [row.input_digest for row in part])
            shard = ShardWriter(builder.folder / name, spec, part)
            for row in reversed(part):
                shard.write(row.id, rows[row.id])
            shards.append(replace(shard.close(), part="p"))
        builder.complete(
            StoreHeader(
                name="fbank",
                dtype="float16",
                shape=(8,),
                fingerprint="f",
                provenance={},
                shards=tuple(shards),
            )
        )
        builder.publish()
    assert len(shards) > 3
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_an_added_utterance_leaves_other_shards_their_bytes(tmp_path: Path) -> None:
    rows = make_rows(200)
    write(tmp_path / "a", rows)
    write(tmp_path / "b", {**rows, "speaker-1/new": np.ones((5, 8), np.float32)})
    before, after = files(tmp_path / "a"), files(tmp_path / "b")
    changed = [name for name, data in after.items() if before.get(name) != data]
    assert "header.json" in changed
    assert len(changed) <= 4 < len(after)


def test_the_header_says_what_the_store_is(tmp_path: Path) -> None:
    store = write(tmp_path / "s", make_rows())
    assert store.path == tmp_path / "s"
    assert store.header.framing == FRAMING
    assert store.header.numerics == ({"device": "cpu"},)
    assert (store.name, store.frame_rate, store.fingerprint) == ("fbank", 100.0, "f" * 64)
    assert store.provenance == {"corpus": "demo"}
    assert StoreHeader.from_json(store.header.to_json(), "here") == store.header
    assert str(tmp_path) not in (tmp_path / "s" / "header.json").read_text()


def test_a_store_without_utterances_is_valid(tmp_path: Path) -> None:
    store = write(tmp_path / "s", {}, shape=(80,))
    assert files(tmp_path / "s").keys() == {"header.json"}
    assert (len(store), list(store.ids), store.shape, store.shards) == (0, [], (80,), ())
    assert "a" not in store
    assert store.verify() == []


def test_parts_have_their_own_shards_and_ids_are_found_in_each(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="units", dtype="uint8") as writer:
        for number in range(10):
            writer.write(f"u{number}", np.full(3, number), part=f"p{number % 3}")
    store = open_store(tmp_path / "s")
    assert [shard.part for shard in store.shards] == ["p0", "p1", "p2"]
    assert store.ids[:4] == ["u0", "u3", "u6", "u9"]
    assert [int(store[f"u{number}"][0]) for number in range(10)] == list(range(10))


def test_input_digests_lie_beside_the_rows(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="units", dtype="uint8") as writer:
        writer.write("stated", np.zeros(1, np.uint8), input_digest=b"0123456789abcdef")
        writer.write("not stated", np.zeros(1, np.uint8))
    store = open_store(tmp_path / "s")
    assert store.input_digest("stated") == b"0123456789abcdef"
    assert store.input_digest("not stated") == bytes(16)


def test_a_torch_tensor_is_stored_like_its_array(tmp_path: Path) -> None:
    rows = make_rows(5)
    write(tmp_path / "a", rows)
    write(tmp_path / "b", {name: torch.from_numpy(values) for name, values in rows.items()})
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_what_is_read_cannot_be_written_to(tmp_path: Path) -> None:
    store = write(tmp_path / "s", {"a": np.ones((2, 8), np.float32)})
    with pytest.raises(ValueError, match="read-only"):
        store["a"][0] = 2


@pytest.mark.parametrize("unknown", ["", "a", "speaker-1/ü", "speaker-1/ü0010", "z", "\ud800"])
def test_an_unknown_id_is_named(tmp_path: Path, unknown: str) -> None:
    store = write(tmp_path / "s", make_rows())
    assert unknown not in store
    with pytest.raises(StoreError, match="expected an id among its 40") as raised:
        store[unknown]
    assert repr(unknown) in str(raised.value)


def test_wrong_writes_are_refused_and_nothing_is_published(tmp_path: Path) -> None:
    frames = np.zeros((2, 8), np.float32)

    def write_all(writes: Any, arguments: Any) -> None:
        with StoreWriter(tmp_path / "s", name="fbank", dtype="float16") as writer:
            for name, values in writes:
                writer.write(name, values, **arguments)

    def refused(message: str, *writes: Any, **arguments: Any) -> None:
        with pytest.raises(StoreError, match=message):
            write_all(writes, arguments)

    refused("'a' .*expected one write, got a second one", ("a", frames), ("a", frames))
    refused(r"'b' .*frames of shape \(8,\), got \(9,\)", ("a", frames), ("b", np.zeros((2, 9))))
    refused("range of float16, got 1e", ("a", np.full((1, 8), 1e9)))
    refused("expected 16 bytes or none, got 2 bytes", ("a", frames), input_digest=b"ab")
    refused("utterance id '../a'", ("../a", frames))
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_or_a_provenance_that_cannot_be_stored_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"expected one of bfloat16, .*got 'complex64'"):
        StoreWriter(tmp_path / "s", name="x", dtype="complex64")
    with pytest.raises(StoreError, match="Out of range float values"):
        StoreWriter(tmp_path / "s", name="x", dtype="int8", provenance={"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "bad", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\nb", "a\0", "\x85", "\udc80"]
)
def test_ids_that_are_no_names_are_refused(bad: str) -> None:
    with pytest.raises(ManifestError, match="expected a name or a relative path"):
        check_id(bad)
    with pytest.raises(StoreError):
        check_id(bad, StoreError)


@pytest.mark.parametrize("good", ["a", "a/b c", "...", "日本/語", "a.wav", "-", "x" * 10000])
def test_ids_that_are_names_pass(good: str) -> None:
    check_id(good)


def test_a_folder_of_splits_opens_as_one(tmp_path: Path) -> None:
    rows = make_rows()
    train, dev = dict(list(rows.items())[:30]), dict(list(rows.items())[30:])
    write(tmp_path / "fbank" / "train", train)
    write(tmp_path / "fbank" / "dev", dev)
    write(tmp_path / "fbank" / "test", {}, shape=(8,))
    store = open_store(tmp_path)
    assert (len(store), store.num_frames_total) == (40, sum(map(len, rows.values())))
    assert list(store.ids) == sorted(dev) + sorted(train)
    assert all(np.array_equal(store[name], values) for name, values in rows.items())
    assert store.provenance["fbank/dev"] == {"corpus": "demo"}
    assert store.header.numerics == ({"device": "cpu"},)
    assert store.verify() == []


def test_a_folder_of_several_features_is_refused_by_their_names(tmp_path: Path) -> None:
    write(tmp_path / "a", {}, name="fbank")
    write(tmp_path / "b", {}, name="mfcc")
    with pytest.raises(StoreError, match="expected stores of one feature, got fbank, mfcc"):
        open_store(tmp_path)


def test_splits_made_in_two_ways_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "dev", {}, fingerprint="new")
    write(tmp_path / "train", {}, fingerprint="old")
    with pytest.raises(
        StoreError, match="fingerprint of train: expected 'new' as in dev, got 'old'"
    ):
        open_store(tmp_path)


def read_all(store: Store) -> Rows:
    return {name: store[name].copy() for name in store.ids}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_the_store_they_were_given(tmp_path: Path, method: str) -> None:
    rows = make_rows()
    store = write(tmp_path / "s", rows)
    assert store["speaker-0/ü000"] is not None  # a shard is open before the fork
    for found in in_two_processes(method, read_all, store):
        assert all(np.array_equal(found[name], values) for name, values in rows.items())


def test_a_pickle_holds_the_path_and_no_value(tmp_path: Path) -> None:
    store = write(tmp_path / "s", make_rows())
    data = pickle.dumps(store)
    assert len(data) < 400
    assert pickle.loads(data).header == store.header  # noqa: S301 - our own bytes


def test_threads_share_a_store(tmp_path: Path) -> None:
    rows = make_rows(100)
    store = write(tmp_path / "s", rows)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(store.__getitem__, rows))
    assert all(map(np.array_equal, found, rows.values()))
