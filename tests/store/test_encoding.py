"""Values are converted as their dtype allows, what that changes is measured, the rest refused."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from featbank.errors import StoreError
from featbank.store import (
    ENCODINGS,
    Encoded,
    StoreWriter,
    as_array,
    find_encoding,
    open_store,
    token_dtype,
)
from featbank.store.given import dtype_name
from featbank.store.narrowing import RoundingErrors
from tests.conftest import ROOT

FLOATS = arrays(
    np.float32,
    st.tuples(st.integers(0, 5), st.integers(1, 4)),
    elements=st.floats(-1e4, 1e4, width=32),
)


def encode(values: Any, dtype: str) -> Encoded:
    return find_encoding(dtype).encode(as_array(values, "here"), "here")


def test_floats_may_lose_precision_only() -> None:
    values = np.array([1.0001, np.nan, np.inf, -65504.0], np.float32)
    encoded = encode(values, "float16")
    np.testing.assert_array_equal(encoded.stored, values.astype(np.float16))
    assert encoded.max_abs_error == encoded.sum_abs_error == pytest.approx(1.0001 - 1, abs=2e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_overflow_is_refused_with_the_value(dtype: str) -> None:
    with pytest.raises(StoreError, match=rf"here: expected .* range of {dtype}, got 3.4e\+38"):
        encode(np.array([1.0, 3.4e38], np.float32), dtype)


@pytest.mark.parametrize("value", [-1, 256])
def test_integers_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(StoreError, match=rf"values of uint8, 0 to 255, got {value}"):
        encode(np.array([value], np.int64), "uint8")


def test_integers_in_range_keep_their_value() -> None:
    stored = encode(np.array([0, 255], np.int64), "uint8").stored
    assert stored.dtype == np.uint8
    assert stored.tolist() == [0, 255]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.zeros(2, np.float32), "uint16"),
        (np.zeros(2, np.int64), "float16"),
        (np.zeros(2, np.int64), "bfloat16"),
        (np.zeros(2, np.int8), "int8_scaled"),
        (np.zeros(2, np.complex64), "float32"),
        (np.array(["a"]), "float32"),
        (np.array([1.0, np.nan]), "int8_scaled"),
        (np.array([1.0, -np.inf]), "int8_scaled"),
        (torch.zeros(2, device="meta"), "float32"),
        (torch.zeros(2).to_sparse(), "float32"),
        (1.0, "float32"),
        ([[1.0], [1.0, 2.0]], "float32"),
    ],
)
def test_what_the_dtype_cannot_stand_for_is_refused(values: Any, dtype: str) -> None:
    with pytest.raises(StoreError, match="here: expected"):
        encode(values, dtype)


def test_a_transposed_tensor_is_stored_in_its_own_order() -> None:
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3).T
    stored = encode(tensor, "float32").stored
    assert stored.flags.c_contiguous
    assert stored.tolist() == tensor.tolist()


def _around_every_bfloat16() -> np.ndarray:
    """Every bfloat16 as a float32, what lies just beside it, and halfway to the next one."""
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    return (upper[:, None] | lower).reshape(-1).view(np.float32)


def _bits_of_torch(values: np.ndarray) -> np.ndarray:
    bits: np.ndarray = torch.from_numpy(values).bfloat16().view(torch.int16).numpy()
    return bits.view(np.uint16)


@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_bfloat16_is_bit_for_bit_what_torch_makes_of_it(given: type[np.floating[Any]]) -> None:
    values = _around_every_bfloat16()
    expected = _bits_of_torch(values)
    is_nan = np.isnan(values)
    fits = ~is_nan & (np.isinf(values) | (expected & 0x7FFF < 0x7F80))
    with np.errstate(invalid="ignore"):  # a signalling NaN
        values = values.astype(given)
    encoding = find_encoding("bfloat16")
    np.testing.assert_array_equal(encoding.encode(values[fits], "here").stored, expected[fits])
    nans = encoding.encode(values[is_nan], "here").stored
    assert np.isnan(encoding.decode(nans)).all()
    for value in values[~fits & ~is_nan]:
        with pytest.raises(StoreError, match="range of bfloat16"):
            encoding.encode(np.array([value]), "here")


def test_float64_becomes_bfloat16_as_it_does_in_torch() -> None:
    # above the middle between two, and the middle itself once it is a float32: ties go to even
    values = np.array([1 + 2**-8 + 2**-40, 1 + 3 * 2**-8 - 2**-40, 1e-42, -5e-324])
    np.testing.assert_array_equal(encode(values, "bfloat16").stored, _bits_of_torch(values))


def test_every_bfloat16_is_read_as_the_float32_that_torch_makes_of_it() -> None:
    stored = np.arange(1 << 16, dtype=np.uint16)
    read = find_encoding("bfloat16").decode(stored)
    expected = torch.from_numpy(stored.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float16", "int8_scaled"])
def test_an_array_of_ml_dtypes_is_stored_as_a_tensor_of_torch_is(dtype: str) -> None:
    tensor = torch.randn(9, 4).bfloat16()
    array = tensor.float().numpy().astype(ml_dtypes.bfloat16)
    ours, torchs = encode(array, dtype), encode(tensor, dtype)
    assert ours.checksum == torchs.checksum
    assert dtype_name(array.dtype) == dtype_name(ml_dtypes.bfloat16) == dtype_name(tensor.dtype)


def test_a_bfloat16_tensor_is_stored_without_loss() -> None:
    tensor = torch.randn(9, 4).bfloat16()
    encoded = encode(tensor, "bfloat16")
    np.testing.assert_array_equal(encoded.stored, tensor.view(torch.uint16).numpy())
    assert encoded.max_abs_error == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8_scaled"])
def test_the_header_says_what_was_lost_whatever_the_order(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    rows = {f"u{number:02d}": rng.standard_normal((number, 5)).astype("f4") for number in range(40)}
    for name, order in (("a", sorted(rows)), ("b", sorted(rows, reverse=True))):
        with StoreWriter(tmp_path / name, name="x", dtype=dtype, shard_bytes=700) as writer:
            for one in order:
                writer.write(one, rows[one])
    store = open_store(tmp_path / "a")
    errors = np.concatenate([np.abs(store[one] - rows[one]) for one in rows])
    assert store.dtype == (np.float16 if dtype == "float16" else np.float32)
    assert store.header.max_abs_error == pytest.approx(errors.max(), rel=1e-6)
    assert store.header.mean_abs_error == pytest.approx(errors.mean(), rel=1e-5)
    assert store.header == open_store(tmp_path / "b").header


@given(FLOATS, st.lists(st.integers(0, 5), max_size=4), st.booleans())
def test_rounding_errors_are_the_same_numbers_in_whatever_pieces_a_row_comes(
    array: Any, cuts: list[int], holed: bool
) -> None:
    if holed and array.size:
        array[0, 0], array[-1, -1] = np.nan, np.inf
    back = array.astype(np.float16).astype(np.float32)
    whole, pieces = RoundingErrors(), RoundingErrors()
    whole.add(array, back)
    bounds = sorted({0, *(min(cut, len(array)) for cut in cuts), len(array)})
    for start, stop in pairwise(bounds):
        # in the other order of memory, too
        pieces.add(np.asfortranarray(array[start:stop]), back[start:stop])
    assert (pieces.greatest, pieces.total) == (whole.greatest, whole.total)
    finite = np.isfinite(array)
    exact = sum(map(Fraction, np.abs(array[finite] - back[finite]).tolist()), Fraction())
    assert whole.total == pytest.approx(float(exact), rel=1e-15)


def test_the_sum_of_many_rounding_errors_does_not_depend_on_where_a_row_is_cut() -> None:
    array = np.random.default_rng(0).standard_normal((3000, 768)).astype(np.float32)
    encoding = find_encoding("float16")
    whole = encoding.encode(array, "here")
    for step in (1, 7, 1024, 1365, 1366):
        errors = RoundingErrors()
        for start in range(0, len(array), step):
            encoding.narrow(array[start : start + step], "here", errors)
        assert (errors.greatest, errors.total) == (whole.max_abs_error, whole.sum_abs_error)


@pytest.mark.parametrize("compression", [None, "zstd", "blosc"])
def test_plain_h5py_reads_bfloat16_as_float32(tmp_path: Path, compression: str | None) -> None:
    tensor = torch.randn(50, 4).bfloat16()
    with StoreWriter(tmp_path / "s", name="x", dtype="bfloat16", compression=compression) as writer:
        writer.write("a", tensor)
    [info] = open_store(tmp_path / "s").shards
    with h5py.File(tmp_path / "s" / info.name) as shard:
        np.testing.assert_array_equal(shard["values"][:].astype("f4"), tensor.float().numpy())


@pytest.mark.parametrize(("size", "dtype"), [(1, "uint8"), (256, "uint8"), (65537, "uint32")])
def test_tokens_take_the_smallest_integer_that_holds_the_codebook(
    tmp_path: Path, size: int, dtype: str
) -> None:
    assert token_dtype(size) == dtype
    with StoreWriter(tmp_path / "s", name="units", codebook_size=size) as writer:
        writer.write("a", np.array([0, size - 1]))
        with pytest.raises(StoreError, match=f"'b' .*tokens from 0 to {size - 1}, got {size}"):
            writer.write("b", np.array([size]))
        with pytest.raises(StoreError, match=r"'b' .*got -1"):
            writer.write("b", np.array([-1]))
    store = open_store(tmp_path / "s")
    assert (store.dtype.name, store.header.codebook_size) == (dtype, size)
    assert list(store.ids) == ["a"]


@pytest.mark.parametrize("dtype", ENCODINGS)
def test_the_documentation_names_every_dtype(dtype: str) -> None:
    assert f"`{dtype}`" in Path(ROOT, "docs", "stores.md").read_text(encoding="utf-8")
