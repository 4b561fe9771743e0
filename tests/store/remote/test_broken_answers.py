"""Nothing wrong is served: what breaks on its way is fetched again, or is an error by name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import Store, StoreWriter, open_store
from featbank.store.encoding import Array
from tests.store.remote import range_server
from tests.store.remote.range_server import Fault, RangeServer, serving
from tests.store.remote.stores import assert_same, open_hasty

FAULTS = [
    range_server.unavailable,
    range_server.cut,
    range_server.short,
    range_server.deaf,
    range_server.shifted,
    range_server.flipped,
]
SOME = [f"{number:05d}" for number in range(17, 27)]


def _one_by_one(store: Store, ids: Sequence[str]) -> list[Array]:
    return [store[one] for one in ids]


def _in_order(store: Store, ids: Sequence[str]) -> list[Array]:
    return list(store.read_many(ids))


Read = Callable[[Store, Sequence[str]], list[Array]]
ways = pytest.mark.parametrize("read", [_one_by_one, _in_order])


@ways
@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_that_breaks_once_is_fetched_again(
    server: RangeServer, stores: Path, fault: Fault, read: Read
) -> None:
    store, local = open_hasty(f"{server.url}/large"), open_store(stores / "large")
    store.open_shard(0)
    server.faults = [fault]
    np.testing.assert_array_equal(read(store, SOME), _one_by_one(local, SOME))
    assert not server.faults


@ways
@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_that_always_breaks_is_an_error_that_names_it(
    server: RangeServer, fault: Fault, read: Read
) -> None:
    store = open_hasty(f"{server.url}/large")
    store.open_shard(0)
    server.always = fault
    with pytest.raises(StoreError, match=r"large/[0-9a-f]{16}\.h5") as raised:
        read(store, SOME)
    assert "bytes" in str(raised.value) or re.search(r"'000\d\d' as written", str(raised.value))
    server.always = None
    assert len(store["00017"]) == 100_000  # nothing wrong was kept


def test_a_server_without_ranges_is_told_from_one_that_breaks(server: RangeServer) -> None:
    store = open_hasty(f"{server.url}/large")
    server.always = range_server.deaf
    with pytest.raises(StoreError, match=r"must answer requests for ranges, as nginx.* do"):
        store.read("00017")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_head_that_breaks_once_is_fetched_again(
    server: RangeServer, stores: Path, fault: Fault
) -> None:
    store, local = open_hasty(f"{server.url}/large"), open_store(stores / "large")
    server.faults = [fault]
    np.testing.assert_array_equal(store["00001"], local["00001"])
    assert not server.faults


@pytest.mark.parametrize("fault", [range_server.cut, range_server.flipped])
def test_a_head_that_always_breaks_is_an_error(server: RangeServer, fault: Fault) -> None:
    store = open_hasty(f"{server.url}/large")
    server.always = fault
    with pytest.raises(StoreError, match=r"large/[0-9a-f]{16}\.h5"):
        store.read("00001")


@ways
def test_an_answer_that_does_not_come_is_waited_for_so_long_and_asked_again(
    server: RangeServer, stores: Path, read: Read
) -> None:
    store = open_hasty(f"{server.url}/large", is_stalled=True)
    local = open_store(stores / "large")
    store.open_shard(0)
    server.faults = [range_server.stalled]
    np.testing.assert_array_equal(read(store, SOME), _one_by_one(local, SOME))


def test_values_that_changed_where_they_lie_are_an_error(tmp_path: Path, stores: Path) -> None:
    shutil.copytree(stores / "large", tmp_path / "served" / "large")
    with serving(tmp_path / "served") as server:
        store = open_hasty(f"{server.url}/large")
        [path] = (tmp_path / "served" / "large").glob("*.h5")
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(StoreError, match="expected the values of '00119' as written, got oth"):
            store.read("00119")
        assert len(store["00118"]) == 100_000
        local, found = open_store(stores / "large"), []
        with pytest.raises(StoreError, match="expected the values of '00119' as written, got oth"):
            found.extend(store.read_many(local.ids))
        for one, values in zip(local.ids, found, strict=False):
            np.testing.assert_array_equal(values, local[one])


@pytest.mark.parametrize("is_there", [True, False])
def test_a_store_that_is_replaced_is_told_from_a_damaged_one(
    tmp_path: Path, stores: Path, is_there: bool
) -> None:
    folder = tmp_path / "served"
    shutil.copytree(stores / "large", folder / "large")
    with serving(folder) as server:
        store = open_hasty(f"{server.url}/large")
        store["00001"]
        if is_there:
            with StoreWriter(folder / "large", name="ssl", dtype="uint8") as writer:
                writer.write("00002", np.zeros(9, np.uint8))
        else:
            shutil.rmtree(folder / "large")
        with pytest.raises(StoreError, match="was replaced after it was opened; open it again"):
            store.read("00002")
        assert len(store["00001"]) == 100_000  # the cache has it


def test_a_server_that_is_gone_is_named(stores: Path) -> None:
    with serving(stores) as server:
        store = open_hasty(f"{server.url}/large")
    with pytest.raises(StoreError, match=r"127\.0\.0\.1.*attempts"):
        store.read("00002")


@pytest.fixture
def bucket(stores: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A bucket with the stores, and the options to read it; of moto."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket="bucket")
        for path in [*(stores / "large").iterdir(), *(stores / "units").iterdir()]:
            client.put_object(
                Bucket="bucket", Key=f"a/{path.parent.name}/{path.name}", Body=path.read_bytes()
            )
        client.close()
        yield {"endpoint_url": url}
    finally:
        running.stop()


def test_a_store_in_a_bucket_is_the_one_on_this_disk(bucket: dict[str, str], stores: Path) -> None:
    for name in ("large", "units"):
        found = open_store(f"s3://bucket/a/{name}", storage_options=bucket)
        assert_same(found, open_store(stores / name))
    with pytest.raises(StoreError, match=r"header\.json"):
        open_store("s3://bucket/nothing", storage_options=bucket)
