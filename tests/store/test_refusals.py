"""What a store cannot take, or give, is an error that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featbank.errors import StoreError
from featbank.store import StoreWriter, open_store
from tests.store.trust import write

TOKENS = {"a": np.arange(3), "b": np.arange(5)}


def test_a_padding_that_the_dtype_cannot_hold(tmp_path: Path) -> None:
    store = write(tmp_path / "s", TOKENS, dtype="uint16")
    for value in (-100, 1 << 16, 0.5, float("nan")):
        with pytest.raises(StoreError, match=f"padding_value .*a value of uint16.* got {value}"):
            store.read_batch(["a", "b"], padding_value=value)
    assert store.read_batch(["a", "b"], padding_value=65535)[0][0, 4] == 65535


def test_the_shape_may_be_a_list_as_in_yaml(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", name="x", shape=[8]) as writer:
        writer.write("a", np.ones((3, 8), np.float32))
    assert open_store(tmp_path / "s").shape == (8,)


@pytest.mark.parametrize("key", [1, None, b"a"])
def test_an_id_that_is_no_text(tmp_path: Path, key: Any) -> None:
    with StoreWriter(tmp_path / "s", name="x") as writer:
        writer.write("a", np.ones(3))
        with pytest.raises(StoreError, match=f"id {key!r}: expected a text, got"):
            writer.write(key, np.ones(3))
    store = open_store(tmp_path / "s")
    with pytest.raises(StoreError, match=f"expected an id among its 1, got {key!r}"):
        store[key]


@pytest.mark.parametrize(
    "options",
    [
        {"provenance": {"root": Path("x")}},
        {"provenance": {"rate": float("nan")}},
        {"provenance": {"name": "\ud800"}},
        {"numerics": {"isa": {1}}},
        {"frame_rate": float("nan")},
    ],
)
def test_what_json_cannot_say_is_refused_before_any_work(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(StoreError, match=r"expected (.* that JSON has|a number from .*, got nan)"):
        StoreWriter(tmp_path / "s", name="x", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_peak_that_its_scale_would_make_infinite(tmp_path: Path) -> None:
    peak = np.finfo(np.float32).max
    with StoreWriter(tmp_path / "s", name="x", dtype="int8_scaled") as writer:
        with pytest.raises(StoreError, match="within the range of int8_scaled"):
            writer.write("a", np.full((2, 3), peak, np.float32))
        writer.write("b", np.full((2, 3), peak / 2, np.float32))
    assert np.isfinite(open_store(tmp_path / "s")["b"]).all()
