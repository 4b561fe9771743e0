"""A store elsewhere gives what it gives from this disk, in few requests."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from featbank.cli import main
from featbank.errors import ConfigError, StoreError
from featbank.store import StoreWriter, commit_together, open_store
from featbank.store.remote import store as remote_store
from featbank.store.remote.elsewhere import path_here
from featbank.store.remote.store import RemoteStore
from tests.store.remote.range_server import RangeServer, serving
from tests.store.remote.stores import assert_same, open_hasty, write_floats
from tests.waiting import HANG_S


@pytest.mark.parametrize("name", ["ssl", "large", "small-rows", "units"])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_store_on_a_web_server_is_the_one_on_this_disk(
    server: RangeServer, stores: Path, name: str, cache_bytes: int
) -> None:
    with open_store(f"{server.url}/{name}", cache_bytes=cache_bytes) as found:
        assert_same(found, open_store(stores / name))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8_scaled", "int64"])
@pytest.mark.parametrize("time_axis", [0, -1, None])
def test_each_dtype_and_each_order_of_axes_is_read_alike(
    tmp_path: Path, dtype: str, time_axis: int | None
) -> None:
    rng = np.random.default_rng(0)
    with StoreWriter(
        tmp_path / "x", name="x", dtype=dtype, time_axis=time_axis, shape=(4,)
    ) as writer:
        for number in range(20):
            shape = (4,) if time_axis is None else (5, 4) if time_axis == 0 else (4, 5)
            values = rng.integers(0, 99, shape)
            writer.write(f"{number:02}", values if dtype == "int64" else values.astype(np.float32))
    local, found = open_store(tmp_path / "x"), open_store(f"file://{tmp_path}/x")
    for one, values in zip(local.ids, found.read_many(local.ids), strict=True):
        np.testing.assert_array_equal(values, local[one], strict=True)
        np.testing.assert_array_equal(found[one], local[one], strict=True)
    np.testing.assert_array_equal(found.read_batch(local.ids)[0], local.read_batch(local.ids)[0])


def test_a_store_opens_in_one_round_and_a_batch_takes_two_more(server: RangeServer) -> None:
    store = open_hasty(f"{server.url}/ssl")
    assert sorted(server.requests) == [
        "/splits.json",
        "/ssl/header.json",
        "/ssl/splits.json",
    ]
    ids = [f"s{number % 5}/{number:03d}" for number in range(1, 60, 3)]
    server.requests.clear()
    store.read_batch(ids)
    heads = {name for name in server.requests if name.endswith(".h5")}
    assert len(server.requests) <= len(heads) + len(ids)
    server.requests.clear()
    store.read_batch(ids)
    assert not server.requests


def test_a_new_process_asks_for_the_header_alone_where_the_cache_has_the_rest(
    server: RangeServer, stores: Path
) -> None:
    url, local = f"{server.url}/large", open_store(stores / "large")
    list(open_store(url).read_many(local.ids))
    server.requests.clear()
    assert_same(open_store(url), local)  # nothing of the first one is left in this
    assert not [name for name in server.requests if name.endswith(".h5")]


def test_neighbours_come_in_one_request_and_small_rows_bring_theirs(server: RangeServer) -> None:
    store = open_hasty(f"{server.url}/small-rows", cache_bytes=1 << 30)
    store["00000"]
    server.requests.clear()
    list(store.read_many([f"{number:05d}" for number in range(100, 200)]))
    assert len(server.requests) == 1
    server.requests.clear()
    _ = store["01000"], store["01005"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "row", "num_requests"), [("units", "00007", 1), ("ssl", "s2/002", 2)]
)
def test_a_small_shard_of_tokens_comes_whole_and_one_of_features_does_not(
    server: RangeServer, name: str, row: str, num_requests: int
) -> None:
    store = open_hasty(f"{server.url}/{name}", cache_bytes=0)
    server.requests.clear()
    assert len(store[row])
    assert len(server.requests) == num_requests


def test_who_reads_row_by_row_gets_more_with_each_request(server: RangeServer) -> None:
    store = open_hasty(f"{server.url}/small-rows")
    store.open_shard(0)
    server.requests.clear()
    for number in range(9000):
        assert len(store[f"{number:05d}"]) == 1000
    assert len(server.requests) < 10


def test_many_shards_are_opened_in_one_round_when_one_after_the_other_is(
    tmp_path: Path,
) -> None:
    local = write_floats(tmp_path / "many", num_rows=50, shard_bytes=200_000)
    store = open_store(f"file://{tmp_path}/many", cache_bytes=0)
    assert isinstance(store, RemoteStore)
    assert len(store.shards) > 10
    np.testing.assert_array_equal(store.frame_counts, local.frame_counts)
    assert store.num_requests == 3 + len(store.shards)


def test_read_many_takes_ids_as_they_come_and_stops_when_nobody_looks(server: RangeServer) -> None:
    store = open_hasty(f"{server.url}/ssl")
    asked = []

    def ids() -> Iterator[str]:
        for number in range(60):
            asked.append(number)
            yield f"s{number % 5}/{number:03d}"

    found = store.read_many(ids())
    assert not asked
    assert len(next(found)) == 0
    found.close()  # type: ignore[attr-defined]


def test_read_many_keeps_so_many_requests_under_way_and_no_more(
    server: RangeServer, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_store, "_PIECE_BYTES", 300_000)
    monkeypatch.setattr(remote_store, "_AHEAD_BYTES", 8 * 300_000)
    store, local = open_hasty(f"{server.url}/large"), open_store(stores / "large")
    store.open_shard(0)
    server.requests.clear()
    numbers: list[int] = []
    together = Barrier(9, lambda: numbers.append(len(server.requests)), timeout=HANG_S)

    def wait(_: object) -> None:
        together.wait()

    server.faults = [wait] * 9  # none is answered before all were made
    for one, values in zip(local.ids, store.read_many(local.ids), strict=True):
        np.testing.assert_array_equal(values, local[one])
    assert (numbers, len(server.requests)) == ([9], 40)


def test_read_many_fetches_no_byte_twice(server: RangeServer, stores: Path) -> None:
    store, local = open_hasty(f"{server.url}/small-rows"), open_store(stores / "small-rows")
    store.open_shard(0)
    sizes: list[int] = []
    server.always = lambda answer: sizes.append(len(answer.body))
    assert len(list(store.read_many(local.ids))) == 9000
    assert sum(sizes) == 9_000_000


def test_a_row_that_is_kept_keeps_none_of_those_that_came_with_it(server: RangeServer) -> None:
    store = open_hasty(f"{server.url}/small-rows")
    first, *_ = store.read_many([f"{number:05d}" for number in range(100)])
    while isinstance(first.base, np.ndarray):
        first = first.base
    assert first.base is None or len(first.base.obj) == 1000


def test_splits_are_opened_together_by_name_and_by_themselves(tmp_path: Path) -> None:
    _write_splits(tmp_path / "data")
    url = f"memory://{tmp_path.name}"
    _upload(tmp_path / "data", url)
    both, local = open_store(f"{url}/x"), open_store(tmp_path / "data" / "x")
    assert both.splits == local.splits == ("dev", "train")
    assert list(both.ids) == list(local.ids)
    assert both.provenance.keys() == local.provenance.keys()
    assert list(open_store(f"{url}/x", "dev").ids) == ["dev-0", "dev-1"]
    assert open_store(f"{url}/x", ["train", "dev"]).ids[0] == "train-0"
    assert list(open_store(f"{url}/x/train").ids) == ["train-0", "train-1"]
    assert list(open_store(url, "train").ids) == ["train-0", "train-1"]
    assert list(both.choose("dev").ids) == ["dev-0", "dev-1"]
    with pytest.raises(StoreError, match=r"expected one split 'test', got .*dev"):
        open_store(f"{url}/x", "test")


def test_a_split_of_another_run_is_refused(tmp_path: Path) -> None:
    _write_splits(tmp_path / "data")
    with StoreWriter(tmp_path / "data" / "x" / "dev", name="x", dtype="float32") as writer:
        writer.write("dev-9", np.zeros((2, 3), np.float32))
    url = f"file://{tmp_path}/data/x"
    for path, splits in ((url, None), (f"{url}/dev", None), (url, "dev")):
        with pytest.raises(StoreError, match=r"splits\.json states"):
            open_store(path, splits)
    shutil.rmtree(tmp_path / "data" / "x" / "dev")
    with pytest.raises(StoreError, match="got no dev"):
        open_store(url)


def test_stores_that_nobody_stated_are_found_by_a_listing(tmp_path: Path) -> None:
    _write_splits(tmp_path / "data")
    (tmp_path / "data" / "x" / "splits.json").unlink()
    assert open_store(f"file://{tmp_path}/data/x").splits == ("dev", "train")


def test_a_store_crosses_to_another_process_as_its_place(server: RangeServer) -> None:
    store = open_hasty(f"{server.url}/units")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    np.testing.assert_array_equal(again["00007"], store["00007"])


def test_failures_are_those_that_the_header_vouches_for(tmp_path: Path) -> None:
    from featbank.base.failures import Failure

    failure = Failure(id="b", audio="b.wav", error="too short", kind="too_short")
    with StoreWriter(tmp_path / "x", name="x", dtype="float32") as writer:
        writer.write("a", np.zeros((2, 3), np.float32))
        writer.fail(failure)
    store = open_store(f"file://{tmp_path}/x")
    assert store.failures == [failure]
    (tmp_path / "x" / "failures.jsonl").write_text("")
    with pytest.raises(StoreError, match="digest"):
        _ = store.failures


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///nowhere/x", r"header\.json"),
        ("nothing://x/y", "expected s3, gs, ssh, https or file, got 'nothing'"),
        ("dvc://remote/x", "open_dvc_store"),
    ],
)
def test_what_cannot_be_opened_says_why(url: str, said: str) -> None:
    with pytest.raises((StoreError, ConfigError), match=said):
        open_store(url)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigError, match=r'gcsfs.*; pip install "featbank\[gs\]"'):
        open_store("gcs://bucket/x")


def test_a_folder_that_a_web_server_does_not_list_says_what_to_open(server: RangeServer) -> None:
    for splits in (None, "train"):
        with pytest.raises(StoreError, match=r"lists no folders: open the one with splits\.json"):
            open_store(f"{server.url}/above", splits)


def test_options_that_the_file_system_does_not_take_are_named() -> None:
    with pytest.raises(ConfigError, match="storage_options"):
        open_store("s3://bucket/x", storage_options={"anonymous": True})


def test_a_url_that_was_made_a_path_and_options_for_a_folder_are_refused(stores: Path) -> None:
    with pytest.raises(ConfigError, match="expected a URL as a text"):
        open_store(Path("s3://bucket/x"))
    with pytest.raises(ConfigError, match="storage_options for a folder"):
        open_store(stores / "units", storage_options={"anon": True})


def test_a_compressed_store_says_that_it_needs_a_copy(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "x", name="x", dtype="float32", compression="zstd") as writer:
        writer.write("a", np.zeros((2, 3), np.float32))
    with pytest.raises(StoreError, match=f"got zstd; give its path: {tmp_path}/x"):
        open_store(f"file://{tmp_path}/x")
    with (
        serving(tmp_path) as server,
        pytest.raises(StoreError, match="fetch it, and give the "),
    ):
        open_store(f"{server.url}/x")


@pytest.mark.parametrize(
    ("url", "command"),
    [
        ("s3a://b/x", "aws s3 cp --recursive s3://b/x COPY"),
        ("gcs://b/x", "gcloud storage cp --recursive gs://b/x COPY"),
        ("sftp://me@host/data/x", "scp -r me@host:/data/x COPY"),
        ("dvc://storage/x", "dvc pull"),
    ],
)
def test_what_needs_a_copy_says_how_to_fetch_one(url: str, command: str) -> None:
    with pytest.raises(StoreError, match="got a URL; fetch it, and give the path") as at:
        path_here(url)
    assert str(at.value).endswith(f": {command}")


def test_the_commands_take_a_url(server: RangeServer, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"{server.url}/units"
    assert main(["info", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_utterances"] == 500
    assert main(["ls", url, "--json", "--limit", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["utterances"][1]["id"] == "00001"
    assert main(["head", url, "00003", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["utterances"][0]["id"] == "00003"
    assert main(["verify", url]) == 1
    assert "fetch it to verify all of it" in capsys.readouterr().err


def _write_splits(folder: Path) -> None:
    writers = []
    for split in ("train", "dev"):
        writer = StoreWriter(folder / "x" / split, name="x", dtype="float32")
        for number in range(2):
            writer.write(f"{split}-{number}", np.full((3, 2), number, np.float32))
        writers.append(writer)
    commit_together(writers)


def _upload(folder: Path, url: str) -> None:
    import fsspec

    system: Any = fsspec.filesystem("memory")
    system.put(f"{folder}/", f"{url.removeprefix('memory:/')}/", recursive=True)
