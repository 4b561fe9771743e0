"""A folder of stores, a web server of it, and a cache of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.remote.range_server import RangeServer, serving
from tests.store.remote.stores import write_floats, write_large_shard, write_tokens


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache of one test."""
    monkeypatch.setenv("FEATBANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stores that no test changes."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write_floats(folder / "ssl")
    write_large_shard(folder / "large", num_rows=120, row_bytes=100_000)
    write_large_shard(folder / "small-rows", num_rows=9000, row_bytes=1000)
    write_tokens(folder / "units")
    return folder


@pytest.fixture
def server(stores: Path) -> Iterator[RangeServer]:
    """A web server of these stores."""
    with serving(stores) as running:
        yield running
