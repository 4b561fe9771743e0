"""Values are converted without loss, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from featbank.errors import StoreError
from featbank.store.values import convert_values


def test_floats_may_lose_precision_only() -> None:
    values = np.array([1.0001, np.nan, np.inf, -65504.0], np.float32)
    stored = convert_values(values, np.dtype("float16"), "here")
    np.testing.assert_array_equal(stored, values.astype(np.float16))


def test_float16_overflow_is_refused_with_the_value() -> None:
    with pytest.raises(
        StoreError, match=r"here: expected values of float16, up to 65504, got 70000"
    ):
        convert_values(np.array([1.0, 70000.0], np.float32), np.dtype("float16"), "here")


@pytest.mark.parametrize("value", [-1, 256])
def test_integers_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(StoreError, match=rf"values of uint8, 0 to 255, got {value}"):
        convert_values(np.array([value], np.int64), np.dtype("uint8"), "here")


def test_integers_in_range_keep_their_value() -> None:
    stored = convert_values(np.array([0, 255], np.int64), np.dtype("uint8"), "here")
    assert stored.dtype == np.uint8
    assert stored.tolist() == [0, 255]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.zeros(2, np.float32), "uint16"),
        (np.zeros(2, np.int64), "float16"),
        (np.zeros(2, np.complex64), "float32"),
        (np.array(["a"]), "float32"),
        (torch.zeros(2, dtype=torch.bfloat16), "float32"),
        (torch.zeros(2, requires_grad=True), "float32"),
        (1.0, "float32"),
        ([[1.0], [1.0, 2.0]], "float32"),
    ],
)
def test_what_the_dtype_cannot_stand_for_is_refused(values: Any, dtype: str) -> None:
    with pytest.raises(StoreError, match="here: expected"):
        convert_values(values, np.dtype(dtype), "here")


def test_a_transposed_tensor_is_stored_in_its_own_order() -> None:
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3).T
    stored = convert_values(tensor, np.dtype("float32"), "here")
    assert stored.flags.c_contiguous
    assert stored.tolist() == tensor.tolist()
